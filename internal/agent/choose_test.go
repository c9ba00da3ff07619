// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	auto = RollbackMode{Auto: true, Max: 2}
)

func at(rev, digest string) *gitops.At {
	return &gitops.At{Revision: gitops.Revision(rev), Digest: digest, At: noon}
}

func healthyAts(ats ...*gitops.At) (out []gitops.At) {
	for _, a := range ats {
		out = append(out, *a)
	}
	return out
}

// try is an attempt as the journal lists it. A failed one that reached Applied
// wrote to the cluster.
func try(id int64, rev, digest string, cause gitops.Cause, phase gitops.Phase, reason gitops.Reason) gitops.Attempt {
	a := gitops.Attempt{ID: id, Revision: gitops.Revision(rev), Digest: digest, Cause: cause, Phase: phase, Reason: reason, Ended: noon}
	if phase == gitops.PhaseFailed && reason != gitops.Rejected {
		a.Reached = map[gitops.Phase]time.Time{gitops.PhaseApplied: noon}
	}
	return a
}

func open(a gitops.Attempt) *gitops.Attempt { return &a }

func TestChoose(t *testing.T) {
	const up, back = gitops.CauseUpdate, gitops.CauseRollback
	a1 := try(1, "A", "a", up, gitops.PhasePruned, "")
	b2failed := try(2, "B", "b", up, gitops.PhaseFailed, gitops.CrashLoop)
	b2rejected := try(2, "B", "b", up, gitops.PhaseFailed, gitops.Rejected)
	b2pull := try(2, "B", "b", up, gitops.PhaseFailed, gitops.ImagePull)
	hold := &gitops.Hold{Revision: "A", Digest: "a", HeldBack: "C"}

	cases := map[string]struct {
		state    gitops.SourceState
		attempts []gitops.Attempt // newest first
		healthy  []gitops.At
		mode     RollbackMode
		now      time.Time
		want     target
	}{
		"nothing accepted: rest": {
			want: target{course: rest},
		},
		"first revision: update": {
			state: gitops.SourceState{Accepted: at("A", "")},
			want:  target{course: update, revision: "A", cause: up},
		},
		"at rest on the accepted revision: keep": {
			state: gitops.SourceState{Accepted: at("A", ""), Applied: at("A", "a"), Healthy: at("A", "a")},
			want:  target{course: keep, revision: "A", digest: "a"},
		},
		"a newer revision: update": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("A", "a"), Healthy: at("A", "a")},
			attempts: []gitops.Attempt{a1},
			want:     target{course: update, revision: "B", cause: up},
		},
		"crashed in the middle: resume": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("A", "a"), Healthy: at("A", "a"), Open: open(try(2, "B", "b", up, gitops.PhaseIntent, ""))},
			attempts: []gitops.Attempt{try(2, "B", "b", up, gitops.PhaseIntent, ""), a1},
			want:     target{course: resume, revision: "B", digest: "b", cause: up},
		},
		"a newer commit supersedes the open attempt": {
			state:    gitops.SourceState{Accepted: at("C", ""), Healthy: at("A", "a"), Applied: at("B", "b"), Open: open(try(2, "B", "b", up, gitops.PhaseApplied, ""))},
			attempts: []gitops.Attempt{try(2, "B", "b", up, gitops.PhaseApplied, ""), a1},
			want:     target{course: update, revision: "C", cause: up, supersedes: 2},
		},
		"a revision that failed after writing: roll back to the last healthy one": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("B", "b"), Healthy: at("A", "a"), Failed: &b2failed},
			attempts: []gitops.Attempt{b2failed, a1}, healthy: healthyAts(at("A", "a")),
			want: target{course: rollback, revision: "A", digest: "a", cause: back, undoes: 2, undone: map[int64]bool{2: true}, failed: &b2failed},
		},
		"a revision that was rejected before any write: keep what runs": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("A", "a"), Healthy: at("A", "a"), Failed: &b2rejected},
			attempts: []gitops.Attempt{b2rejected, a1}, healthy: healthyAts(at("A", "a")),
			want: target{course: keep, revision: "A", digest: "a", failed: &b2rejected},
		},
		"rolled back: keep it and do not retry": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("A", "a"), Healthy: at("A", "a"), Failed: &b2failed},
			attempts: []gitops.Attempt{try(3, "A", "a", back, gitops.PhasePruned, ""), b2failed, a1}, healthy: healthyAts(at("A", "a")),
			now:  noon.Add(1000 * time.Hour),
			want: target{course: keep, revision: "A", digest: "a", failed: &b2failed},
		},
		"the host's fault, rolled back: keep until the retry is due": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("A", "a"), Healthy: at("A", "a")},
			attempts: []gitops.Attempt{try(3, "A", "a", back, gitops.PhasePruned, ""), b2pull, a1}, healthy: healthyAts(at("A", "a")),
			now:  noon.Add(4 * time.Minute),
			want: target{course: keep, revision: "A", digest: "a", failed: &b2pull, retryAt: noon.Add(5 * time.Minute)},
		},
		"the host's fault, retry due: update again": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("A", "a"), Healthy: at("A", "a")},
			attempts: []gitops.Attempt{try(3, "A", "a", back, gitops.PhasePruned, ""), b2pull, a1}, healthy: healthyAts(at("A", "a")),
			now:  noon.Add(5 * time.Minute),
			want: target{course: update, revision: "B", cause: gitops.CauseRetry},
		},
		"the clock was years ahead when it failed: due now": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("A", "a"), Healthy: at("A", "a")},
			attempts: []gitops.Attempt{try(3, "A", "a", back, gitops.PhasePruned, ""), b2pull, a1}, healthy: healthyAts(at("A", "a")),
			now:  noon.AddDate(-3, 0, 0),
			want: target{course: update, revision: "B", cause: gitops.CauseRetry},
		},
		"the host failed the rollback: wait before it is tried again": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("B", "b"), Healthy: at("A", "a"), Failed: &b2failed},
			attempts: []gitops.Attempt{try(3, "A", "a", back, gitops.PhaseFailed, gitops.ImagePull), b2failed, a1}, healthy: healthyAts(at("A", "a")),
			now:  noon.Add(4 * time.Minute),
			want: target{course: rest, failed: &b2failed, retryAt: noon.Add(5 * time.Minute)},
		},
		"the rollback waits its turn, and the revision waits for it": {
			state: gitops.SourceState{Accepted: at("B", ""), Applied: at("B", "b"), Healthy: at("A", "a")},
			attempts: []gitops.Attempt{{ID: 3, Revision: "A", Digest: "a", Cause: back, Phase: gitops.PhaseFailed, Reason: gitops.ImagePull, Ended: noon.Add(2 * time.Minute),
				Reached: map[gitops.Phase]time.Time{gitops.PhaseApplied: noon}}, b2pull, a1}, healthy: healthyAts(at("A", "a")),
			now:  noon.Add(6 * time.Minute),
			want: target{course: rest, failed: &b2pull, retryAt: noon.Add(7 * time.Minute)},
		},
		"the host failed the rollback, and it is due: the same again": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("B", "b"), Healthy: at("A", "a"), Failed: &b2failed},
			attempts: []gitops.Attempt{try(3, "A", "a", back, gitops.PhaseFailed, gitops.ImagePull), b2failed, a1}, healthy: healthyAts(at("A", "a")),
			now:  noon.Add(5 * time.Minute),
			want: target{course: rollback, revision: "A", digest: "a", cause: back, undoes: 2, undone: map[int64]bool{2: true, 3: true}, failed: &b2failed},
		},
		"a hold that the host failed is tried again when it is due": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("A", "a"), Healthy: at("C", "c"), Hold: hold},
			attempts: []gitops.Attempt{try(4, "A", "a", back, gitops.PhaseFailed, gitops.ImagePull), try(3, "C", "c", up, gitops.PhasePruned, "")},
			now:      noon.Add(5 * time.Minute),
			want:     target{course: rollback, revision: "A", digest: "a", cause: back, undoes: 4, undone: map[int64]bool{3: true, 4: true}},
		},
		"manual rollback: nothing is undone": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("B", "b"), Healthy: at("A", "a"), Failed: &b2failed},
			attempts: []gitops.Attempt{b2failed, a1}, healthy: healthyAts(at("A", "a")), mode: RollbackMode{Max: 2},
			want: target{course: rest, failed: &b2failed},
		},
		"never healthy: nothing is undone, tried again from five minutes": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("B", "b"), Failed: &b2failed},
			attempts: []gitops.Attempt{b2failed},
			want:     target{course: rest, failed: &b2failed, retryAt: noon.Add(5 * time.Minute)},
		},
		"the rollback failed too: an older one": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("B", "b"), Healthy: at("B", "b"), Failed: open(try(3, "C", "c", up, gitops.PhaseFailed, gitops.CrashLoop))},
			attempts: []gitops.Attempt{try(4, "B", "b", back, gitops.PhaseFailed, gitops.HealthTimeout), try(3, "C", "c", up, gitops.PhaseFailed, gitops.CrashLoop), try(2, "B", "b", up, gitops.PhasePruned, ""), a1},
			healthy:  healthyAts(at("B", "b"), at("A", "a")),
			want: target{course: rollback, revision: "A", digest: "a", cause: back, undoes: 3, undone: map[int64]bool{3: true, 4: true},
				failed: open(try(3, "C", "c", up, gitops.PhaseFailed, gitops.CrashLoop))},
		},
		"two rollbacks failed and two are allowed: stop": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("A", "a"), Healthy: at("B", "b"), Failed: open(try(3, "C", "c", up, gitops.PhaseFailed, gitops.CrashLoop))},
			attempts: []gitops.Attempt{try(5, "A", "a", back, gitops.PhaseFailed, gitops.HealthTimeout), try(4, "B", "b", back, gitops.PhaseFailed, gitops.HealthTimeout), try(3, "C", "c", up, gitops.PhaseFailed, gitops.CrashLoop), try(2, "B", "b", up, gitops.PhasePruned, "")},
			healthy:  healthyAts(at("B", "b"), at("A", "a"), at("Z", "z")),
			want:     target{course: rest, failed: open(try(3, "C", "c", up, gitops.PhaseFailed, gitops.CrashLoop))},
		},
		"an open rollback is resumed, and undoes what it undid": {
			state:    gitops.SourceState{Accepted: at("B", ""), Applied: at("B", "b"), Healthy: at("A", "a"), Failed: &b2failed, Open: open(gitops.Attempt{ID: 3, Revision: "A", Digest: "a", Cause: back, Phase: gitops.PhaseIntent, Undoes: 2})},
			attempts: []gitops.Attempt{{ID: 3, Revision: "A", Digest: "a", Cause: back, Phase: gitops.PhaseIntent, Undoes: 2}, b2failed, a1},
			healthy:  healthyAts(at("A", "a")),
			want:     target{course: resume, revision: "A", digest: "a", cause: back, undoes: 2, undone: map[int64]bool{2: true}, failed: &b2failed},
		},
		"a hold goes back and undoes everything since": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("C", "c"), Healthy: at("C", "c"), Hold: hold},
			attempts: []gitops.Attempt{try(3, "C", "c", up, gitops.PhasePruned, ""), try(2, "B", "b", up, gitops.PhasePruned, ""), a1},
			want:     target{course: rollback, revision: "A", digest: "a", cause: back, undoes: 3, undone: map[int64]bool{2: true, 3: true}},
		},
		"a hold that is reached is kept": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("A", "a"), Healthy: at("A", "a"), Hold: hold},
			attempts: []gitops.Attempt{try(4, "A", "a", back, gitops.PhasePruned, ""), try(3, "C", "c", up, gitops.PhasePruned, "")},
			want:     target{course: keep, revision: "A", digest: "a"},
		},
		"a hold supersedes the attempt under way": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("B", "b"), Healthy: at("B", "b"), Hold: hold, Open: open(try(3, "C", "c", up, gitops.PhaseApplied, ""))},
			attempts: []gitops.Attempt{try(3, "C", "c", up, gitops.PhaseApplied, ""), try(2, "B", "b", up, gitops.PhasePruned, ""), a1},
			want:     target{course: rollback, revision: "A", digest: "a", cause: back, undoes: 3, undone: map[int64]bool{2: true, 3: true}, supersedes: 3},
		},
		"a hold whose rollback failed is not tried in a loop": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("A", "a"), Healthy: at("C", "c"), Hold: hold},
			attempts: []gitops.Attempt{try(4, "A", "a", back, gitops.PhaseFailed, gitops.HealthTimeout), try(3, "C", "c", up, gitops.PhasePruned, "")},
			want:     target{course: rest, failed: open(try(4, "A", "a", back, gitops.PhaseFailed, gitops.HealthTimeout))},
		},
		"a superseded attempt that wrote is made good by the next update": {
			state:    gitops.SourceState{Accepted: at("C", ""), Applied: at("B", "b"), Healthy: at("A", "a")},
			attempts: []gitops.Attempt{try(2, "B", "b", up, gitops.PhaseFailed, gitops.Superseded), a1},
			want:     target{course: update, revision: "C", cause: up},
		},
		"rejected after a superseded attempt wrote: roll that one back": {
			state: gitops.SourceState{Accepted: at("C", ""), Applied: at("B", "b"), Healthy: at("A", "a"), Failed: open(try(3, "C", "c", up, gitops.PhaseFailed, gitops.Rejected))},
			attempts: []gitops.Attempt{try(3, "C", "c", up, gitops.PhaseFailed, gitops.Rejected),
				try(2, "B", "b", up, gitops.PhaseFailed, gitops.Superseded), a1},
			healthy: healthyAts(at("A", "a")),
			want: target{course: rollback, revision: "A", digest: "a", cause: back, undoes: 3, undone: map[int64]bool{2: true},
				failed: open(try(3, "C", "c", up, gitops.PhaseFailed, gitops.Rejected))},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mode, now := c.mode, c.now
			if mode == (RollbackMode{}) {
				mode = auto
			}
			if now.IsZero() {
				now = noon
			}
			got := choose(c.state, c.attempts, c.healthy, mode, now)
			if len(got.undone) == 0 {
				got.undone = nil
			}
			equal(t, got, c.want)
		})
	}
}

