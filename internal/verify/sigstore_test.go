// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/github/smimesign/ietf-cms/protocol"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

const (
	accounts = "https://accounts.example.com"
	keyless  = "ann@keyless.example.com"
)

// gitsign signs as somebody whom accounts vouches for.
func gitsign(i *sigstore.Instance, s sigstore.Signing) sign {
	return func(payload []byte) string { return i.Armored(s, payload) }
}

// trusting has a node believe the instance, and one identity in it.
func trusting(t *testing.T, i *sigstore.Instance) func(*verify.Config) {
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(path, i.TrustedRoot(), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *verify.Config) {
		c.Sigstore = verify.SigstoreConfig{Issuer: accounts, Subject: keyless, TrustedRoot: path}
	}
}

func TestKeylessSignatures(t *testing.T) {
	w, i := newWorld(t), sigstore.New(t)
	config := trusting(t, i)
	me := sigstore.Signing{Issuer: accounts, Subject: keyless}
	// by offers a commit that ann signed, and one with something amiss.
	by := func(other sign, change ...func(*verify.Config)) func(*world, bool) offer {
		return func(w *world, broken bool) offer {
			o := signedBy(func(*world) sign { return other })(w, broken)
			if !broken {
				o = signedBy(func(*world) sign { return gitsign(i, me) })(w, true)
			}
			o.config = config
			if broken && len(change) > 0 {
				o.config = func(c *verify.Config) { config(c); change[0](c) }
			}
			return o
		}
	}
	with := func(change func(*sigstore.Signing)) sign {
		s := me
		change(&s)
		return gitsign(i, s)
	}
	runScenarios(t, w, []scenario{
		{"gitsign by another subject", gitops.UnknownSigner, by(with(func(s *sigstore.Signing) { s.Subject = "mallory@example.com" }))},
		{"gitsign by another issuer", gitops.UnknownSigner, by(with(func(s *sigstore.Signing) { s.Issuer = "https://evil.example.com" }))},
		{"gitsign of a source that has no sigstore", gitops.UnknownSigner, by(gitsign(i, me), func(c *verify.Config) { c.Sigstore = verify.SigstoreConfig{} })},
		{"gitsign of a source that has only a trusted root", gitops.UnknownSigner, by(gitsign(i, me), func(c *verify.Config) { c.Sigstore.Issuer, c.Sigstore.Subject = "", "" })},
		{"gitsign of another instance", gitops.BadSignature, by(gitsign(sigstore.New(t), me))},
		{"gitsign of an authority that had ended", gitops.BadSignature, by(gitsign(sigstore.Until(t, now.AddDate(-1, 0, 0)), me))},
		{"gitsign after the certificate ended", gitops.BadSignature, by(with(func(s *sigstore.Signing) { s.After = time.Hour }))},
		{"gitsign with a certificate that no log has", gitops.BadSignature, by(with(func(s *sigstore.Signing) { s.Unpublished = true }))},
		{"gitsign without its log entry", gitops.UnsupportedSig, by(with(func(s *sigstore.Signing) { s.Online = true }))},
		{"gitsign with the log entry of another certificate", gitops.BadSignature, by(with(func(s *sigstore.Signing) {
			s.Entered = func(e *sigstore.Entered) { e.Cert = i.Authority() }
		}))},
		{"gitsign by two signers", gitops.BadSignature, by(with(func(s *sigstore.Signing) {
			s.CMS = func(d *protocol.SignedData) { d.SignerInfos = append(d.SignerInfos, d.SignerInfos[0]) }
		}))},
		{"gitsign of another commit", gitops.BadSignature, by(func([]byte) string {
			return i.Armored(me, []byte(w.unsigned(w.root)))
		})},
		{"gitsign that is no structure", gitops.BadSignature, by(func([]byte) string { return armorRaw("SIGNED MESSAGE", []byte("cms")) })},
		{"X.509 certificate that is not of sigstore", gitops.UnsupportedSig, by(with(func(s *sigstore.Signing) { s.Issuer = "" }))},
		{"gitsign with a header in its armor", gitops.BadSignature, by(func(p []byte) string {
			return strings.Replace(i.Armored(me, p), "MESSAGE-----\n", "MESSAGE-----\nVersion: 1\n\n", 1)
		})},
		{"tag that gitsign signed for another", gitops.UnknownSigner, func(w *world, broken bool) offer {
			s := me
			s.Subject = either(broken, "mallory@example.com", s.Subject)
			head := w.commit(nil, w.root)
			tag := w.tag(gitsign(i, s), head, gitops.CommitObject, "v1")
			return offer{commit: onTag("v1", head, tag), blamed: head, config: func(c *verify.Config) { config(c); c.Mode = verify.ModeTag }}
		}},
	})
}

