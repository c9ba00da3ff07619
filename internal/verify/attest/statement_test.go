// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

func TestApprovalsCountOnNodes(t *testing.T) {
	w := newWorld(t)
	w.commit("ann")
	if _, err := w.decide(); gitops.ReasonOf(err) != gitops.NotApproved {
		t.Fatalf("one root alone: %v", err)
	}
	w.git("config", "user.name", "Ben <of>\tall") // would not be a tag any more
	done, err := w.open().Approve(t.Context(), "HEAD", w.as("ben"), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.decide(); err != nil {
		t.Errorf("two roots, and a node says: %v", err)
	}
	if !slices.Equal(done.Approved, []string{"ben"}) || done.Principal != "ben" || done.From != w.start || done.Statement == "" {
		t.Errorf("approval: %+v", done)
	}
	// Git reads the tag, and finds the signature good.
	w.git("config", "gpg.ssh.allowedSignersFile", w.files+"/allowed_signers")
	if out := w.git("verify-tag", done.Statement); !strings.Contains(out, "Good \"git\" signature for ben") {
		t.Errorf("git verify-tag: %s", out)
	}
	w.git("fsck", "--strict")
}

func TestApproveRefusesWhatWouldNotCount(t *testing.T) {
	w := introduced(t)
	w.write(w.dir+"/app.yaml", "a: 1\n")
	head := w.commit("dan")
	r := w.open()
	approve := func(change func(*attest.Options), names ...string) error {
		o := w.as(append(names, "ben")[0])
		if change != nil {
			change(&o)
		}
		_, err := r.Approve(t.Context(), "HEAD", o, false)
		return err
	}
	fails(t, approve(nil, "mallory"), "belongs to no principal with a role")
	fails(t, approve(func(o *attest.Options) { o.As = "cat" }), "is ben's, not cat's")
	fails(t, approve(func(o *attest.Options) { o.Introduction = "HEAD" }), "nodes have only one")
	fails(t, approve(func(o *attest.Options) { o.Key.File = w.files + "/none" }), "no such file")
	if carried, err := r.Carried(t.Context()); err != nil || len(carried) != 1 {
		t.Errorf("something was signed: %v, %v", carried, err)
	}
	if err := approve(nil); err != nil {
		t.Fatal(err)
	}
	fails(t, approve(nil), "has approved "+head.Short()+" for refs/heads/main already")
	fails(t, approve(func(o *attest.Options) { o.Ref = "stable" }), "is there already, and does not count for refs/heads/stable")
	if err := approve(func(o *attest.Options) { o.Ref, o.Replace = "stable", true }); err != nil {
		t.Errorf("replace: %v", err)
	}
	fails(t, approve(nil), "does not count for refs/heads/main")
}

func TestApproveByARevokedKeyIsRefused(t *testing.T) {
	w := introduced(t)
	draft, err := w.open().Draft(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Revoke(w.public("cat").Print); err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Write(attest.Options{Now: now}); err != nil {
		t.Fatal(err)
	}
	w.commit("ann")
	_, err = w.open().Approve(t.Context(), "HEAD", w.as("cat"), false)
	fails(t, err, "would not count")
	if _, err := w.open().Approve(t.Context(), "HEAD", w.as("ben"), false); err != nil {
		t.Error(err)
	}
}

func TestHeartbeatsGoOn(t *testing.T) {
	w := introduced(t)
	for want := int64(1); want <= 3; want++ {
		done, err := w.open().Heartbeat(t.Context(), "", 0, w.as("dan"))
		if err != nil {
			t.Fatal(err)
		}
		h := w.published().Heartbeat
		if done.Sequence != want || h == nil || h.Sequence != want || h.Commit != w.head() || h.Signer != "dan" || !h.At.Equal(now) {
			t.Fatalf("heartbeat %d: %+v, nodes read %+v", want, done, h)
		}
	}
	if done, err := w.open().Heartbeat(t.Context(), "HEAD~1", 40, w.as("dan")); err != nil || done.Sequence != 40 || done.Object != w.start {
		t.Errorf("a later number of an older commit: %+v, %v", done, err)
	}
	_, err := w.open().Heartbeat(t.Context(), "", 0, w.as("mallory"))
	fails(t, err, "belongs to no principal")
	if _, err := w.open().Heartbeat(t.Context(), "", 1<<62, w.as("dan")); err != nil {
		t.Fatal(err)
	}
	_, err = w.open().Heartbeat(t.Context(), "", 0, w.as("dan"))
	fails(t, err, "begin anew with --sequence")
}

func TestSealsOfSeveralRootsAreOne(t *testing.T) {
	w := introduced(t)
	first := w.as("ann")
	first.Now = now.Add(-time.Hour)
	if _, err := w.open().Seal(t.Context(), "HEAD", first); err != nil {
		t.Fatal(err)
	}
	if floor := w.published().Floor; !floor.IsZero() {
		t.Errorf("one root of two raised the floor to %s", floor)
	}
	done, err := w.open().Seal(t.Context(), "HEAD", w.as("ben"))
	if err != nil {
		t.Fatal(err)
	}
	if floor := w.published().Floor; !floor.Equal(first.Now) || !slices.Equal(done.Signed, []string{"ben", "ann"}) || done.Need != 2 {
		t.Errorf("nodes know %s to have passed, want %s; %+v", floor, first.Now, done)
	}
	_, err = w.open().Seal(t.Context(), "HEAD", w.as("ben"))
	fails(t, err, "is there already")
	_, err = w.open().Seal(t.Context(), "HEAD", w.as("dan"))
	fails(t, err, "dan has none of the roles root")
}

func TestSealDoesNotRepeatATimeThatIsToCome(t *testing.T) {
	w := introduced(t)
	ahead := w.as("ann")
	ahead.Now = now.AddDate(20, 0, 0)
	if _, err := w.open().Seal(t.Context(), "HEAD", ahead); err != nil {
		t.Fatal(err)
	}
	done, err := w.open().Seal(t.Context(), "HEAD", w.as("ben"))
	if err != nil || done.Time != now.Format(time.RFC3339) {
		t.Errorf("sealed at %s, %v", done.Time, err)
	}
	if floor := w.published().Floor; !floor.IsZero() {
		t.Errorf("a clock that is ahead raised the floor to %s", floor)
	}
}

func TestRevocationsAreSignedTogether(t *testing.T) {
	w := introduced(t)
	print := w.public("dan").Print
	one, err := w.open().RevokeNow(t.Context(), []string{print}, w.as("ann"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.open().RevokeNow(t.Context(), []string{w.public("eve").Print}, w.as("ann"))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.published().Revoked; len(got) > 0 {
		t.Errorf("one root of two revoked %v", got)
	}
	both, err := w.open().RevokeNow(t.Context(), []string{print}, w.as("cat"))
	if err != nil {
		t.Fatal(err)
	}
	if one.Sequence != 1 || other.Sequence != 2 || both.Sequence != 1 || both.Object != one.Object {
		t.Errorf("sequences %d, %d, %d", one.Sequence, other.Sequence, both.Sequence)
	}
	if got := w.published().Revoked; !slices.Equal(got, []string{print}) {
		t.Errorf("nodes read %v as revoked, want %s", got, print)
	}
	w.commit("dan")
	if _, err := w.decide(); gitops.ReasonOf(err) != gitops.KeyRevoked {
		t.Errorf("a commit by a revoked key: %v", err)
	}
}

func TestStatementsBeforeATrustFile(t *testing.T) {
	w := introduced(t)
	w.git("checkout", "-q", "-b", "bare", string(w.start))
	o := w.as("ann")
	o.Ref = "bare"
	_, err := w.open().Seal(t.Context(), "HEAD", o)
	fails(t, err, "name yourself with --as")
	o.As = "ann"
	if done, err := w.open().Seal(t.Context(), "HEAD", o); err != nil || done.Statement != verify.SealRef(w.start, "ann") {
		t.Errorf("seal: %+v, %v", done, err)
	}
	if _, err := w.open().Heartbeat(t.Context(), "", 0, o); err != nil {
		t.Error(err)
	}
	// A seal of the same commit in another repository says nothing here.
	w.git("config", "--remove-section", "edgeagent")
	other := w.as("ben")
	other.As, other.Ref, other.Introduction = "ben", "bare", "main"
	other.Now = now.Add(-time.Hour)
	if _, err := w.open().Seal(t.Context(), "HEAD~0", other); err != nil {
		t.Fatal(err)
	}
	third := w.as("cat")
	third.As, third.Ref, third.Introduction, third.Now = "cat", "bare", string(w.start), now.Add(time.Minute)
	w.git("update-ref", "-d", verify.SealRef(w.start, "ann"))
	if done, err := w.open().Seal(t.Context(), "HEAD", third); err != nil || done.Time != third.Now.Format(time.RFC3339) {
		t.Errorf("sealed at %s, %v; want %s", done.Time, err, third.Now)
	}
	_, err = w.open().Approve(t.Context(), "HEAD", o, false)
	fails(t, err, "nobody counts approvals")
}
