// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// As many roots as the threshold publish something: each counts once, nobody
// else does, and where there are no roots, nobody publishes anything.
func TestWhoPublishes(t *testing.T) {
	by := func(names ...string) func(w *inband) {
		return func(w *inband) { w.revoke(w.keys["dan"].line(), names...) }
	}
	twice := func(w *inband) {
		by("alice")(w)
		blob := w.put(gitops.BlobObject, []byte(w.keys["dan"].line()))
		w.state("alice", verify.RevocationRef(1, "second"), blob, gitops.BlobObject, verify.RevocationMessage(w.root, 1, blob))
	}
	revoked := func(enough, few func(w *inband)) func(*inband, bool) offer {
		return func(w *inband, broken bool) offer {
			either(broken, enough, few)(w)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}
	}
	runRules(t, []rule{
		{"key that one root revoked, and under two names", gitops.KeyRevoked, revoked(by("alice", "carol"), twice)},
		{"key that a root and a developer revoked", gitops.KeyRevoked, revoked(by("alice", "carol"), by("alice", "erin"))},
		{"key that three roots revoked", gitops.KeyRevoked, revoked(by("alice", "bob", "carol"), by())},
		{"key that the only root revoked", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), "threshold: 2", "threshold: 1", 1)
			w.base[trustYAML] = strings.Replace(w.base[trustYAML], "approvals: 2", "approvals: 1", 1)
			w.root = w.commitOf(nil, w.base, "")
			by(either(broken, "alice", "erin"))(w)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"key that somebody revoked where there are no roots", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			w.root = w.commitOf(nil, w.base.with(files{trustYAML: ""}), "")
			by("dan", "erin")(w)
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: ""}), "", w.root)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) {
				w.nodesFiles(c)
				c.Roots, c.RootThreshold = "", 0
				if broken {
					c.Revoked = w.file("dans", w.keys["dan"].line()+"\n")
				}
			}}
		}},
		{"head that left an accepted one behind whose trust file cannot be read", gitops.Fork, func(w *inband, broken bool) offer {
			accepted := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: either(broken, "nothing", w.base[trustYAML])}), w.forMain(), w.root)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), either(broken, w.root, accepted))
			return offer{commit: onMain(head), accepted: accepted, blamed: head}
		}},
	})
}

// What the roots sealed at some time has passed, whatever the clock says.
func TestTimesThatTheRootsSigned(t *testing.T) {
	dated := func(w *inband, validity string) {
		dan := "dan: {ssh: [\"" + w.keys["dan"].line() + "\"]"
		w.base[trustYAML] = strings.Replace(w.trust(1, ""), dan, dan+", "+validity, 1)
		w.root = w.commitOf(nil, w.base, "")
	}
	built := func(years int) func(*verify.Config) {
		return func(c *verify.Config) { c.Floor = now.AddDate(years, 0, 0) }
	}
	floor := func(at time.Time) func(*verify.Config) { return remembers(verify.Remembered{Floor: at}) }
	const most = 10 * 365 * 24 * time.Hour
	byDan := func(w *inband) gitops.Hash { return w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root) }
	runRules(t, []rule{
		{"key that expired before a seal was made", gitops.KeyExpired, func(w *inband, broken bool) offer {
			dated(w, `validBefore: "20260701"`)
			w.seal(w.root, either(broken, now.AddDate(0, 2, 0), now), "alice", "bob")
			head := byDan(w)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"clock far ahead of the build, and of what the roots signed", gitops.ClockUntrusted, func(w *inband, broken bool) offer {
			head := byDan(w)
			return offer{commit: onMain(head), blamed: head, config: both(built(-12), floor(now.AddDate(either(broken, -11, -9), 0, 0)))}
		}},
		{"clock far ahead of the build, and the roots signed nothing", gitops.ClockUntrusted, func(w *inband, broken bool) offer {
			head := byDan(w)
			return offer{commit: onMain(head), blamed: head, config: both(built(either(broken, -12, -9)), floor(time.Time{}))}
		}},
		{"clock not far ahead of the build, and far of what the roots signed before", gitops.ClockUntrusted, func(w *inband, broken bool) offer {
			head := byDan(w)
			return offer{commit: onMain(head), blamed: head, config: both(built(either(broken, -12, -1)), floor(now.AddDate(-11, 0, 0)))}
		}},
		{"clock a second more than ten years ahead of what the roots signed", gitops.ClockUntrusted, func(w *inband, broken bool) offer {
			head := byDan(w)
			return offer{commit: onMain(head), blamed: head, config: both(built(-12), floor(now.Add(-most-either(broken, time.Second, 0))))}
		}},
		{"new commit by a key that is not valid yet", gitops.KeyNotYetValid, func(w *inband, broken bool) offer {
			dated(w, `validAfter: "20260701"`)
			head := byDan(w)
			return offer{commit: onMain(head), accepted: either(broken, w.root, head), blamed: head}
		}},
		{"key that is not valid yet, by a clock that may be right", gitops.KeyNotYetValid, func(w *inband, broken bool) offer {
			dated(w, `validAfter: "20260701"`)
			head := byDan(w)
			return offer{commit: onMain(head), blamed: head, config: floor(now.Add(either(broken, -time.Second, time.Second)))}
		}},
	})
}