func TestKeylessSignerIsTheSubject(t *testing.T) {
	w, i := newWorld(t), sigstore.New(t)
	head := w.commit(gitsign(i, sigstore.Signing{Issuer: accounts, Subject: keyless}), w.root)
	for name, clock := range map[string]time.Time{"now": now, "1970": time.Unix(0, 0), "2040": now.AddDate(14, 0, 0)} {
		t.Run(name, func(t *testing.T) {
			got, err := w.verifier(func(c *verify.Config) {
				trusting(t, i)(c)
				c.AllowedSigners = "" // one identity is enough
				c.Now = func() time.Time { return clock }
			}).Verify(t.Context(), onMain(head), "")
			if err != nil {
				t.Fatal(err)
			}
			if got.Signer() != keyless || !strings.HasPrefix(got.Key(), "SHA256:") {
				t.Errorf("signed by %q with %q", got.Signer(), got.Key())
			}
		})
	}
}

func TestKeylessRefusalsNameTheRemedy(t *testing.T) {
	w, i := newWorld(t), sigstore.New(t)
	for name, c := range map[string]struct {
		signing sigstore.Signing
		without bool
		want    []string
	}{
		"online":      {sigstore.Signing{Issuer: accounts, Subject: keyless, Online: true}, false, []string{"git config gitsign.rekorMode offline"}},
		"unknown":     {sigstore.Signing{Issuer: accounts, Subject: "mallory@example.com"}, false, []string{"mallory@example.com (" + accounts + ")", "trust.sigstore does not name"}},
		"no sigstore": {sigstore.Signing{Issuer: accounts, Subject: keyless}, true, []string{keyless, "set trust.sigstore", "gpg.format ssh"}},
		"unpublished": {sigstore.Signing{Issuer: accounts, Subject: keyless, Unpublished: true}, false, []string{keyless, "trust.sigstore.trustedRoot"}},
	} {
		t.Run(name, func(t *testing.T) {
			head := w.commit(gitsign(i, c.signing), w.root)
			_, err := w.verifier(func(cfg *verify.Config) {
				if !c.without {
					trusting(t, i)(cfg)
				}
			}).Verify(t.Context(), onMain(head), "")
			for _, want := range append(c.want, "commit "+head.Short()) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %v", want, err)
				}
			}
		})
	}
}

