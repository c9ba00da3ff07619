// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// What a decision needs is brought before it is made, as deep as it lies.
func TestTrustFilesAreBroughtForTheDecision(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		w.far = true
		rev := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.runs(rev, content{"a": "1"})
		if len(w.remote.wanted) < 3 {
			t.Errorf("asked for %v, want the tree, the directory and the file", w.remote.wanted)
		}
		if at := w.state().Accepted; at.TrustVersion != 1 || at.RefBinding != "trailer" || at.Signer != "dan" {
			t.Errorf("accepted = %+v", at)
		}
		if st := w.status(); st.TrustVersion != 1 || st.Verified.RefBinding != "trailer" {
			t.Errorf("status = %+v", st)
		}
	})
}

// Without the link nothing is known about the commit, and nothing is said.
func TestDecisionWaitsForTheLink(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.far = true
		two := w.pushBy("dan", content{"a": "2"})
		w.remote.fetchErr = failure(gitops.Unreachable)
		w.once()
		w.runs(one, content{"a": "1"})
		if r := w.state().Refused; r != nil {
			t.Errorf("refused = %+v", r)
		}
		w.condition(gitops.ConditionSourceReachable, "False", gitops.Unreachable)
		// A server that does not give what it must have says nothing either.
		w.remote.fetchErr = nil
		for id := range w.remote.far {
			defer func(raw []byte) { w.remote.objects[id] = raw }(w.remote.objects[id])
			delete(w.remote.objects, id)
		}
		w.once()
		w.runs(one, content{"a": "1"})
		w.condition(gitops.ConditionSourceReachable, "False", gitops.Incomplete)
		if w.state().Accepted.Revision == two {
			t.Error("accepted without its trust file")
		}
	})
}

// A kind that is protected is judged on what is rendered, before any write.
func TestProtectedKindsWaitForApproval(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.approve("alice", one.Hash(), w.start)
		w.once()
		w.runs(one, content{"a": "1"})
		calls, writes := w.cluster.count()
		two := w.pushBy("dan", content{"a": "2"})
		w.cluster.edit("a", "edited")
		w.run()
		w.sleep(5 * time.Minute)
		w.holds(content{"a": "1"}) // what runs is kept in repair, without anybody's approval
		if steps := w.cluster.since(calls); slices.Contains(steps, "dryrun") {
			t.Errorf("steps = %v, want none of the head's", steps)
		}
		if _, now := w.cluster.count(); now != writes+1 {
			t.Errorf("%d writes, want the repair alone", now-writes)
		}
		refused := w.state().Refused
		if refused == nil || refused.Reason != gitops.NotApproved || refused.Revision != two || refused.Commit != two.Hash() {
			t.Fatalf("refused = %+v", refused)
		}
		w.condition(gitops.ConditionVerified, "False", gitops.NotApproved)
		w.ready("False", gitops.NotApproved)
		if st := w.status(); st.Refused == nil || st.Refused.Reason != gitops.NotApproved {
			t.Errorf("status.refused = %+v", st.Refused)
		}
		if w.history("update Pruned"); len(w.refusals()) != 1 {
			t.Errorf("%d refusals, want the same one recorded once", len(w.refusals()))
		}
		w.approve("erin", two.Hash(), one.Hash()) // may not
		w.sleep(2 * time.Minute)
		w.holds(content{"a": "1"})
		w.approve("bob", two.Hash(), one.Hash())
		w.sleep(3 * time.Minute)
		w.runs(two, content{"a": "2"})
		w.ready("True", gitops.IsHealthy)
		if w.state().Refused != nil {
			t.Errorf("refused = %+v after it was approved", w.state().Refused)
		}
	})
}

// After a restart the guards are known again, from the object store.
func TestProtectionSurvivesARestart(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		w.pushBy("dan", content{"a": "1"})
		w.once()
		w.holds(content{})
		w.remote.err = failure(gitops.Unreachable)
		w.restart()
		w.once()
		w.holds(content{})
		w.ready("False", gitops.NotApproved)
	})
}

// What is deleted is changed, too.
func TestDeletingAProtectedKindNeedsApproval(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		one := w.pushBy("dan", content{"a": "1", "b": "1"})
		w.approve("alice", one.Hash(), w.start)
		w.once()
		w.pushBy("dan", content{"a": "1"})
		w.once()
		w.holds(content{"a": "1", "b": "1"})
		w.ready("False", gitops.NotApproved)
	})
}

