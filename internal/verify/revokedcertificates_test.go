// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func TestRevokedCertificates(t *testing.T) {
	a := newAuthorities(t)
	s := newSuspects(t)
	ca, none := []string{"-s", s.write("its-ca", []byte(a.ca.line()))}, []string{"-s", "none"}
	cert := func() *ssh.Certificate { return a.ca.certify(blank(a.ann.PublicKey())) }
	// revoked offers a commit under a certificate and two lists.
	revoked := func(sound, broken []byte) func(*world, bool) offer {
		return func(w *world, bad bool) offer {
			head := w.commit(under(cert(), a.ann.sign), w.root)
			path := w.file("list", string(either(bad, broken, sound)))
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) { c.Revoked = path }}
		}
	}
	other := blank(a.ann.PublicKey())
	other.Serial++
	a.ca.certify(other)
	runScenarios(t, a.world, []scenario{
		{"certificate", gitops.KeyRevoked, revoked(
			s.list(string(ssh.MarshalAuthorizedKey(other))), s.list(string(ssh.MarshalAuthorizedKey(cert()))))},
		{"certificate in text", gitops.KeyRevoked, revoked(ssh.MarshalAuthorizedKey(other), ssh.MarshalAuthorizedKey(cert()))},
		{"serial", gitops.KeyRevoked, revoked(s.list("serial: 8", ca...), s.list("serial: 7", ca...))},
		{"serial of any authority", gitops.KeyRevoked, revoked(s.list("serial: 8-9", none...), s.list("serial: 6-7", none...))},
		{"id", gitops.KeyRevoked, revoked(s.list("id: ben's laptop", ca...), s.list("id: ann's laptop", ca...))},
		{"key of the certificate", gitops.KeyRevoked, revoked(s.list("key: "+a.ben.line()), s.list("key: "+a.ann.line()))},
		{"key of the certificate in text", gitops.KeyRevoked, revoked([]byte(a.ben.line()), []byte(a.ann.line()))},
		{"key of the certificate by SHA-1", gitops.KeyRevoked, revoked(s.list("sha1: "+a.ben.line()), s.list("sha1: "+a.ann.line()))},
		{"authority", gitops.KeyRevoked, revoked(s.list("key: "+a.other.line()), s.list("key: "+a.ca.line()))},
		{"authority by fingerprint in text", gitops.KeyRevoked, revoked([]byte(a.other.fingerprint()), []byte(a.ca.fingerprint()))},
		{"list as a line of text", gitops.KeyRevoked, revoked(
			[]byte("krl:"+base64.StdEncoding.EncodeToString(s.list("serial: 8", ca...))+"\n"),
			[]byte("# stolen\n"+a.ben.fingerprint()+"\nkrl:"+base64.StdEncoding.EncodeToString(s.list("serial: 7", ca...))+"\n"))},
	})
	t.Run("list that cannot be read lets nothing through", func(t *testing.T) {
		cfg := a.config()
		cfg.Revoked = a.file("list", string(s.list("serial: 7", ca...)[:60]))
		if _, err := verify.New(cfg, a); gitops.ReasonOf(err) != gitops.TrustMissing {
			t.Errorf("New: %v, want TrustMissing", err)
		}
	})
}

// What the roots publish as a binary list revokes at once, and after the host
// stopped showing it.
func TestPublishedRevocationLists(t *testing.T) {
	list := func(w *inband, broken bool) []byte {
		return newSuspects(w.t).list("sha1: " + w.keys[either(broken, "dan", "erin")].line())
	}
	runRules(t, []rule{
		{"published", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			w.revoke(string(list(w, broken)), "alice", "bob")
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"published, and cut short", gitops.TrustMissing, func(w *inband, broken bool) offer {
			whole := list(w, false)
			w.revoke(string(either(broken, whole[:len(whole)-1], whole)), "alice", "bob")
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head)}
		}},
		{"remembered", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			w.revoke(string(list(w, broken)), "alice", "bob")
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			published, err := must(verify.New(w.config(), w)).Published(t.Context(), onMain(head), w.root)
			if err != nil || len(published.Revoked) != 1 || !strings.HasPrefix(published.Revoked[0], "krl:") {
				t.Fatalf("Published: %q, %v", published.Revoked, err)
			}
			clear(w.refs)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) {
				c.Remembered = func(context.Context) (verify.Remembered, error) {
					return verify.Remembered{Revoked: published.Revoked}, nil
				}
			}}
		}},
	})
}

// A list that says again what others said before adds only what is new to what
// a node remembers.
func TestListsAreRememberedOnce(t *testing.T) {
	s := newSuspects(t)
	ca := []string{"-s", filepath.Join(s.dir, "ca")}
	said := "serial: 2\nserial: 1000-1063\nid: laptop\nkey: " + s.other.line() + "\nsha1: " + s.ann.line() + "\n"
	before := verify.RevokedLines(s.list(said, ca...))
	after := verify.RevokedLines(s.list(said+"serial: 7\nid: desktop\n", append(ca, "-z", "2")...))
	if len(before) != 5 || len(after) != 7 {
		t.Errorf("%d lines, and then %d: %q", len(before), len(after), after)
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			t.Errorf("%s is remembered in another way", line)
		}
	}
	var many strings.Builder
	for serial := range 5000 {
		fmt.Fprintf(&many, "serial: %d\n", 1000*serial+1)
	}
	list := s.list(many.String(), ca...)
	lines := verify.RevokedLines(list)
	if len(lines) != 1 || len(lines[0]) > 2*len(list) {
		t.Errorf("a long list makes %d lines", len(lines))
	}
	if revoked, err := verify.Revokes([]byte(lines[0]), s.keys["serial-1"]); err != nil || !revoked {
		t.Errorf("serial 1 is not revoked, %v", err)
	}
}
