// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// What was let through with approvals is let through again: also when the host
// shows them no more. That the key of an approval was revoked since takes it back.
func TestAgainWithApprovals(t *testing.T) {
	commits := map[string]func(w *inband) gitops.Commit{
		"protected path": func(w *inband) gitops.Commit {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			w.approve("bob", head, w.root)
			return onMain(head)
		},
		"trust file": func(w *inband) gitops.Commit {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: w.trust(2, "")}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			w.approve("bob", head, w.root)
			return onMain(head)
		},
		"forge merge": func(w *inband) gitops.Commit {
			f := w.fork()
			w.approve("dan", f.theirs, w.root)
			return onMain(w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), f.ours, f.theirs))
		},
	}
	for name, build := range commits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newInband(t)
			c := build(w)
			again := func(change func(*verify.Config)) error {
				cfg := w.config()
				if change != nil {
					change(&cfg)
				}
				v, err := verify.New(cfg, w)
				if err != nil {
					t.Fatal(err)
				}
				got, err := v.Again(t.Context(), c.Revision)
				if got.Valid() != (err == nil) {
					t.Errorf("valid %v, and %v", got.Valid(), err)
				}
				return err
			}
			v, err := verify.New(w.config(), w)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), c, ""); err != nil {
				t.Fatal(err)
			}
			if err := again(nil); err != nil {
				t.Errorf("again: %v", err)
			}
			hidden := w.refs
			w.refs = map[string]gitops.Hash{}
			w.state("carol", verify.ApprovalRef(c.Revision.Hash(), "carol"), c.Revision.Hash(), gitops.CommitObject,
				verify.ApprovalMessage(w.root, "refs/heads/dev", w.root, c.Revision.Hash()))
			if err := again(nil); err != nil {
				t.Errorf("again, when the host shows one of another ref only: %v", err)
			}
			w.refs = hidden
			if err := again(func(c *verify.Config) { c.Carried = nil }); err != nil {
				t.Errorf("again, when the host shows no approvals: %v", err)
			}
			revoked := remembers(verify.Remembered{Revoked: []string{w.keys["bob"].fingerprint()}})
			want := gitops.NotApproved
			if name == "forge merge" {
				want = "" // nothing of it rests on bob
			}
			if err := again(revoked); gitops.ReasonOf(err) != want {
				t.Errorf("again, when an approval's key was revoked: %v, want %q", err, want)
			}
		})
	}
}

// What cannot be read of an approval that was given is no decision.
func TestAgainReadsThatFailAreNoDecision(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *inband) files{
		"protected path": func(*inband) files { return files{"rbac/admin.yaml": "c: 2\n"} },
		"trust file":     func(w *inband) files { return files{trustYAML: w.trust(2, "")} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newInband(t)
			head := w.commitOf(w.keys["dan"].sign, w.base.with(change(w)), w.forMain(), w.root)
			w.approve("alice", head, w.root) // and the other one is not shown any more
			failEachRead(t, w, w.config(), 10, func(v *verify.Verifier) (bool, error) {
				got, err := v.Again(t.Context(), gitops.NewRevision("main", head))
				return got.Valid(), err
			})
		})
	}
}
