// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func TestFirstSync(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ready("Unknown", gitops.NotYet)
		rev := w.healthy(content{"a": "1", "b": "1"})
		w.ready("True", gitops.IsHealthy)
		w.history("update Pruned")
		end := w.cluster.finished[0]
		if len(end.exact) != 2 || end.accepted != rev || end.healthy != rev {
			t.Errorf("finished with %+v", end)
		}
		if !slices.Contains(w.remote.retained, rev.Hash()) {
			t.Errorf("retained %v, want what runs among it", w.remote.retained)
		}
	})
}

func TestAcceptedIsJournalledBeforeRender(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		rev := w.push(content{"a": "2"})
		w.renderer.hook = func(offered gitops.Revision) error {
			if state := w.state(); state.Accepted.Revision != offered || state.Accepted.Revision != rev {
				t.Errorf("accepted = %s while %s is rendered", state.Accepted.Revision, offered)
			}
			return failure(gitops.KustomizeFailed)
		}
		w.once()
		if w.state().Accepted.Revision != rev {
			t.Error("a revision that does not render is not accepted: an older one could come back")
		}
		w.ready("False", gitops.KustomizeFailed)
		if w.renderer.renders != 2 {
			t.Errorf("%d renders, want 2", w.renderer.renders)
		}
		// What runs is kept in repair, and the same render is not tried for ever.
		w.cluster.edit("a", "edited")
		w.restart()
		w.run()
		w.sleep(3 * time.Minute)
		w.holds(content{"a": "1"})
		if w.renderer.renders != 3 {
			t.Errorf("%d renders, want 3: one more by the new process", w.renderer.renders)
		}
	})
}

func TestPullErrorLeavesTheTargetAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		rev := w.healthy(content{"a": "1", "b": "1"})
		w.push(content{"a": "2"})
		w.remote.err = failure(gitops.Unreachable)
		w.cluster.edit("a", "edited")
		w.cluster.edit("b", "")
		w.run()
		w.sleep(time.Minute)
		w.runs(rev, content{"a": "1", "b": "1"})
		w.history("update Pruned")
		if c := w.status().Condition(gitops.ConditionSourceReachable); c.Status != "False" || c.Reason != gitops.Unreachable {
			t.Errorf("SourceReachable = %+v", c)
		}
		if d := w.status().Drift; d.Detected != 2 || d.Corrected != 2 {
			t.Errorf("drift = %+v, want 2 objects detected and corrected", d)
		}
		w.ready("True", gitops.IsHealthy)
		// Also when the link goes away in the middle of an update.
		w.remote.set(func(r *remote) { r.err = nil })
		slow := w.push(content{"a": "slow"})
		w.sleep(time.Minute)
		w.remote.set(func(r *remote) { r.err = failure(gitops.Timeout) })
		w.sleep(2 * time.Minute)
		if open := w.state().Open; open == nil || open.Revision != slow {
			t.Errorf("open = %+v, want the update to go on without Git", open)
		}
		w.cluster.edit("a", "2")
		w.sleep(time.Minute)
		if w.state().Healthy.Revision != slow {
			t.Errorf("healthy = %+v, want %s", w.state().Healthy, slow)
		}
	})
}

// refusing counts how often a refusal is handed to the journal.
type refusing struct {
	*journal.Journal
	count int
}

func (r *refusing) Refuse(ctx context.Context, source string, refusal gitops.Refusal) error {
	r.count++
	return r.Journal.Refuse(ctx, source, refusal)
}

func TestRefusedHeadIsRecordedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		j := &refusing{Journal: w.journal}
		w.cfg.Journal = j
		w.restart()
		one := w.healthy(content{"a": "1"})
		two := w.healthy(content{"a": "2"})
		calls, writes := w.cluster.count()
		fork := gitops.NewRevision("main", w.remote.fork(one.Hash(), content{"a": "evil"}))
		w.run()
		w.sleep(10 * time.Minute)
		w.runs(two, content{"a": "2"})
		if _, now := w.cluster.count(); now != writes {
			t.Errorf("%d writes because of a refused head", now-writes)
		}
		if steps := w.cluster.since(calls); slices.Contains(steps, "apply") {
			t.Errorf("steps = %v", steps)
		}
		refused := w.state().Refused
		if refused == nil || refused.Revision != fork || refused.Commit != fork.Hash() || refused.Reason != gitops.Fork {
			t.Fatalf("refused = %+v, want %s for %s", refused, fork, gitops.Fork)
		}
		if j.count != 1 || w.remote.polled() < 10 {
			t.Errorf("recorded %d times in %d polls, want once in at least 10", j.count, w.remote.polled())
		}
		w.ready("False", gitops.Fork)
		if st := w.status(); st.Refused == nil || st.Condition(gitops.ConditionVerified).Status != "False" {
			t.Errorf("status = %+v, want the refusal in it", st)
		}
		// The branch goes back to what is accepted: nothing is wrong any more.
		w.remote.set(func(r *remote) { r.head = two.Hash() })
		w.sleep(time.Minute)
		w.ready("True", gitops.IsHealthy)
		if st := w.status(); st.Refused != nil {
			t.Errorf("refused = %+v, want none", st.Refused)
		}
	})
}

func TestCommitWithoutItsObjectsIsNotRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		rev := w.push(content{"a": "2"})
		raw := w.remote.objects[rev.Hash()]
		delete(w.remote.objects, rev.Hash())
		w.once()
		if w.state().Refused != nil {
			t.Errorf("refused = %+v: a missing object is the link's fault", w.state().Refused)
		}
		if c := w.status().Condition(gitops.ConditionSourceReachable); c.Reason != gitops.Incomplete {
			t.Errorf("SourceReachable = %+v", c)
		}
		w.remote.objects[rev.Hash()] = raw
		w.once()
		w.runs(rev, content{"a": "2"})
	})
}

func TestMissingObjectsAreBroughtBeforeRender(t *testing.T) {
	inWorld(t, func(w *world) {
		w.remote.missing = []gitops.Hash{"blob"}
		w.healthy(content{"a": "1"})
		// Without the link, what runs is kept.
		w.remote.missing = []gitops.Hash{"blob"}
		rev := w.push(content{"a": "2"})
		w.remote.next = time.Time{}
		w.renderer.hook = func(gitops.Revision) error { t.Error("rendered without its objects"); return nil }
		cfg := w.cfg.Sources[0]
		cfg.Git = cutAfterCommits{w.remote}
		w.cfg.Sources = w.cfg.Sources[:0]
		w.cfg.Sources = append(w.cfg.Sources, cfg)
		w.restart()
		w.cluster.edit("a", "edited")
		w.once()
		w.holds(content{"a": "1"})
		if w.state().Accepted.Revision != rev {
			t.Error("not accepted")
		}
		w.history("update Pruned")
		w.ready("False", gitops.Unreachable)
	})
}

// cutAfterCommits is a link that goes away between commits and objects.
type cutAfterCommits struct{ *remote }

func (cutAfterCommits) Objects(context.Context, []gitops.MissingObject) error {
	return failure(gitops.Unreachable)
}

func TestFirstSeenHeadIsPinned(t *testing.T) {
	inWorld(t, func(w *world) {
		v, err := verify.New(verify.Config{Source: fleet, Mode: verify.ModeNone, Insecure: true, Introduction: verify.FirstSeen}, w.remote)
		if err != nil {
			t.Fatal(err)
		}
		w.cfg.Sources[0].Verifier = v
		w.restart()
		one := w.healthy(content{"a": "1"})
		w.healthy(content{"a": "2"})
		if got := w.state().Introduction; got != one.Hash() {
			t.Errorf("introduction = %s, want %s: the first, and never another", got, one.Hash())
		}
	})
}

func TestGitIsToldWhatIsHere(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		two := w.push(content{"a": "crash"})
		w.once()
		w.once()
		if want := []gitops.Hash{two.Hash(), one.Hash(), one.Hash()}; !slices.Equal(w.remote.known, want) {
			t.Errorf("known = %v, want accepted, applied, healthy %v", w.remote.known, want)
		}
	})
}

func TestCommitForAnotherNodeMovesAllThreeWithoutAWrite(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		calls, writes := w.cluster.count()
		rev := w.push(content{"a": "1"})
		w.once()
		state := w.state()
		for what, at := range map[string]*gitops.At{"accepted": state.Accepted, "applied": state.Applied, "healthy": state.Healthy} {
			if at.Revision != rev {
				t.Errorf("%s = %s, want %s", what, at.Revision, rev)
			}
		}
		if _, now := w.cluster.count(); now != writes {
			t.Errorf("%d writes", now-writes)
		}
		// One look for drift, as in every cycle, and nothing else.
		if steps := w.cluster.since(calls); !slices.Equal(steps, []string{"plan"}) {
			t.Errorf("steps = %v, want one plan", steps)
		}
		w.history("update Pruned")
		w.ready("True", gitops.IsHealthy)
	})
}
