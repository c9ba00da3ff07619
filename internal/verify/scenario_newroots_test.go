// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

// Whatever is changed about the roots, be it one key of one of them, takes as
// many of the new roots as their threshold: a version that few of its roots can
// sign could never be changed again.
func TestNewRootsAgree(t *testing.T) {
	gus, i := newEntity(t, func(*openpgp.Entity) {}), sigstore.New(t)
	alice := func(w *inband) string { return fmt.Sprintf("  alice: {ssh: [%q]", w.keys["alice"].line()) }
	// changed has s and bob change the file's text from one to another. Under
	// the new one s is no root any more, or does not suffice beside bob.
	changed := func(s func(w *inband) sign, texts func(w *inband) (before, after string), config func(*verify.Config)) func(*inband, bool) offer {
		return func(w *inband, broken bool) offer {
			before, after := texts(w)
			w.base[trustYAML] = before
			w.root = w.commitOf(nil, w.base, "")
			next := strings.Replace(after, "version: 1", "version: 2", 1)
			head := w.commitOf(s(w), w.base.with(files{trustYAML: next}), w.forMain(), w.root)
			w.approve("dan", head, w.root) // who releases it
			w.approve("bob", head, w.root)
			if !broken {
				w.approve("carol", head, w.root)
			}
			return offer{commit: onMain(head), blamed: head, config: config}
		}
	}
	byAlice := func(w *inband) sign { return w.keys["alice"].sign }
	aliceBecomes := func(entry func(w *inband) string) func(w *inband) (before, after string) {
		return func(w *inband) (before, after string) {
			before = w.trust(1, "")
			return before, strings.Replace(before, alice(w), entry(w), 1)
		}
	}
	runRules(t, []rule{
		{"more roots needed than before", gitops.NotApproved, changed(byAlice, func(w *inband) (before, after string) {
			return w.trust(1, ""), strings.Replace(w.trust(1, ""), "threshold: 2", "threshold: 3", 1)
		}, nil)},
		{"another SSH key of a root", gitops.NotApproved, changed(byAlice, aliceBecomes(func(w *inband) string {
			return strings.Replace(alice(w), w.keys["alice"].line(), w.mallory.line(), 1)
		}), nil)},
		{"OpenPGP key of a root taken away", gitops.NotApproved, changed(func(*inband) sign { return gus.signWith(gus.PrivateKey, true) }, func(w *inband) (before, after string) {
			after = w.trust(1, "")
			return strings.Replace(after, alice(w), fmt.Sprintf("%s, openpgp: [%q]", alice(w), gus.file()), 1), after
		}, nil)},
		{"root's time that ended", gitops.NotApproved, changed(byAlice, aliceBecomes(func(w *inband) string {
			return alice(w) + `, validBefore: "20260101"`
		}), nil)},
		{"root's time that is to begin", gitops.NotApproved, changed(byAlice, aliceBecomes(func(w *inband) string {
			return alice(w) + `, validAfter: "20270101"`
		}), nil)},
		{"another keyless identity of a root", gitops.NotApproved, changed(
			func(*inband) sign { return gitsign(i, sigstore.Signing{Issuer: accounts, Subject: keyless}) },
			func(w *inband) (before, after string) {
				before = keylessTrust(w, 1, "")
				return before, strings.Replace(before, keyless, "zoe@example.com", 1)
			}, both(trusting(t, i), func(c *verify.Config) { c.Sigstore.Issuer, c.Sigstore.Subject = "", "" }))},
	})
}
