// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
	"pgregory.net/rapid"
)

// life is a source and the cluster that it writes to. cluster is what is really
// there and ours; the journal must never know less.
type life struct {
	dir     string
	j       *journal.Journal
	cluster map[string]bool
	open    gitops.Attempt // ID 0: none
	target  gitops.Manifests
	wrote   bool // this attempt
}

func (l *life) owned(t *rapid.T) gitops.Inventory {
	inv, err := l.j.Owned(context.Background(), "fleet")
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func (l *life) begin(t *rapid.T) {
	letters := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"p", "q", "r", "s", "t", "u"}), 1, 5, rapid.ID[string]).Draw(t, "objects")
	version := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version")
	var objects []string
	for _, letter := range letters {
		objects = append(objects, letter+"="+version)
	}
	m := manifests(revision(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "revision")), objects...)
	request := gitops.BeginRequest{
		Source: "fleet", Revision: m.Revision, Plan: plan(l.owned(t), m), Supersedes: l.open.ID,
		Cause: rapid.SampledFrom([]gitops.Cause{gitops.CauseUpdate, gitops.CauseRollback, gitops.CauseRetry}).Draw(t, "cause"),
	}
	if rapid.Bool().Draw(t, "forgetful") {
		request.Plan.Inventory = nil
	}
	a, err := l.j.Begin(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	l.open, l.target, l.wrote = a, m, false
}

func (l *life) needsOpen(t *rapid.T, phases ...gitops.Phase) {
	if l.open.ID == 0 || !slices.Contains(phases, l.open.Phase) {
		t.Skip("not in this phase")
	}
}

// write writes one object of the target, as apply does, without telling the
// journal yet.
func (l *life) write(t *rapid.T) {
	l.needsOpen(t, gitops.PhaseIntent, gitops.PhaseApplied)
	o := rapid.SampledFrom(l.target.Objects).Draw(t, "object")
	l.cluster[o.Ref.Name], l.wrote = true, true
}

// prune deletes one object that is not wanted, without telling the journal yet.
func (l *life) prune(t *rapid.T) {
	l.needsOpen(t, gitops.PhaseHealthy, gitops.PhaseApplied)
	for _, name := range slices.Sorted(maps.Keys(l.cluster)) {
		if _, wanted := l.target.Find(ref(name).Key()); !wanted {
			delete(l.cluster, name)
			return
		}
	}
}

func (l *life) advance(t *rapid.T, to gitops.Phase, o gitops.Outcome) {
	if err := l.j.Advance(context.Background(), l.open.ID, to, o); err != nil {
		t.Fatal(err)
	}
	l.open.Phase = to
	if to.Closed() {
		l.open = gitops.Attempt{}
	}
}

func (l *life) apply(t *rapid.T) {
	l.needsOpen(t, gitops.PhaseIntent)
	for _, o := range l.target.Objects {
		l.cluster[o.Ref.Name] = true
	}
	l.wrote = true
	l.advance(t, gitops.PhaseApplied, gitops.Outcome{Inventory: applied(l.target)})
}

func (l *life) healthy(t *rapid.T) {
	l.needsOpen(t, gitops.PhaseApplied)
	l.advance(t, gitops.PhaseHealthy, gitops.Outcome{})
}

func (l *life) close(t *rapid.T) {
	l.needsOpen(t, gitops.PhaseHealthy)
	l.cluster = map[string]bool{}
	for _, o := range l.target.Objects {
		l.cluster[o.Ref.Name] = true
	}
	l.advance(t, gitops.PhasePruned, gitops.Outcome{Inventory: applied(l.target), Exact: true})
	if got, want := names(l.owned(t)), strings.Join(slices.Sorted(maps.Keys(l.cluster)), " "); got != want {
		t.Fatalf("after Pruned it owns %q, not %q", got, want)
	}
}

func (l *life) fail(t *rapid.T) {
	l.needsOpen(t, gitops.PhaseIntent, gitops.PhaseApplied)
	o := gitops.Outcome{
		Reason:    rapid.SampledFrom([]gitops.Reason{gitops.ApplyFailed, gitops.Interrupted, gitops.CrashLoop}).Draw(t, "reason"),
		Remember:  rapid.Bool().Draw(t, "remember"),
		Untouched: !l.wrote,
	}
	for _, item := range applied(l.target) {
		if l.cluster[item.Ref.Name] && rapid.Bool().Draw(t, "recorded") {
			o.Inventory = append(o.Inventory, item)
		}
	}
	l.advance(t, gitops.PhaseFailed, o)
}

func (l *life) resume(t *rapid.T) {
	l.needsOpen(t, gitops.PhaseIntent, gitops.PhaseApplied, gitops.PhaseHealthy)
	l.reopen(t)
	if _, err := l.j.Resume(context.Background(), l.open.ID); err != nil {
		t.Fatal(err)
	}
	l.wrote = false // the new process knows of nothing that the old one wrote
}

func (l *life) reopen(t *rapid.T) {
	if l.j != nil {
		l.j.Die()
	}
	j, err := journal.Open(context.Background(), l.dir, small)
	if err != nil {
		t.Fatal(err)
	}
	l.j = j
}

func (l *life) retain(t *rapid.T) {
	if err := l.j.Retain(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// nothingIsForgotten is the promise: whatever happened, in whatever order.
func (l *life) nothingIsForgotten(t *rapid.T) {
	index := l.owned(t).Index()
	for name := range l.cluster {
		if _, ok := index[ref(name).Key()]; !ok {
			t.Fatalf("%s is in the cluster, and the journal owns only %s", name, names(l.owned(t)))
		}
	}
	state, err := l.j.State(context.Background(), "fleet")
	if err != nil {
		t.Fatal(err)
	}
	if (state.Open != nil) != (l.open.ID != 0) || state.Open != nil && (state.Open.ID != l.open.ID || state.Open.Phase != l.open.Phase) {
		t.Fatalf("open is %+v, not %+v", state.Open, l.open)
	}
}

func TestWhateverHappensNoObjectIsForgotten(t *testing.T) {
	parent := memory(t)
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "life")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		l := &life{dir: dir, cluster: map[string]bool{}}
		l.reopen(t)
		defer func() { l.j.Die() }()
		t.Repeat(map[string]func(*rapid.T){
			"begin": l.begin, "write": l.write, "prune": l.prune, "apply": l.apply, "healthy": l.healthy,
			"close": l.close, "fail": l.fail, "crash": l.reopen, "resume": l.resume, "retain": l.retain,
			"": l.nothingIsForgotten,
		})
	})
}
