// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
	"github.com/edgeagent/edgeagent/internal/notify"
)

// fakeDaemon is a daemon whose knowledge is a file. An order that it takes
// makes After its status, as a cycle would.
type fakeDaemon struct {
	Status_   gitops.Status       `json:"status"`
	After     *gitops.Status      `json:"after"`
	Attempts  []gitops.Attempt    `json:"attempts"`
	Manifests []localapi.Document `json:"manifests"`
	Diffs     []gitops.ObjectDiff `json:"diffs"`
	Decisions []gitops.Decision   `json:"decisions"`
	Removed   []gitops.Change     `json:"removed"`
	Hold      gitops.Hold         `json:"hold"`
	Imported  gitops.Imported     `json:"imported"`
	Bundle    string              `json:"bundle"` // what is exported, before Fail
	Fail      *gitops.Error       `json:"fail"`

	mu    sync.Mutex
	calls string // the file that every order is written to
}

var _ localapi.Controller = (*fakeDaemon)(nil)

func newFakeDaemon(text, calls string) (*fakeDaemon, error) {
	f := &fakeDaemon{calls: calls}
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(calls, nil, 0o600); err != nil {
		return nil, err
	}
	return f, json.Unmarshal(body, f)
}

func (f *fakeDaemon) Status() gitops.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Status_
}

func (f *fakeDaemon) failure() error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail
}

// order notes what was asked for, and lets the daemon be as it is afterwards.
func (f *fakeDaemon) order(format string, args ...any) (localapi.Ticket, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fail != nil {
		return localapi.Ticket{}, f.Fail
	}
	before, err := os.ReadFile(f.calls)
	if err != nil {
		return localapi.Ticket{}, err
	}
	if err := os.WriteFile(f.calls, fmt.Appendf(before, format+"\n", args...), 0o600); err != nil {
		return localapi.Ticket{}, err
	}
	if f.After != nil {
		f.Status_ = *f.After
	}
	t := localapi.Ticket{Cycles: map[string]int64{}}
	for _, s := range f.Status_.Sources {
		t.Cycles[s.Name] = s.Cycle
	}
	return t, nil
}

func (f *fakeDaemon) History(_ context.Context, source string, limit int) ([]gitops.Attempt, error) {
	var found []gitops.Attempt
	for _, at := range f.Attempts {
		if source == "" || at.Source == source {
			found = append(found, at)
		}
	}
	return found[:min(limit, len(found))], f.failure()
}

func (f *fakeDaemon) Show(_ context.Context, source, revision string) (gitops.Attempt, gitops.Manifests, error) {
	i := slices.IndexFunc(f.Attempts, func(at gitops.Attempt) bool {
		return at.Source == source && (revision == "" || string(at.Revision.Hash())[:len(revision)] == revision)
	})
	if i < 0 {
		for _, s := range f.Status_.Sources {
			if s.Name == source && s.Applied == nil && len(f.Attempts) == 0 {
				return gitops.Attempt{}, gitops.Manifests{}, s.NothingApplied()
			}
		}
		return gitops.Attempt{}, gitops.Manifests{}, &gitops.Error{Reason: gitops.NotFoundHere, Message: "no attempt at " + revision, Remedy: "edgeagent history " + source}
	}
	var m gitops.Manifests
	for _, d := range f.Manifests {
		m.Objects = append(m.Objects, gitops.Manifest{Ref: d.Ref, YAML: []byte(d.YAML)})
	}
	return f.Attempts[i], m, f.failure()
}

func (f *fakeDaemon) Diff(context.Context, string) ([]gitops.ObjectDiff, error) {
	return f.Diffs, f.failure()
}

func (f *fakeDaemon) Verify(context.Context, string, string) ([]gitops.Decision, error) {
	return f.Decisions, f.failure()
}

func (f *fakeDaemon) Sync(_ context.Context, source string, r localapi.SyncRequest) (localapi.Ticket, error) {
	return f.order("sync %q allow %d", source, r.AllowPrune)
}

func (f *fakeDaemon) Rollback(_ context.Context, source string, r localapi.RollbackRequest) (localapi.RollbackResponse, error) {
	ticket, err := f.order("rollback %q to %q pin %t by %s", source, r.To, r.Pin, r.By)
	return localapi.RollbackResponse{Hold: f.Hold, Ticket: ticket}, err
}

func (f *fakeDaemon) Retry(_ context.Context, source string) (localapi.Ticket, error) {
	return f.order("retry %q", source)
}

func (f *fakeDaemon) Resume(_ context.Context, source string) (localapi.Ticket, error) {
	return f.order("resume %q", source)
}

func (f *fakeDaemon) Suspend(_ context.Context, source string, r localapi.SuspendRequest) error {
	_, err := f.order("suspend %q for %q by %s", source, r.Reason, r.By)
	return err
}

func (f *fakeDaemon) Remove(_ context.Context, source string, r localapi.RemoveRequest) ([]gitops.Change, error) {
	_, err := f.order("remove %q prune %t by %s", source, r.Prune, r.By)
	return f.Removed, err
}

func (f *fakeDaemon) Accept(_ context.Context, source string, r localapi.AcceptRequest) (localapi.AcceptResponse, error) {
	ticket, err := f.order("accept %q %q because %q by %s", source, r.Revision, r.Reason, r.By)
	w := gitops.Waiver{From: gitops.Hash(strings.Repeat("a", 40)), To: gitops.Hash(strings.Repeat("b", 40)), Reason: r.Reason, By: r.By}
	return localapi.AcceptResponse{Waiver: w, Ticket: ticket}, err
}

func (f *fakeDaemon) AcceptIdentity(context.Context) error {
	_, err := f.order("accept identity")
	return err
}

func (f *fakeDaemon) Import(_ context.Context, source, file string) (gitops.Imported, error) {
	bundle, err := os.ReadFile(file)
	if err != nil {
		return gitops.Imported{}, err
	}
	_, err = f.order("import %q of %q", source, bundle)
	return f.Imported, err
}

func (f *fakeDaemon) Export(_ context.Context, source string, w io.Writer) error {
	if _, err := io.WriteString(w, f.Bundle); err != nil {
		return err
	}
	_, err := f.order("export %q", source)
	return err
}

func (f *fakeDaemon) Metrics(w io.Writer) error {
	return errors.Join(f.failure(), notify.Metrics(w, f.Status()))
}
