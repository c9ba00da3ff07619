// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

// A revocation takes effect on what runs, and on the introduction's children as
// on any other commit.
func TestKeylessRevocations(t *testing.T) {
	w, i := newWorld(t), sigstore.New(t)
	head := w.commit(gitsign(i, sigstore.Signing{Issuer: accounts, Subject: keyless}), w.root)
	list := w.file("revoked", "")
	v := w.verifier(trusting(t, i))
	sound, err := v.Verify(t.Context(), onMain(head), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		line    string
		revoked bool
	}{
		"identity":              {"sigstore:" + accounts + " " + keyless, true},
		"certificate, as shown": {sound.Key(), true},
		"another subject":       {"sigstore:" + accounts + " ben@example.com", false},
		"another issuer":        {"sigstore:https://evil.example.com " + keyless, false},
	} {
		t.Run(name, func(t *testing.T) {
			w.file("revoked", "# left the firm\n"+c.line+"\n")
			if err := v.Reload(); err != nil {
				t.Fatal(err)
			}
			_, verifyErr := v.Verify(t.Context(), onMain(head), "")
			_, againErr := v.Again(t.Context(), onMain(head).Revision)
			for call, err := range map[string]error{"Verify": verifyErr, "Again": againErr} {
				if !c.revoked {
					if err != nil {
						t.Errorf("%s: %v", call, err)
					}
					continue
				}
				if gitops.ReasonOf(err) != gitops.KeyRevoked || !strings.Contains(err.Error(), list) || !strings.Contains(err.Error(), keyless) {
					t.Errorf("%s: %v, want %s that names %s and %s", call, err, gitops.KeyRevoked, keyless, list)
				}
			}
		})
	}
}

func TestKeylessRevocationsThatDoNotParse(t *testing.T) {
	for line, want := range map[string]string{
		"sigstore:" + accounts + " " + keyless:    "",
		"sigstore:" + accounts:                    "both an issuer and a subject",
		"sigstore: " + keyless:                    "both an issuer and a subject",
		"sigstore:":                               "both an issuer and a subject",
		"sigstore:" + accounts + "\t" + keyless:   "both an issuer and a subject",
		"Sigstore:" + accounts + " " + keyless:    "neither an SSH public key",
		"keyless:" + accounts + " " + keyless:     "neither an SSH public key",
		"SHA256:" + strings.Repeat("a", 42) + "b": "SHA256 fingerprint of a key or certificate",
	} {
		n, err := verify.ParseRevoked([]byte(line))
		if want == "" && (err != nil || n != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %d keys, error %v, want %q", line, n, err, want)
		}
	}
}

func TestKeylessRevocationsInTheRepository(t *testing.T) {
	i := sigstore.New(t)
	config := trusting(t, i)
	me := sigstore.Signing{Issuer: accounts, Subject: keyless}
	runRules(t, []rule{
		{"keyless identity that the trust file revokes", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			revoked := fmt.Sprintf("revoked: [%q]\n", "sigstore:"+accounts+" "+either(broken, keyless, "ben@example.com"))
			w.base = w.base.with(files{trustYAML: keylessTrust(w, 1, "") + revoked})
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(gitsign(i, me), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) { config(c); c.Introduction = string(w.root) }}
		}},
		{"keyless identity that the roots revoke", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			w.base = w.base.with(files{trustYAML: keylessTrust(w, 1, "")})
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(gitsign(i, me), w.base, w.forMain(), w.root)
			list := w.put(gitops.BlobObject, []byte("sigstore:"+accounts+" "+keyless+"\n"))
			for _, name := range either(broken, []string{"alice", "bob"}, []string{"alice"}) {
				w.state(name, verify.RevocationRef(1, name), list, gitops.BlobObject, verify.RevocationMessage(w.root, 1, list))
			}
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) { config(c); c.Introduction = string(w.root) }}
		}},
	})
}