// A rollback brings nothing new: it needs no approval.
func TestRollbackNeedsNoApproval(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.approve("alice", one.Hash(), w.start)
		w.once()
		two := w.pushBy("dan", content{"a": "crash"})
		w.approve("alice", two.Hash(), one.Hash())
		w.once()
		w.runs(one, content{"a": "1"})
		w.history("update Pruned", "update Failed CrashLoop", "rollback Pruned")
	})
}

// A revoked key takes back what it signed: it is said, and the cluster stays.
func TestRevocationIsRetroactive(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("erin", content{"a": "1"})
		w.once()
		two := w.pushBy("dan", content{"a": "2"})
		w.once()
		w.runs(two, content{"a": "2"})
		w.run()
		w.sleep(2 * time.Minute)
		w.condition(gitops.ConditionTrusted, "True", "")
		w.revoke(w.fingerprint("dan")+"\n", "alice", "bob")
		w.cluster.edit("a", "edited")
		w.sleep(2 * time.Minute)
		w.holds(content{"a": "2"})
		if c := w.condition(gitops.ConditionTrusted, "False", gitops.KeyRevoked); c.Message == "" {
			t.Error("it does not say what is not trusted")
		}
		w.condition(gitops.ConditionVerified, "False", gitops.KeyRevoked)
		w.ready("False", gitops.KeyRevoked)
		if known := w.state().Learned.Revoked; !slices.Equal(known, []string{w.fingerprint("dan")}) {
			t.Errorf("learned %v", known)
		}
		// The host hides the revocation, and the node restarts: it is remembered.
		w.remote.set(func(r *remote) { clear(r.refs); r.err = failure(gitops.Unreachable) })
		w.restart()
		w.run()
		w.sleep(2 * time.Minute)
		w.condition(gitops.ConditionTrusted, "False", gitops.KeyRevoked)
		// The next good revision builds on what stands.
		w.remote.set(func(r *remote) { r.err = nil; r.head = one.Hash() })
		three := w.pushBy("erin", content{"a": "3"})
		w.sleep(3 * time.Minute)
		w.runs(three, content{"a": "3"})
		w.condition(gitops.ConditionTrusted, "True", "")
		w.ready("True", gitops.IsHealthy)
	})
}

// A revision that was accepted and not applied yet is not applied once its key
// is revoked, nor is its attempt gone on with.
func TestRevokedRevisionIsNotGoneOnWith(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("erin", content{"a": "1"})
		w.once()
		w.pushBy("dan", content{"a": "2", "b": "2"})
		w.stopAt("apply")
		w.revoke(w.fingerprint("dan")+"\n", "alice", "bob")
		w.restart()
		calls, _ := w.cluster.count()
		w.run()
		w.sleep(3 * time.Minute)
		if steps := w.cluster.since(calls); slices.Contains(steps, "apply") {
			t.Errorf("steps = %v, want no apply of what is not trusted", steps)
		}
		w.condition(gitops.ConditionStalled, "True", gitops.KeyRevoked)
		w.condition(gitops.ConditionTrusted, "True", "")
		_ = one
	})
}

// A key file that is read again is asked about what runs at once.
func TestReloadedKeysJudgeWhatRuns(t *testing.T) {
	inWorld(t, func(w *world) {
		v := &revoking{Verifier: w.cfg.Sources[0].Verifier}
		w.cfg.Sources[0].Verifier = v
		w.restart()
		rev := w.healthy(content{"a": "1"})
		w.remote.interval = 24 * time.Hour
		w.run()
		w.sleep(2 * time.Minute)
		if c := w.status().Condition(gitops.ConditionTrusted); c.Status != "True" {
			t.Errorf("Trusted = %+v", c)
		}
		_ = w.agent.ReloadKeys()
		w.sleep(time.Second)
		if c := w.status().Condition(gitops.ConditionTrusted); c.Status != "False" || c.Reason != gitops.KeyRevoked {
			t.Errorf("Trusted = %+v, want it False without waiting for anything", c)
		}
		w.runs(rev, content{"a": "1"})
	})
}

func TestRefThatIsGoneDeletesNothing(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		w.remote.err = failure(gitops.RefMissing)
		w.once()
		w.condition(gitops.ConditionSourceReachable, "False", gitops.RefMissing)
		w.remote.err = nil
		rev := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.remote.err = failure(gitops.RefMissing)
		w.once()
		w.runs(rev, content{"a": "1"})
		w.condition(gitops.ConditionSourceReachable, "False", gitops.RefDeleted)
		w.condition(gitops.ConditionVerified, "True", "")
		w.ready("True", gitops.IsHealthy)
	})
}