func TestTrustedRootsThatCannotBeUsed(t *testing.T) {
	w, i := newWorld(t), sigstore.New(t)
	for name, c := range map[string]struct {
		config verify.SigstoreConfig
		want   string
	}{
		"no trusted root":         {verify.SigstoreConfig{Issuer: accounts, Subject: keyless}, "trust.sigstore.trustedRoot"},
		"no subject":              {verify.SigstoreConfig{Issuer: accounts, TrustedRoot: w.file("root.json", string(i.TrustedRoot()))}, "both an issuer and a subject"},
		"no issuer":               {verify.SigstoreConfig{Subject: keyless, TrustedRoot: w.file("root.json", string(i.TrustedRoot()))}, "both an issuer and a subject"},
		"file that is not there":  {verify.SigstoreConfig{Issuer: accounts, Subject: keyless, TrustedRoot: "/nowhere/root.json"}, "/nowhere/root.json"},
		"file of something else":  {verify.SigstoreConfig{Issuer: accounts, Subject: keyless, TrustedRoot: w.file("keys", "ssh-ed25519 AAAA\n")}, "Sigstore's trusted root"},
		"file without a log":      {verify.SigstoreConfig{Issuer: accounts, Subject: keyless, TrustedRoot: w.file("half.json", string(i.Without("entries")))}, "no transparency log"},
		"root alone is no signer": {verify.SigstoreConfig{TrustedRoot: w.file("root.json", string(i.TrustedRoot()))}, "no key that may sign"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config()
			cfg.AllowedSigners, cfg.Sigstore = "", c.config
			_, err := verify.New(cfg, w)
			if gitops.ReasonOf(err) != gitops.TrustMissing || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New: %v, want %s with %q", err, gitops.TrustMissing, c.want)
			}
		})
	}
}

// A trusted root that was exchanged counts at once; one that was spoilt leaves
// the one before in force.
func TestTrustedRootIsReadAgain(t *testing.T) {
	w, before, after := newWorld(t), sigstore.New(t), sigstore.New(t)
	me := sigstore.Signing{Issuer: accounts, Subject: keyless}
	old, young := w.commit(gitsign(before, me), w.root), w.commit(gitsign(after, me), w.root)
	path := w.file("root.json", string(before.TrustedRoot()))
	v := w.verifier(func(c *verify.Config) {
		c.Sigstore = verify.SigstoreConfig{Issuer: accounts, Subject: keyless, TrustedRoot: path}
	})
	decide := func(good, bad gitops.Hash) {
		t.Helper()
		if _, err := v.Verify(t.Context(), onMain(good), ""); err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(t.Context(), onMain(bad), ""); gitops.ReasonOf(err) != gitops.BadSignature {
			t.Errorf("commit of the instance that is not believed: %v", err)
		}
	}
	decide(old, young)
	w.file("root.json", "spoilt")
	if err := v.Reload(); gitops.ReasonOf(err) != gitops.TrustMissing {
		t.Errorf("a spoilt file: %v", err)
	}
	decide(old, young)
	w.file("root.json", string(after.TrustedRoot()))
	if err := v.Reload(); err != nil {
		t.Fatal(err)
	}
	decide(young, old)
}

// keylessTrust is a trust file whose developer zoe has no key of her own.
func keylessTrust(w *inband, version int, zoe string) string {
	entry := fmt.Sprintf("principals:\n  zoe: {sigstore: [{issuer: %q, subject: %q}]%s}\n", accounts, keyless, zoe)
	text := strings.Replace(w.trust(version, ""), "principals:\n", entry, 1)
	text = strings.Replace(text, "developer: {principals: [dan, erin]", "developer: {principals: [dan, erin, zoe]", 1)
	return strings.Replace(text, "root: {principals: [alice, bob, carol]", "root: {principals: [alice, bob, carol, zoe]", 1)
}

