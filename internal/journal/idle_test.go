// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

// marks is what would change if anything were written.
func marks(t *testing.T, j *journal.Journal, dir string) string {
	t.Helper()
	var changes, version int64
	check(t, j.Query("SELECT total_changes()", &changes))
	check(t, j.Query("PRAGMA data_version", &version))
	out := fmt.Sprintln(changes, version)
	for _, name := range []string{"journal.db", "journal.db-journal", "journal.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		out += fmt.Sprintln(name, info.Size(), info.ModTime().UnixNano())
	}
	return out
}

// Every call that an idle node's cycles may make, with nothing new to say.
func TestAnIdleNodeWritesNothing(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	ctx := t.Context()
	m := manifests(revision("a"), "one=1")
	at := gitops.At{Revision: m.Revision, Digest: m.Digest, Signer: "ada"}
	refusal := gitops.Refusal{Revision: revision("b"), Commit: "c", Reason: gitops.Unsigned, Message: "m"}
	hold := gitops.Hold{Revision: m.Revision, Digest: m.Digest, By: "uid 0", At: time.Now()}
	suspension := gitops.Suspension{Reason: "service", By: "uid 0", At: time.Now()}
	day := gitops.LinkDay{Date: "2026-01-02", LinkBytes: gitops.LinkBytes{In: 1000}}
	var last gitops.Attempt
	calls := map[string]func() error{
		"State":           func() error { _, err := j.State(ctx, "fleet"); return err },
		"Sources":         func() error { _, err := j.Sources(ctx); return err },
		"Owned":           func() error { _, err := j.Owned(ctx, "fleet"); return err },
		"Healthy":         func() error { _, err := j.Healthy(ctx, "fleet"); return err },
		"Manifests":       func() error { _, err := j.Manifests(ctx, "fleet", m.Digest); return err },
		"Attempts":        func() error { _, err := j.Attempts(ctx, "fleet", 0); return err },
		"Attempt":         func() error { _, err := j.Attempt(ctx, last.ID); return err },
		"Plan":            func() error { _, err := j.Plan(ctx, last.ID); return err },
		"FailedBefore":    func() error { _, err := j.FailedBefore(ctx, "fleet", m.Revision, m.Digest); return err },
		"Refusals":        func() error { _, err := j.Refusals(ctx, "fleet"); return err },
		"NodeName":        func() error { _, err := j.NodeName(ctx); return err },
		"Accept":          func() error { return j.Accept(ctx, "accepting", at, false) },
		"Accept again":    func() error { return j.Accept(ctx, "fleet", at, true) },
		"Refuse":          func() error { return j.Refuse(ctx, "refusing", refusal) },
		"Record":          func() error { return j.Record(ctx, "fleet", applied(m)) },
		"Record nothing":  func() error { return j.Record(ctx, "fleet", nil) },
		"SetHold":         func() error { return j.SetHold(ctx, "fleet", &hold) },
		"Suspend":         func() error { return j.Suspend(ctx, "fleet", &suspension) },
		"AllowPrune":      func() error { return j.AllowPrune(ctx, "fleet", 3) },
		"Configure":       func() error { return j.Configure(ctx, "fleet", "orphan") },
		"SetClusterUID":   func() error { return j.SetClusterUID(ctx, "fleet", "u") },
		"PinIntroduction": func() error { return j.PinIntroduction(ctx, "fleet", "abc") },
		"SetNodeName":     func() error { return j.SetNodeName(ctx, "store-1") },
		"Forget":          func() error { return j.Forget(ctx, "fleet") },
		"Remove":          func() error { return j.Remove(ctx, "gone") },
		"Retain":          func() error { return j.Retain(ctx) },
		"Link":            func() error { _, err := j.Link(ctx, "fleet"); return err },
		"SetLink":         func() error { return j.SetLink(ctx, "fleet", day) },
	}
	last = converge(t, j, m)
	for _, call := range calls {
		check(t, call())
	}
	before := marks(t, j, dir)
	for name, call := range calls {
		check(t, call())
		if after := marks(t, j, dir); after != before {
			t.Errorf("%s wrote:\n%swas\n%s", name, after, before)
			before = after
		}
	}
}

// Nor does a node that is started and stopped without work.
func TestAStartAndAStopWriteNothing(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	converge(t, j, manifests(revision("a"), "one=1"))
	check(t, j.Close())
	stat := func() string {
		info, err := os.Stat(filepath.Join(dir, "journal.db"))
		check(t, err)
		return fmt.Sprint(info.Size(), info.ModTime().UnixNano())
	}
	before := stat()
	j = open(t, dir, journal.Options{})
	state(t, j)
	check(t, j.Close())
	if after := stat(); after != before {
		t.Errorf("journal.db is %s, was %s", after, before)
	}
}
