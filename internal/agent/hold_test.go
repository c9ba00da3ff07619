// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func (w *world) rollback(to string, pin bool) gitops.Hold {
	w.t.Helper()
	hold, cycle, err := w.agent.Rollback(w.ctx, fleet, to, pin, "uid 0")
	if err != nil {
		w.t.Fatalf("Rollback: %v", err)
	}
	w.sleep(20 * time.Second)
	if got := w.status().Cycle; got < cycle {
		w.t.Errorf("cycle %d is over, want %d", got, cycle)
	}
	return hold
}

func TestHoldIsReleasedByANewerCommitOnly(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1", "b": "1"})
		two := w.healthy(content{"a": "2", "c": "2"})
		w.run()
		hold := w.rollback("", false)
		if hold.Revision != one || hold.HeldBack != two || hold.By != "uid 0" {
			t.Errorf("hold = %+v", hold)
		}
		w.runs(one, content{"a": "1", "b": "1"})
		back := w.attempts()[2]
		if back.Cause != gitops.CauseRollback || back.Undoes != w.attempts()[1].ID {
			t.Errorf("attempt = %+v, want a rollback of the second", back)
		}
		w.ready("False", gitops.HeldBack)
		// The head that is held back is polled again and again, and after a restart.
		w.sleep(5 * time.Minute)
		w.restart()
		w.run()
		w.sleep(5 * time.Minute)
		w.cluster.edit("a", "edited")
		w.sleep(time.Minute)
		w.runs(one, content{"a": "1", "b": "1"})
		if state := w.state(); state.Hold == nil || state.Accepted.Revision != two {
			t.Errorf("hold = %+v, accepted = %+v", state.Hold, state.Accepted)
		}
		three := w.push(content{"a": "3"})
		w.sleep(2 * time.Minute)
		w.runs(three, content{"a": "3"})
		if state := w.state(); state.Hold != nil {
			t.Errorf("hold = %+v, want none", state.Hold)
		}
		w.ready("True", gitops.IsHealthy)
	})
}

func TestPinnedHoldOutlastsNewerCommits(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		w.healthy(content{"a": "2"})
		w.run()
		w.rollback(string(one.Hash()[:7]), true)
		three := w.push(content{"a": "3"})
		w.sleep(5 * time.Minute)
		w.runs(one, content{"a": "1"})
		if state := w.state(); state.Hold == nil || state.Accepted.Revision != three {
			t.Errorf("hold = %+v, accepted = %+v", state.Hold, state.Accepted)
		}
		if c := w.status().Condition(gitops.ConditionHeld); c.Status != "True" || !strings.HasPrefix(c.Message, "pinned") {
			t.Errorf("Held = %+v", c)
		}
		if _, err := w.agent.Resume(w.ctx, fleet); err != nil {
			t.Fatal(err)
		}
		w.sleep(20 * time.Second)
		w.runs(three, content{"a": "3"})
	})
}

// A second rollback goes one revision further, not forward again.
func TestRollbackTwiceGoesTwoBack(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		two := w.healthy(content{"a": "2"})
		three := w.healthy(content{"a": "3"})
		w.run()
		w.remote.set(func(r *remote) { r.err = failure(gitops.Unreachable) })
		w.rollback("", false)
		w.runs(two, content{"a": "2"})
		hold := w.rollback("", false)
		w.runs(one, content{"a": "1"})
		if hold.HeldBack != three {
			t.Errorf("held back = %s, want what is accepted, %s", hold.HeldBack, three)
		}
		_, _, err := w.agent.Rollback(w.ctx, fleet, "", false, "uid 0")
		if gitops.ReasonOf(err) != gitops.NotFoundHere {
			t.Errorf("a third rollback: %v, want %s", err, gitops.NotFoundHere)
		}
	})
}

func TestRollbackFromAFailedRevisionThatWasLeft(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].Rollback.Auto = false
		w.restart()
		w.healthy(content{"a": "1"})
		two := w.healthy(content{"a": "2"})
		w.push(content{"a": "crash", "b": "new"})
		w.once()
		w.holds(content{"a": "crash", "b": "new"})
		w.run()
		w.rollback("", false)
		w.runs(two, content{"a": "2"})
	})
}

