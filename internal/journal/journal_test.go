// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

// small is for tests that are not about the ballast.
var small = journal.Options{Ballast: -1}

func open(t *testing.T, dir string, opts journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatalf("open the journal: %v", err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// memory is a directory that costs no time to sync, for suites that open a
// journal hundreds of times and play the disk themselves.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// must is the result of a call that may not fail: must(call())(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantReason(t testing.TB, err error, reason gitops.Reason, words ...string) {
	t.Helper()
	if gitops.ReasonOf(err) != reason {
		t.Fatalf("error %v has reason %q, not %q", err, gitops.ReasonOf(err), reason)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// revision makes a revision of main from a letter.
func revision(letter string) gitops.Revision {
	return gitops.NewRevision("main", gitops.Hash(strings.Repeat(letter, 40)))
}

func ref(name string) gitops.ObjectRef {
	return gitops.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: name}
}

// manifests is a desired state: one ConfigMap for each "name=value".
func manifests(rev gitops.Revision, objects ...string) gitops.Manifests {
	m := gitops.Manifests{Revision: rev, Bundles: []gitops.Bundle{{Name: "app", Wait: true, Prune: true}}}
	for _, o := range objects {
		name, value, _ := strings.Cut(o, "=")
		yaml := fmt.Appendf(nil, "apiVersion: v1\ndata:\n  value: %s\nkind: ConfigMap\nmetadata:\n  name: %s\n", value, name)
		m.Objects = append(m.Objects, gitops.Manifest{Ref: ref(name), YAML: yaml, Digest: gitops.Digest(yaml), Bundle: "app"})
	}
	m.Digest = gitops.Digest(m.Bytes())
	return m
}

// plan announces the objects of m beside what is owned.
func plan(owned gitops.Inventory, m gitops.Manifests) gitops.Plan {
	var items gitops.Inventory
	p := gitops.Plan{Manifests: m}
	for _, o := range m.Objects {
		items = append(items, gitops.Item{Ref: o.Ref, Bundle: o.Bundle})
		p.Apply = append(p.Apply, gitops.Change{Ref: o.Ref, Action: gitops.Created, Reason: gitops.BecauseNew})
	}
	p.Inventory = owned.Union(items)
	return p
}

// applied is the inventory after all of m was written.
func applied(m gitops.Manifests) gitops.Inventory {
	var items gitops.Inventory
	for _, o := range m.Objects {
		items = append(items, gitops.Item{Ref: o.Ref, Bundle: o.Bundle, Digest: o.Digest, UID: "uid-" + o.Ref.Name, Fields: "f"})
	}
	return items.Sorted()
}

// begin begins an attempt at m.
func begin(t testing.TB, j *journal.Journal, m gitops.Manifests, change ...func(*gitops.BeginRequest)) gitops.Attempt {
	t.Helper()
	ctx := context.Background()
	owned := must(j.Owned(ctx, "fleet"))(t)
	b := gitops.BeginRequest{
		Source: "fleet", Revision: m.Revision, Cause: gitops.CauseUpdate, Plan: plan(owned, m),
		Signer: "ada", HealthTimeout: 5 * time.Minute,
	}
	for _, c := range change {
		c(&b)
	}
	return must(j.Begin(ctx, b))(t)
}

// converge takes m all the way to Pruned.
func converge(t testing.TB, j *journal.Journal, m gitops.Manifests, change ...func(*gitops.BeginRequest)) gitops.Attempt {
	t.Helper()
	a := begin(t, j, m, change...)
	advance(t, j, a.ID, gitops.PhaseApplied, gitops.Outcome{Inventory: applied(m)})
	advance(t, j, a.ID, gitops.PhaseHealthy, gitops.Outcome{})
	advance(t, j, a.ID, gitops.PhasePruned, gitops.Outcome{Inventory: applied(m), Exact: true})
	return must(j.Attempt(context.Background(), a.ID))(t)
}

func advance(t testing.TB, j *journal.Journal, id int64, to gitops.Phase, r gitops.Outcome) {
	t.Helper()
	check(t, j.Advance(context.Background(), id, to, r))
}

func state(t testing.TB, j *journal.Journal) gitops.SourceState {
	t.Helper()
	return must(j.State(context.Background(), "fleet"))(t)
}

func names(inv gitops.Inventory) string {
	var out []string
	for _, item := range inv.Sorted() {
		out = append(out, item.Ref.Name)
	}
	return strings.Join(out, " ")
}

func owned(t testing.TB, j *journal.Journal) gitops.Inventory {
	t.Helper()
	return must(j.Owned(context.Background(), "fleet"))(t)
}

func revisionOf(at *gitops.At) gitops.Revision {
	if at == nil {
		return ""
	}
	return at.Revision
}

func TestAnUnknownSourceHasAnEmptyState(t *testing.T) {
	j := open(t, t.TempDir(), small)
	s := state(t, j)
	if s.Source != "fleet" || s.Accepted != nil || s.Open != nil || len(owned(t, j)) != 0 {
		t.Errorf("state is %+v", s)
	}
	if got := must(j.Sources(t.Context()))(t); len(got) != 0 {
		t.Errorf("sources are %v", got)
	}
}

func TestEverythingSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	m := manifests(revision("a"), "one=1", "two=2")
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: m.Revision, Digest: m.Digest, Signer: "ada"}, false))
	done := converge(t, j, m)
	check(t, j.SetNodeName(t.Context(), "store-1"))
	check(t, j.SetClusterUID(t.Context(), "fleet", "u-1"))
	before := state(t, j)
	check(t, j.Close())

	j = open(t, dir, small)
	after := state(t, j)
	if revisionOf(after.Healthy) != m.Revision || *after.Healthy != *before.Healthy || *after.Accepted != *before.Accepted ||
		after.ClusterUID != "u-1" || after.Open != nil {
		t.Errorf("state is %+v", after)
	}
	if name := must(j.NodeName(t.Context()))(t); name != "store-1" {
		t.Errorf("node is %q", name)
	}
	got := must(j.Manifests(t.Context(), "fleet", m.Digest))(t)
	if string(got.Bytes()) != string(m.Bytes()) || got.Revision != m.Revision || got.Digest != m.Digest || len(got.Bundles) != 1 {
		t.Errorf("manifests are %+v", got)
	}
	history := must(j.Attempts(t.Context(), "fleet", 0))(t)
	if len(history) != 1 || history[0].ID != done.ID || history[0].Phase != gitops.PhasePruned || len(history[0].Reached) != 4 {
		t.Errorf("history is %+v", history)
	}
	if names(owned(t, j)) != "one two" {
		t.Errorf("owned is %v", owned(t, j))
	}
}

