// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// fullDisk is a journal of which one operation fails.
type fullDisk struct {
	*journal.Journal
	broken atomic.Pointer[string]
}

func (j *fullDisk) fail(op string) error {
	if broken := j.broken.Load(); broken != nil && *broken == op {
		return failure(gitops.JournalFailed)
	}
	return nil
}

func (j *fullDisk) State(ctx context.Context, source string) (gitops.SourceState, error) {
	if err := j.fail("State"); err != nil {
		return gitops.SourceState{}, err
	}
	return j.Journal.State(ctx, source)
}

func (j *fullDisk) Accept(ctx context.Context, source string, at gitops.At, unchanged bool) error {
	return errors.Join(j.fail("Accept"), j.orElse("Accept", func() error { return j.Journal.Accept(ctx, source, at, unchanged) }))
}

func (j *fullDisk) Begin(ctx context.Context, r gitops.BeginRequest) (gitops.Attempt, error) {
	if err := j.fail("Begin"); err != nil {
		return gitops.Attempt{}, err
	}
	return j.Journal.Begin(ctx, r)
}

func (j *fullDisk) Advance(ctx context.Context, id int64, to gitops.Phase, o gitops.Outcome) error {
	return errors.Join(j.fail("Advance to "+string(to)), j.orElse("Advance to "+string(to), func() error { return j.Journal.Advance(ctx, id, to, o) }))
}

func (j *fullDisk) Attempts(ctx context.Context, source string, limit int) ([]gitops.Attempt, error) {
	if err := j.fail("Attempts"); err != nil {
		return nil, err
	}
	return j.Journal.Attempts(ctx, source, limit)
}

func (j *fullDisk) Owned(ctx context.Context, source string) (gitops.Inventory, error) {
	if err := j.fail("Owned"); err != nil {
		return nil, err
	}
	return j.Journal.Owned(ctx, source)
}

func (j *fullDisk) FailedBefore(ctx context.Context, source string, rev gitops.Revision, digest string) (*gitops.Attempt, error) {
	if err := j.fail("FailedBefore"); err != nil {
		return nil, err
	}
	return j.Journal.FailedBefore(ctx, source, rev, digest)
}

func (j *fullDisk) Retain(ctx context.Context) error {
	return errors.Join(j.fail("Retain"), j.orElse("Retain", func() error { return j.Journal.Retain(ctx) }))
}

func (j *fullDisk) orElse(op string, do func() error) error {
	if j.fail(op) != nil {
		return nil
	}
	return do()
}

// A full disk is nobody's fault: whatever cannot be written is done again.
func TestJournalOutOfReachBlamesNobody(t *testing.T) {
	ops := []string{
		"State", "Accept", "Attempts", "FailedBefore", "Owned", "Begin", "Retain",
		"Advance to Applied", "Advance to Healthy", "Advance to Pruned",
	}
	for _, op := range ops {
		t.Run(op, func(t *testing.T) {
			inWorld(t, func(w *world) {
				j := &fullDisk{Journal: w.journal}
				w.cfg.Journal = j
				w.restart()
				w.healthy(content{"a": "1", "old": "1"})
				two := w.push(content{"a": "2", "b": "2"})
				w.run()
				j.broken.Store(&op)
				w.sleep(5 * time.Minute)
				if state := w.state(); state.Failed != nil {
					t.Errorf("failed = %+v", state.Failed)
				}
				j.broken.Store(nil)
				w.sleep(3 * time.Minute)
				w.runs(two, content{"a": "2", "b": "2"})
				w.history("update Pruned", "update Pruned")
				if a := w.attempts()[1]; a.Resumes != 0 {
					t.Errorf("resumes = %d: nothing was restarted", a.Resumes)
				}
				w.ready("True", gitops.IsHealthy)
			})
		})
	}
}

// The failure cannot be recorded: it is found again, and then rolled back.
func TestFailureThatCannotBeRecordedIsFoundAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		j := &fullDisk{Journal: w.journal}
		w.cfg.Journal = j
		w.restart()
		one := w.healthy(content{"a": "1"})
		w.push(content{"a": "crash"})
		op := "Advance to Failed"
		j.broken.Store(&op)
		w.run()
		w.sleep(10 * time.Minute)
		w.history("update Pruned", "update Applied")
		j.broken.Store(nil)
		w.sleep(3 * time.Minute)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed CrashLoop", "rollback Pruned")
		if a := w.attempts()[1]; a.Resumes != 0 {
			t.Errorf("resumes = %d: nothing was restarted", a.Resumes)
		}
	})
}

// The same where the attempt may be what stops the node: it is not gone on with.
func TestAttemptThatWasResumedTooOftenIsNotGoneOnWith(t *testing.T) {
	inWorld(t, func(w *world) {
		j := &fullDisk{Journal: w.journal}
		w.cfg.Journal = j
		w.restart()
		one := w.healthy(content{"a": "1"})
		w.push(content{"a": "2"})
		for range 4 {
			w.stopAt("wait")
			w.restart()
		}
		op := "Advance to Failed"
		j.broken.Store(&op)
		calls, _ := w.cluster.count()
		w.run()
		w.sleep(10 * time.Minute)
		if steps := w.cluster.since(calls); len(steps) != 0 {
			t.Errorf("steps = %v, want none", steps)
		}
		j.broken.Store(nil)
		w.sleep(3 * time.Minute)
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed ResumedTooOften", "rollback Pruned")
	})
}

func TestJournalThatCannotBeReadEndsRun(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Journal = unreadable{w.journal}
		w.restart()
		if err := w.agent.Run(w.ctx); gitops.ReasonOf(err) != gitops.JournalFailed {
			t.Errorf("Run = %v, want %s", err, gitops.JournalFailed)
		}
		if err := w.agent.Once(w.ctx); gitops.ReasonOf(err) != gitops.JournalFailed {
			t.Errorf("Once = %v, want %s", err, gitops.JournalFailed)
		}
	})
}

type unreadable struct{ *journal.Journal }

func (unreadable) NodeName(context.Context) (string, error) {
	return "", failure(gitops.JournalFailed)
}

// revoking is a verifier whose keys are revoked when they are read again.
type revoking struct {
	agent.Verifier
	revoked bool
}

func (v *revoking) Reload() error {
	v.revoked = true
	return failure(gitops.TrustMissing)
}

func (v *revoking) Again(ctx context.Context, rev gitops.Revision) (verify.Commit, error) {
	if v.revoked {
		return verify.Commit{}, failure(gitops.KeyRevoked)
	}
	return v.Verifier.Again(ctx, rev)
}

func TestRevokedKeyStopsTheRollback(t *testing.T) {
	inWorld(t, func(w *world) {
		w.cfg.Sources[0].Verifier = &revoking{Verifier: w.cfg.Sources[0].Verifier}
		w.restart()
		w.healthy(content{"a": "1"})
		w.push(content{"a": "crash"})
		if err := w.agent.ReloadKeys(); gitops.ReasonOf(err) != gitops.TrustMissing {
			t.Errorf("ReloadKeys = %v, want what the verifier says", err)
		}
		w.once()
		w.holds(content{"a": "crash"})
		w.history("update Pruned", "update Failed CrashLoop")
		if c := w.status().Condition(gitops.ConditionStalled); c.Reason != gitops.KeyRevoked {
			t.Errorf("Stalled = %+v, want %s", c, gitops.KeyRevoked)
		}
	})
}
