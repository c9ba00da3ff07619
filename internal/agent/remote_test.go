// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// content is what a commit wants: objects by name, each with one value. What
// the value begins with says how the object will do: see liveObject.
type content map[string]string

// remote is a Git server with one branch, and the node's object store.
type remote struct {
	mu       sync.Mutex
	objects  map[gitops.Hash][]byte
	kinds    map[gitops.Hash]gitops.ObjectKind // of what is no commit
	far      map[gitops.Hash]bool              // on the server only, until it is asked for
	refs     map[string]gitops.Hash            // that are carried beside the head
	wanted   []gitops.Hash                     // of all Objects
	contents map[gitops.Hash]content
	head     gitops.Hash
	err      error // of every poll
	interval time.Duration
	next     time.Time
	polls    int
	known    []gitops.Hash // of the last poll
	missing  []gitops.Hash // what Objects has still to bring
	fetchErr error         // of every Objects
	fetches  int
	asks     []bool        // of each poll, whether it was forced
	retained []gitops.Hash // what was asked for last
	link     gitops.LinkStatus
	imported []string // files
	export   func(ctx context.Context, rev gitops.Revision, w io.Writer) error
}

func newRemote() *remote {
	return &remote{objects: map[gitops.Hash][]byte{}, contents: map[gitops.Hash]content{},
		kinds: map[gitops.Hash]gitops.ObjectKind{}, far: map[gitops.Hash]bool{}, refs: map[string]gitops.Hash{}, interval: time.Minute}
}

// push commits on top of the branch, and moves it.
func (r *remote) push(want content) gitops.Hash {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commit(r.head, want)
}

// fork commits on top of another commit, and moves the branch there.
func (r *remote) fork(parent gitops.Hash, want content) gitops.Hash {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.commit(parent, want)
}

func (r *remote) commit(parent gitops.Hash, want content) gitops.Hash {
	text := "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
	if parent != "" {
		text += "parent " + string(parent) + "\n"
	}
	text += fmt.Sprintf("author A <a@example.com> %d +0000\ncommitter A <a@example.com> %[1]d +0000\n\nchange %[2]d\n", 1_760_000_000+len(r.objects), len(r.objects))
	r.head = r.put(gitops.CommitObject, text)
	r.contents[r.head] = maps.Clone(want)
	return r.head
}

// put stores an object.
func (r *remote) put(kind gitops.ObjectKind, text string) gitops.Hash {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(text), text))
	id := gitops.Hash(hex.EncodeToString(sum[:]))
	r.objects[id] = []byte(text)
	r.kinds[id] = kind
	return id
}

// set changes the server while the agent may be running.
func (r *remote) set(change func(r *remote)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *remote) polled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.polls
}

// Commits implements agent.Source.
func (r *remote) Commits(_ context.Context, q gitops.PollRequest) (gitops.Commit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.polls++
	r.known = q.Known
	r.asks = append(r.asks, q.Forced)
	r.next = time.Now().Add(r.interval)
	if r.err != nil {
		return gitops.Commit{}, r.err
	}
	return gitops.Commit{Revision: gitops.NewRevision("main", r.head), FullRef: "refs/heads/main"}, nil
}

// Objects implements agent.Source.
func (r *remote) Objects(_ context.Context, missing []gitops.MissingObject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetches++
	if r.err != nil || r.fetchErr != nil {
		return errors.Join(r.fetchErr, r.err)
	}
	for _, m := range missing {
		delete(r.far, m.ID)
		r.wanted = append(r.wanted, m.ID)
	}
	r.missing = slices.DeleteFunc(r.missing, func(id gitops.Hash) bool {
		return slices.ContainsFunc(missing, func(m gitops.MissingObject) bool { return m.ID == id })
	})
	return nil
}

// Import implements agent.Source. A bundle is a file that holds a commit's id, or
// the reason why it is none.
func (r *remote) Import(_ context.Context, file string, known []gitops.Hash) (gitops.Commit, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return gitops.Commit{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.imported = append(r.imported, filepath.Base(file))
	r.known = known
	id := gitops.Hash(strings.TrimSpace(string(text)))
	if !id.Valid() {
		return gitops.Commit{}, failure(gitops.Reason(id))
	}
	if _, here := r.objects[id]; !here {
		return gitops.Commit{}, failure(gitops.WrongRepository)
	}
	return gitops.Commit{Revision: gitops.NewRevision("main", id), FullRef: "refs/heads/main"}, nil
}

// Export implements agent.Source.
func (r *remote) Export(ctx context.Context, rev gitops.Revision, w io.Writer) error {
	return r.export(ctx, rev, w)
}

// Retain implements agent.Source.
func (r *remote) Retain(_ context.Context, revisions []gitops.Hash) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retained = revisions
	return nil
}

// Link implements agent.Source.
func (r *remote) Link() gitops.LinkStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.link
	l.BytesIn = int64(r.polls)
	return l
}

// NextPoll implements agent.Source.
func (r *remote) NextPoll() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// Object implements verify.Objects.
func (r *remote) Object(_ context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	raw, ok := r.objects[id]
	if !ok || r.far[id] {
		return "", nil, failure(gitops.Incomplete)
	}
	return r.kinds[id], raw, nil
}

// renderer makes manifests of what was pushed.
type renderer struct {
	remote *remote
	// hook is called before each render and may fail it.
	hook func(rev gitops.Revision) error
	// broken are the commits that do not render.
	broken  map[gitops.Hash]gitops.Reason
	renders int
}

// Missing implements agent.Renderer.
func (r *renderer) Missing(context.Context, verify.Commit) ([]gitops.MissingObject, error) {
	r.remote.mu.Lock()
	defer r.remote.mu.Unlock()
	var out []gitops.MissingObject
	for _, id := range r.remote.missing {
		out = append(out, gitops.MissingObject{ID: id})
	}
	return out, nil
}

// Render implements agent.Renderer.
func (r *renderer) Render(_ context.Context, c verify.Commit, _ gitops.Capabilities) (gitops.Manifests, error) {
	r.remote.mu.Lock()
	defer r.remote.mu.Unlock()
	r.renders++
	if len(r.remote.missing) > 0 {
		return gitops.Manifests{}, failure(gitops.Incomplete)
	}
	if r.hook != nil {
		if err := r.hook(c.Revision()); err != nil {
			return gitops.Manifests{}, err
		}
	}
	if reason, ok := r.broken[c.Hash()]; ok {
		return gitops.Manifests{}, failure(reason)
	}
	return manifests(c.Revision(), r.remote.contents[c.Hash()]), nil
}

func manifests(rev gitops.Revision, want content) gitops.Manifests {
	m := gitops.Manifests{Revision: rev, Bundles: []gitops.Bundle{{Name: "app", Wait: true, Gate: gitops.GateRequired, Prune: true}}}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		yaml := []byte("name: " + name + "\nvalue: " + want[name] + "\n")
		m.Objects = append(m.Objects, gitops.Manifest{Ref: ref(name), YAML: yaml, Digest: gitops.Digest(yaml), Bundle: "app"})
		m.Bundles[0].Force = m.Bundles[0].Force || want[name] == "by force"
	}
	m.Digest = gitops.Digest(m.Bytes())
	return m
}

func ref(name string) gitops.ObjectRef {
	return gitops.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: name}
}

func valueOf(m gitops.Manifest) string {
	_, value, _ := strings.Cut(string(m.YAML), "\nvalue: ")
	return strings.TrimSuffix(value, "\n")
}

func failure(reason gitops.Reason) error {
	return &gitops.Error{Reason: reason, Message: "made to fail: " + string(reason)}
}