// An approval is of the commit that its tag names, by words and by id, and what
// else lies below refs/edgeagent/ has no part in it.
func TestApprovalsByTheirTags(t *testing.T) {
	runRules(t, []rule{
		{"approval whose tag is of another commit", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["alice"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), "", w.root)
			w.approve("dan", head, w.root)
			w.state("bob", verify.ApprovalRef(head, "bob"), either(broken, w.root, head), gitops.CommitObject, verify.ApprovalMessage(w.root, mainRef, w.root, head))
			return offer{commit: onMain(head), blamed: head}
		}},
		{"approval whose tag calls the commit a tree", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["alice"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), "", w.root)
			w.approve("dan", head, w.root)
			w.state("bob", verify.ApprovalRef(head, "bob"), head, either(broken, gitops.TreeObject, gitops.CommitObject), verify.ApprovalMessage(w.root, mainRef, w.root, head))
			return offer{commit: onMain(head), blamed: head}
		}},
		{"too many approvals of the head, not of something else", gitops.TrustMissing, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
			w.approve("dan", head, w.root)
			tag := w.refs[verify.ApprovalRef(head, "dan")]
			for i := range 1100 {
				w.refs[fmt.Sprintf("refs/edgeagent/approvals/%s%d", either(broken, string(head)+"/x", "x/"), i)] = tag
			}
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}

// A statement of a revoked key that is no approval of the commit takes nothing
// back that was approved.
func TestAgainBesideStatementsOfRevokedKeys(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
	w.state("bob", verify.ApprovalRef(head, "bob"), head, gitops.CommitObject, verify.ApprovalMessage(w.root, "refs/heads/dev", w.root, head))
	v := w.verifier(t, remembers(verify.Remembered{Revoked: []string{w.keys["bob"].fingerprint()}}))
	if _, err := v.Again(t.Context(), gitops.NewRevision("main", head)); err != nil {
		t.Errorf("again, beside an approval for another ref: %v", err)
	}
}

// The refs that came with a source are listed once for a decision: two lists
// could differ.
func TestRefsAreListedOnce(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
	w.approve("alice", head, w.root)
	w.approve("bob", head, w.root)
	listed := 0
	v := w.verifier(t, func(c *verify.Config) {
		c.Carried = func(context.Context) (map[string]gitops.Hash, error) { listed++; return w.refs, nil }
	})
	if _, err := v.Verify(t.Context(), onMain(head), w.root); err != nil || listed != 1 {
		t.Errorf("listed %d times: %v", listed, err)
	}
}

// A fingerprint that is not a whole one revokes nothing, and so is refused.
func TestFingerprintsThatAreNotWhole(t *testing.T) {
	ann, ben := ed25519Key(), ed25519Key()
	whole := ann.fingerprint()
	for line, ok := range map[string]bool{
		whole: true, "SHA256:c2hvcnQ": false, whole + "AAAA": false, whole[:len(whole)-1] + "*": false, whole + "=": false,
	} {
		_, err := verify.CheckTrustFile([]byte(smallestWith(ann, ben, "version: 1", "version: 1\nrevoked: [\""+line+"\"]")))
		if (err == nil) != ok {
			t.Errorf("%s: %v", line, err)
		}
	}
}