// crashing is a journal that cannot release a hold.
type crashing struct{ *journal.Journal }

func (crashing) SetHold(context.Context, string, *gitops.Hold) error {
	return errors.New("the power is gone")
}

// The newer commit is accepted, and the power fails before the hold is gone.
func TestHoldIsReleasedAfterACrash(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.healthy(content{"a": "2"})
		w.run()
		w.rollback("", false)
		w.stop()
		w.cfg.Journal = crashing{w.journal}
		three := w.push(content{"a": "3"})
		w.restart()
		w.once()
		if state := w.state(); state.Hold == nil || state.Accepted.Revision != three {
			t.Fatalf("hold = %+v, accepted = %+v; want the crash in between", state.Hold, state.Accepted)
		}
		w.cfg.Journal = w.journal
		w.restart()
		w.once()
		w.runs(three, content{"a": "3"})
	})
}

// distrusting is a verifier whose keys were revoked meanwhile.
type distrusting struct{ agent.Verifier }

func (distrusting) Again(context.Context, gitops.Revision) (verify.Commit, error) {
	return verify.Commit{}, failure(gitops.KeyRevoked)
}

func TestRollbackIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		w.run()
		refused := func(to string, want gitops.Reason) {
			t.Helper()
			_, _, err := w.agent.Rollback(w.ctx, fleet, to, false, "uid 0")
			if gitops.ReasonOf(err) != want {
				t.Errorf("Rollback(%q) = %v, want %s", to, err, want)
			}
			if w.state().Hold != nil {
				t.Errorf("Rollback(%q) left a hold", to)
			}
		}
		refused("", gitops.NoTarget)
		w.stop()
		one := w.healthy(content{"a": "1"})
		w.run()
		refused("", gitops.NotFoundHere)
		refused("0000000", gitops.NotFoundHere)
		refused(string(one.Hash()[:3]), gitops.NotFoundHere) // too short to name anything
		// A target that the rules of today turn down is none.
		w.stop()
		w.healthy(content{"a": "2"})
		w.run()
		w.cfg.Sources[0].Verifier = distrusting{w.cfg.Sources[0].Verifier}
		w.restart()
		w.run()
		refused("", gitops.KeyRevoked)
		// Where the commit is out of reach, the journal's word has to do.
		w.cfg.Sources[0].Verifier = w.source(fleet).Verifier
		w.remote.set(func(r *remote) { delete(r.objects, one.Hash()) })
		w.restart()
		w.run()
		w.rollback("", false)
		w.runs(one, content{"a": "1"})
	})
}

func TestHoldUndoesAllThatCameAfter(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		w.healthy(content{"a": "1", "b": "new"})
		w.healthy(content{"a": "1", "b": "new", "c": "new"})
		w.run()
		w.rollback(string(one), false)
		w.runs(one, content{"a": "1"})
		asked := w.cluster.plans()[slices.IndexFunc(w.cluster.plans(), func(r gitops.PlanRequest) bool { return r.Rollback })]
		if len(asked.Undone) != 2 {
			t.Errorf("undone = %v, want the second and the third", asked.Undone)
		}
	})
}

func TestFailedHoldIsNotTriedInALoop(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.healthy(content{"a": "2"})
		w.cluster.set(func(c *cluster) { c.sick = []string{"1"} })
		w.run()
		w.rollback("", false)
		w.sleep(30 * time.Minute)
		w.history("update Pruned", "update Pruned", "rollback Failed CrashLoop")
		if c := w.status().Condition(gitops.ConditionStalled); c.Status != "True" || c.Reason != gitops.CrashLoop {
			t.Errorf("Stalled = %+v", c)
		}
	})
}

// What a person puts off has no black mark: it is tried at once when they let go.
func TestHoldInTheMiddleOfAWait(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		two := w.push(content{"a": "slow"})
		w.run()
		w.sleep(time.Minute)
		w.rollback("", false)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed Superseded", "rollback Pruned")
		w.cluster.set(func(c *cluster) { c.cured = true })
		if _, err := w.agent.Resume(w.ctx, fleet); err != nil {
			t.Fatal(err)
		}
		w.sleep(20 * time.Second)
		w.runs(two, content{"a": "slow"})
	})
}