func TestAClosedJournalSaysSo(t *testing.T) {
	j := open(t, t.TempDir(), small)
	check(t, j.Close())
	_, err := j.State(t.Context(), "fleet")
	wantReason(t, err, gitops.JournalFailed, "closed")
	check(t, j.Close())
}

func TestAContextThatIsOverStopsBeforeAnythingIsDone(t *testing.T) {
	j := open(t, t.TempDir(), small)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if err := j.AllowPrune(ctx, "fleet", 3); !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v", err)
		}
	}
	if got := state(t, j).AllowPrune; got != 0 {
		t.Errorf("allowed to prune %d", got)
	}
}

// Whoever is shut down in the middle of a write gets a definite answer.
func TestAWriteThatHasBegunIsCarriedThrough(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	armed := false
	j := open(t, t.TempDir(), small.WithHook(func(point string) {
		if armed && point == "commit" {
			cancel()
		}
	}))
	armed = true
	check(t, j.AllowPrune(ctx, "fleet", 3))
	if got := state(t, j).AllowPrune; got != 3 || ctx.Err() == nil {
		t.Errorf("allowed to prune %d", got)
	}
}

func TestManyMayUseTheJournalAtOnce(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, manifests(revision("a"), "one=1"))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 10 {
				source := fmt.Sprintf("source-%d", i)
				if err := j.AllowPrune(t.Context(), source, n+1); err != nil {
					t.Error(err)
				}
				if s, err := j.State(t.Context(), source); err != nil || s.AllowPrune != n+1 {
					t.Errorf("%s: %+v, %v", source, s, err)
				}
			}
		})
	}
	all.Wait()
}