func TestKeylessPrincipals(t *testing.T) {
	i := sigstore.New(t)
	config := trusting(t, i)
	me := sigstore.Signing{Issuer: accounts, Subject: keyless}
	// start begins with a trust file that names zoe.
	start := func(w *inband, zoe string) func(*verify.Config) {
		w.base = w.base.with(files{trustYAML: keylessTrust(w, 1, zoe)})
		w.root = w.commitOf(nil, w.base, "")
		return func(c *verify.Config) {
			config(c)
			c.Introduction = string(w.root)
			c.Sigstore.Issuer, c.Sigstore.Subject = "", "" // the trust file says who
		}
	}
	signs := func(s, other sigstore.Signing, sound, broken string) func(*inband, bool) offer {
		return func(w *inband, isBroken bool) offer {
			config := start(w, either(isBroken, broken, sound))
			head := w.commitOf(gitsign(i, either(isBroken, other, s)), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head, config: config}
		}
	}
	mallory := sigstore.Signing{Issuer: accounts, Subject: "mallory@example.com"}
	runRules(t, []rule{
		{"gitsign by somebody the trust file does not name", gitops.UnknownSigner, signs(me, mallory, "", "")},
		{"gitsign by a principal whose time is over", gitops.KeyExpired, signs(me, me, ", validBefore: \"20270101\"", ", validBefore: \"20260101\"")},
		{"gitsign by a principal whose time has not come", gitops.KeyNotYetValid, signs(me, me, ", validAfter: \"20260101\"", ", validAfter: \"20270101\"")},
		{"protected path, approved with gitsign by somebody else", gitops.NotApproved, func(w *inband, broken bool) offer {
			config := start(w, "")
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			w.stateBy(gitsign(i, either(broken, mallory, me)), verify.ApprovalRef(head, "zoe"), head, gitops.CommitObject,
				verify.ApprovalMessage(w.root, "refs/heads/main", w.root, head))
			return offer{commit: onMain(head), blamed: head, config: config}
		}},
		{"keyless identity of two principals", gitops.TrustFileRefused, newKeyless(
			fmt.Sprintf("  yan: {sigstore: [{issuer: %q, subject: %q}]}\n", accounts, "yan@example.com"),
			fmt.Sprintf("  yan: {sigstore: [{issuer: %q, subject: %q}]}\n", accounts, keyless))},
		{"keyless identity without an issuer", gitops.TrustFileRefused, newKeyless(
			"  yan: {sigstore: [{issuer: i, subject: s}]}\n", "  yan: {sigstore: [{issuer: \"\", subject: s}]}\n")},
		{"keyless identity without a subject", gitops.TrustFileRefused, newKeyless(
			"  yan: {sigstore: [{issuer: i, subject: s}]}\n", "  yan: {sigstore: [{issuer: i}]}\n")},
		{"keyless identity that is never valid", gitops.TrustFileRefused, newKeyless(
			"  yan: {sigstore: [{issuer: i, subject: s}], validAfter: \"20260101\", validBefore: \"20270101\"}\n",
			"  yan: {sigstore: [{issuer: i, subject: s}], validAfter: \"20270101\", validBefore: \"20260101\"}\n")},
	})
}

// newKeyless changes the trust file to one with a further principal.
func newKeyless(sound, broken string) func(*inband, bool) offer {
	return func(w *inband, isBroken bool) offer {
		text := strings.Replace(keylessTrust(w, 2, ""), "principals:\n", "principals:\n"+either(isBroken, broken, sound), 1)
		text = strings.Replace(text, "[dan, erin, zoe]", "[dan, erin, zoe, yan]", 1)
		head := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: text}), "", w.root)
		w.approve("bob", head, w.root)
		w.approve("dan", head, w.root)
		return offer{commit: onMain(head), blamed: head}
	}
}

// Without a trusted root nothing can be said of a keyless principal: that is
// the node's matter, not the commit's.
func TestKeylessPrincipalNeedsTheNodesTrustedRoot(t *testing.T) {
	w, i := newInband(t), sigstore.New(t)
	w.base = w.base.with(files{trustYAML: keylessTrust(w, 1, "")})
	w.root = w.commitOf(nil, w.base, "")
	head := w.commitOf(gitsign(i, sigstore.Signing{Issuer: accounts, Subject: keyless}), w.base, w.forMain(), w.root)
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(t.Context(), onMain(head), "")
	var e *gitops.Error
	if !errors.As(err, &e) || e.Reason != gitops.TrustMissing || !strings.Contains(e.Remedy, "trust.sigstore.trustedRoot") {
		t.Errorf("Verify: %v, want %s that names trust.sigstore.trustedRoot", err, gitops.TrustMissing)
	}
}