func equal(t *testing.T, got, want target) {
	t.Helper()
	gf, wf := got.failed, want.failed
	if (gf == nil) != (wf == nil) || gf != nil && gf.ID != wf.ID {
		t.Errorf("failed = %+v, want %+v", gf, wf)
	}
	if got.course != want.course || got.revision != want.revision || got.digest != want.digest || got.cause != want.cause ||
		got.undoes != want.undoes || got.supersedes != want.supersedes || !got.retryAt.Equal(want.retryAt) {
		t.Errorf("target = %+v\nwant %+v", got, want)
	}
	if len(got.undone) != len(want.undone) {
		t.Errorf("undone = %v, want %v", got.undone, want.undone)
	}
	for id := range want.undone {
		if !got.undone[id] {
			t.Errorf("undone = %v, want %v", got.undone, want.undone)
		}
	}
}

func TestRetryBacksOffFromFiveMinutesToSixHours(t *testing.T) {
	var attempts []gitops.Attempt
	want := []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute, 160 * time.Minute, 320 * time.Minute, 6 * time.Hour, 6 * time.Hour}
	for i, w := range want {
		a := try(int64(i+1), "B", "b", gitops.CauseRetry, gitops.PhaseFailed, gitops.ImagePull)
		attempts = append([]gitops.Attempt{a}, attempts...)
		if got := retryAt(attempts, &attempts[0]); !got.Equal(noon.Add(w)) {
			t.Errorf("after %d failures: retry in %s, want %s", i+1, got.Sub(noon), w)
		}
	}
}
