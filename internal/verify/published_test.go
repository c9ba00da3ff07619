// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// revoke has principals publish a list of revoked keys.
func (w *inband) revoke(list string, names ...string) {
	blob := w.put(gitops.BlobObject, []byte(list))
	for _, name := range names {
		w.state(name, verify.RevocationRef(1, name), blob, gitops.BlobObject, verify.RevocationMessage(w.root, 1, blob))
	}
}

func (w *inband) seal(commit gitops.Hash, at time.Time, names ...string) {
	for _, name := range names {
		w.state(name, verify.SealRef(commit, name), commit, gitops.CommitObject, verify.SealMessage(w.root, commit, at))
	}
}

func TestPublishedStatements(t *testing.T) {
	runRules(t, []rule{
		{"key that two roots revoked", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			w.revoke(w.keys["dan"].fingerprint()+"\n", either(broken, []string{"alice", "bob"}, []string{"alice"})...)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"revocation behind many statements that nobody counts", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			blob := w.put(gitops.BlobObject, []byte("junk\n"))
			for i := range 100 {
				w.state("erin", verify.RevocationRef(0, fmt.Sprintf("junk%d", i)), blob, gitops.BlobObject, verify.RevocationMessage(w.root, 0, blob))
			}
			w.revoke(w.keys["dan"].fingerprint()+"\n", either(broken, []string{"alice", "bob"}, []string{"alice"})...)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"more statements than can be looked at", gitops.TrustMissing, func(w *inband, broken bool) offer {
			blob := w.put(gitops.BlobObject, []byte("junk\n"))
			w.state("erin", verify.RevocationRef(0, "junk"), blob, gitops.BlobObject, verify.RevocationMessage(w.root, 0, blob))
			for i := range either(broken, 1025, 1) {
				w.refs[fmt.Sprintf("refs/edgeagent/revocations/0/%d", i)] = w.refs[verify.RevocationRef(0, "junk")]
			}
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head)}
		}},
		{"key that the trust file revokes", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			next := w.base.with(files{trustYAML: w.trust(2, "revoked: ["+w.keys[either(broken, "dan", "carol")].fingerprint()+"]\n")})
			tip := w.commitOf(w.keys["alice"].sign, next, "", head)
			w.approve("bob", tip, head)
			w.approve("erin", tip, head)
			return offer{commit: onMain(tip), blamed: head}
		}},
		{"key that the node remembers as revoked", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) {
				c.Remembered = func(context.Context) (verify.Remembered, error) {
					return verify.Remembered{Revoked: []string{w.keys[either(broken, "dan", "erin")].fingerprint()}}, nil
				}
			}}
		}},
		{"trust file older than the node remembers", gitops.TrustRollback, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) {
				c.Remembered = func(context.Context) (verify.Remembered, error) {
					return verify.Remembered{TrustVersion: either(broken, 2, 1)}, nil
				}
			}}
		}},
		{"list of revoked keys that cannot be read", gitops.TrustMissing, func(w *inband, broken bool) offer {
			w.revoke(either(broken, "SHA256:short\n", ""), "alice", "bob")
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head)}
		}},
		{"revoked key below a seal of one root", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			old := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
			w.revoke(w.keys["dan"].fingerprint(), "alice", "bob")
			w.seal(old, now, either(broken, []string{"alice"}, []string{"alice", "carol"})...)
			head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), old)
			return offer{commit: onMain(head), blamed: old}
		}},
		{"head that builds on a revoked accepted commit", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			good := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
			bad := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "evil\n"}), "", good)
			w.revoke(w.keys["dan"].fingerprint(), "alice", "bob")
			head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), either(broken, bad, good))
			return offer{commit: onMain(head), accepted: bad, blamed: bad}
		}},
		{"clock eleven years ahead", gitops.ClockUntrusted, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) {
				c.Floor = now.AddDate(either(broken, -11, -9), 0, 0)
			}}
		}},
	})
}

// Where nothing was accepted yet and the first head is believed, the node's own
// files say who may publish something, and nobody's trust file does.
func TestPublishedBeforeAnythingIsAccepted(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	first := both(w.nodesFiles, remembers(verify.Remembered{Introduction: w.root}), func(c *verify.Config) { c.Introduction = verify.FirstSeen })
	w.beat("forge", head, 7)
	w.revoke(w.mallory.fingerprint()+"\n", "alice")
	if got := w.published(t, onMain(head), "", first); got.Heartbeat != nil || len(got.Revoked) > 0 {
		t.Errorf("by whom the node's files do not name: %+v", got)
	}
	w.beat("dan", head, 8)
	w.revoke(w.mallory.fingerprint()+"\n", "bob")
	if got := w.published(t, onMain(head), "", first); got.Heartbeat == nil || got.Heartbeat.Signer != "dan" || len(got.Revoked) != 1 {
		t.Errorf("by whom the node's files name: %+v", got)
	}
}