// The roots know of a hole in what is below the floor.
func TestRollbackFloorStallsTheRollback(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		two := w.commitBy("alice", content{"a": "crash"}, w.trust(2, "refs: {main: [root]}\nrollbackFloor: "+string(one.Hash())+"\n"), one.Hash())
		w.approve("bob", two, one.Hash())
		w.once()
		w.runs(one, content{"a": "1"}) // the floor itself will do
		three := w.commitBy("alice", content{"a": "crash2"}, w.trust(3, "refs: {main: [root]}\nrollbackFloor: "+string(two)+"\n"), two)
		w.approve("bob", three, two)
		w.once()
		w.holds(content{"a": "crash2"})
		w.condition(gitops.ConditionStalled, "True", gitops.RollbackFloor)
		if v := w.state().Learned.TrustVersion; v != 3 {
			t.Errorf("trust version %d, want 3", v)
		}
	})
}

func (w *signed) refusals() []gitops.Refusal {
	w.t.Helper()
	all, err := w.journal.Refusals(w.ctx, fleet)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// A revocation counts for what was accepted before it came, in the same process:
// nothing is applied of it any more.
func TestAcceptedRevisionIsJudgedAgainAfterARevocation(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("erin", content{"a": "1"})
		w.once()
		var away atomic.Bool
		away.Store(true)
		w.cluster.hook = func(_ context.Context, at string) error {
			if away.Load() && at == "capabilities" {
				return failure(gitops.APIUnreachable)
			}
			return nil
		}
		two := w.pushBy("dan", content{"a": "2"})
		w.run()
		w.sleep(2 * time.Minute)
		if w.state().Accepted.Revision != two {
			t.Fatal("not accepted without the cluster")
		}
		w.revoke(w.fingerprint("dan")+"\n", "alice", "bob")
		w.pushBy("dan", content{"a": "3"})
		w.sleep(2 * time.Minute)
		away.Store(false)
		w.sleep(3 * time.Minute)
		w.runs(one, content{"a": "1"})
		w.ready("False", gitops.KeyRevoked)
	})
}

// turning is a verifier whose keys are read again in the middle of a cycle.
type turning struct {
	agent.Verifier
	revoked atomic.Bool
}

func (v *turning) Verify(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (verify.Commit, error) {
	if v.revoked.Load() {
		return verify.Commit{}, failure(gitops.KeyRevoked)
	}
	return v.Verifier.Verify(ctx, c, accepted)
}

func (v *turning) Again(ctx context.Context, rev gitops.Revision) (verify.Commit, error) {
	if v.revoked.Load() {
		return verify.Commit{}, failure(gitops.KeyRevoked)
	}
	return v.Verifier.Again(ctx, rev)
}

// A head that was let through before and is refused now is not applied by what
// the process still knows of it.
func TestRefusedAcceptedHeadIsNotApplied(t *testing.T) {
	inWorld(t, func(w *world) {
		v := &turning{Verifier: w.cfg.Sources[0].Verifier}
		w.cfg.Sources[0].Verifier = v
		w.restart()
		one := w.healthy(content{"a": "1"})
		var away atomic.Bool
		away.Store(true)
		w.cluster.hook = func(_ context.Context, at string) error {
			if away.Load() && at == "capabilities" {
				return failure(gitops.APIUnreachable)
			}
			return nil
		}
		two := w.push(content{"a": "2"})
		w.run()
		w.sleep(2 * time.Minute)
		if w.state().Accepted.Revision != two {
			t.Fatal("not accepted without the cluster")
		}
		v.revoked.Store(true)
		away.Store(false)
		if _, err := w.agent.Sync(w.ctx, fleet, 0); err != nil {
			t.Fatal(err)
		}
		w.sleep(3 * time.Minute)
		w.runs(one, content{"a": "1"})
	})
}

// Force deletes what is there and cannot be changed in place: with a trust file
// that is for the roots to allow, whatever else is protected.
func TestForceNeedsTheRoots(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.runs(one, content{"a": "1"})
		two := w.pushBy("dan", content{"a": "by force"})
		w.once()
		w.holds(content{"a": "1"})
		if refused := w.state().Refused; refused == nil || refused.Reason != gitops.NotApproved || refused.Commit != two.Hash() {
			t.Fatalf("refused = %+v", refused)
		}
		for _, name := range []string{"alice", "bob"} {
			w.approve(name, two.Hash(), one.Hash())
		}
		w.once()
		w.runs(two, content{"a": "by force"})
	})
}
