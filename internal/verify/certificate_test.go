// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// blank is a certificate for a key that nobody signed yet.
func blank(key ssh.PublicKey) *ssh.Certificate {
	return &ssh.Certificate{
		Key: key, Serial: 7, CertType: ssh.UserCert, KeyId: "ann's laptop", ValidPrincipals: []string{"ann@example.com"},
		ValidAfter: uint64(now.AddDate(-1, 0, 0).Unix()), ValidBefore: uint64(now.AddDate(0, 1, 0).Unix()),
	}
}

// certify has an authority sign a certificate, and returns it as it is read.
func certify(cert *ssh.Certificate, authority ssh.PublicKey, sign func(body []byte) *ssh.Signature) *ssh.Certificate {
	cert.SignatureKey, cert.Nonce = authority, []byte("nonce")
	body := cert.Marshal()
	cert.Signature = sign(body[:len(body)-4])
	return cert
}

func (k sshKey) certify(cert *ssh.Certificate) *ssh.Certificate {
	return certify(cert, k.PublicKey(), func(body []byte) *ssh.Signature {
		if k.PublicKey().Type() == ssh.KeyAlgoRSA {
			return must(k.Signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, body, ssh.KeyAlgoRSASHA512))
		}
		return must(k.Sign(rand.Reader, body))
	})
}

func (k securityKey) certify(cert *ssh.Certificate, flags byte) *ssh.Certificate {
	return certify(cert, k.public, func(body []byte) *ssh.Signature {
		app, data := sha256.Sum256([]byte(application)), sha256.Sum256(body)
		message := append(append(app[:], flags, 0, 0, 0, 7), data[:]...)
		return &ssh.Signature{Format: k.format, Blob: k.make(message), Rest: []byte{flags, 0, 0, 0, 7}}
	})
}

// under puts a certificate into the signatures of its key.
func under(cert *ssh.Certificate, s sign) sign {
	return func(payload []byte) string {
		sig := must(sshsig.Unarmor([]byte(s(payload))))
		return armorSSH(cert.Marshal(), ssh.Marshal(sig.Signature))
	}
}

// authorities are those that the node believes, and one that it does not.
type authorities struct {
	*world
	ca      sshKey // certifies everybody at example.com but root
	other   sshKey // certifies somebody else
	forFile sshKey // certifies for files
	past    sshKey // was believed until 2026-01-01
	rsa     sshKey
	stray   sshKey
}

func newAuthorities(t *testing.T) *authorities {
	a := &authorities{world: newWorld(t), ca: ed25519Key(), other: ecdsaKey(elliptic.P256()), forFile: ed25519Key(),
		past: ed25519Key(), rsa: cheap().long, stray: ed25519Key()}
	a.file("allowed_signers", strings.Join([]string{
		// The list is long enough for what follows it to be cut off when it is shown.
		"!root@example.com," + strings.Repeat("nobody@example.org,", 10) + "*@example.com cert-authority " + a.ca.line(),
		"mallory@example.com,x cert-authority " + a.other.line(),
		`*@example.com cert-authority,namespaces="file" ` + a.forFile.line(),
		`*@example.com cert-authority,valid-before="20260101" ` + a.past.line(),
		`*@example.com cert-authority,valid-after="20270101" ` + a.soon.line(),
		"* cert-authority " + a.rsa.line(),
		"*@example.com cert-authority " + a.short.line(),
		"*@example.com cert-authority " + a.ancient.line(),
		"*@example.com cert-authority " + a.tap.line(),
		"stray@example.com " + a.stray.line(),
	}, "\n"))
	return a
}

// certificates offers a commit that ann signed under a sound certificate, and
// one under the other.
func certificates(a *authorities, broken func() sign) func(*world, bool) offer {
	return insteadOf(a, func() sign { return under(a.ca.certify(blank(a.ann.PublicKey())), a.ann.sign) }, broken)
}

func insteadOf(a *authorities, sound, broken func() sign) func(*world, bool) offer {
	return func(w *world, bad bool) offer {
		s := sound
		if bad {
			s = broken
		}
		head := w.commit(s(), w.root)
		return offer{commit: onMain(head), blamed: head}
	}
}

func TestCertificates(t *testing.T) {
	a := newAuthorities(t)
	changed := func(change func(*ssh.Certificate)) sign {
		cert := blank(a.ann.PublicKey())
		change(cert)
		return under(a.ca.certify(cert), a.ann.sign)
	}
	// changing offers two certificates that differ in one thing.
	changing := func(sound, broken func(*ssh.Certificate)) func(*world, bool) offer {
		return insteadOf(a, func() sign { return changed(sound) }, func() sign { return changed(broken) })
	}
	with := func(change func(*ssh.Certificate)) func(*world, bool) offer {
		return certificates(a, func() sign { return changed(change) })
	}
	by := func(ca sshKey) func(*world, bool) offer {
		return certificates(a, func() sign { return under(ca.certify(blank(a.ann.PublicKey())), a.ann.sign) })
	}
	principals := func(names ...string) func(*ssh.Certificate) {
		return func(c *ssh.Certificate) { c.ValidPrincipals = names }
	}
	option := func(name, value string) func(*ssh.Certificate) {
		return func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{name: value} }
	}
	runScenarios(t, a.world, []scenario{
		{"authority nobody believes", gitops.UnknownSigner, by(a.mallory)},
		{"authority that is listed as a key", gitops.UnknownSigner, by(a.stray)},
		{"authority that signs commits itself", gitops.UnknownSigner, certificates(a, func() sign { return a.ca.sign })},
		{"key without its certificate", gitops.UnknownSigner, certificates(a, func() sign { return a.ann.sign })},
		{"authority of another line", gitops.UnknownSigner, by(a.other)},
		{"authority for files", gitops.UnknownSigner, by(a.forFile)},
		{"authority that was believed once", gitops.KeyExpired, by(a.past)},
		{"authority that will be believed", gitops.KeyNotYetValid, by(a.soon)},
		{"weak authority", gitops.WeakKey, by(a.short)},
		{"DSA authority", gitops.WeakKey, by(a.ancient)},
		{"host certificate", gitops.UnknownSigner, with(func(c *ssh.Certificate) { c.CertType = ssh.HostCert })},
		{"certificate without principals", gitops.UnknownSigner, with(principals())},
		{"certificate with an empty principal", gitops.UnknownSigner, certificates(a, func() sign {
			cert := blank(a.ann.PublicKey())
			cert.ValidPrincipals = []string{""}
			return under(a.rsa.certify(cert), a.ann.sign)
		})},
		{"certificate for somebody else", gitops.UnknownSigner, with(principals("ann@example.net", "Ann@EXAMPLE.com"))},
		{"certificate for who is left out", gitops.UnknownSigner, with(principals("root@example.com"))},
		{"certificate that ends now", gitops.KeyExpired, changing(
			func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Unix()) + 1 },
			func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Unix()) })},
		{"certificate that never was valid", gitops.KeyExpired, changing(
			func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, ssh.CertTimeInfinity },
			func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, 0 })},
		{"certificate that begins in a second", gitops.KeyNotYetValid, changing(
			func(c *ssh.Certificate) { c.ValidAfter = uint64(now.Unix()) },
			func(c *ssh.Certificate) { c.ValidAfter = uint64(now.Unix()) + 1 })},
		{"certificate that begins after all times", gitops.KeyNotYetValid, with(func(c *ssh.Certificate) {
			c.ValidAfter, c.ValidBefore = 1<<63+5, ssh.CertTimeInfinity
		})},
		{"certificate restricted to a command", gitops.UnsupportedSig, with(option("force-command", "ls"))},
		{"certificate restricted by what is not known", gitops.UnsupportedSig, with(option("new@example.com", ""))},
		{"plain key that wants a PIN", gitops.BadSignature, with(option("verify-required", ""))},
		{"security key that asked for no PIN", gitops.BadSignature, insteadOf(a,
			func() sign { return under(pinned(a), a.touch.sign(5)) }, func() sign { return under(pinned(a), a.touch.sign(1)) })},
		{"certified security key that was not touched", gitops.BadSignature, insteadOf(a,
			func() sign { return under(a.ca.certify(blank(a.touch.public)), a.touch.sign(1)) },
			func() sign { return under(a.ca.certify(blank(a.touch.public)), a.touch.sign(0)) })},
		{"authority on a security key that was not touched", gitops.BadSignature, insteadOf(a,
			func() sign { return under(a.tap.certify(blank(a.ann.PublicKey()), 1), a.ann.sign) },
			func() sign { return under(a.tap.certify(blank(a.ann.PublicKey()), 0), a.ann.sign) })},
	})
}

func pinned(a *authorities) *ssh.Certificate {
	cert := blank(a.touch.public)
	cert.CriticalOptions = map[string]string{"verify-required": ""}
	return a.ca.certify(cert)
}

func TestForgedCertificates(t *testing.T) {
	a := newAuthorities(t)
	good := func() *ssh.Certificate { return a.ca.certify(blank(a.ann.PublicKey())) }
	after := func(change func(*ssh.Certificate)) func(*world, bool) offer {
		return certificates(a, func() sign {
			cert := good()
			change(cert)
			return under(cert, a.ann.sign)
		})
	}
	blob := func(change func([]byte) []byte) func(*world, bool) offer {
		return certificates(a, func() sign {
			return func(payload []byte) string {
				return armorSSH(change(good().Marshal()), ssh.Marshal(must(a.ann.Sign(rand.Reader, signedData(payload)))))
			}
		})
	}
	rsaCert := func() *ssh.Certificate { return a.rsa.certify(blank(a.cat.PublicKey())) }
	sha1 := func(body []byte) *ssh.Signature {
		return must(a.rsa.Signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, body, ssh.KeyAlgoRSA))
	}
	runScenarios(t, a.world, []scenario{
		{"certificate by another that names the authority", gitops.BadSignature, certificates(a, func() sign {
			cert := a.mallory.certify(blank(a.ann.PublicKey()))
			cert.SignatureKey = a.ca.PublicKey()
			return under(cert, a.ann.sign)
		})},
		{"principal changed", gitops.BadSignature, after(func(c *ssh.Certificate) { c.ValidPrincipals[0] = "eve@example.com" })},
		{"serial changed", gitops.BadSignature, after(func(c *ssh.Certificate) { c.Serial++ })},
		{"end changed", gitops.BadSignature, after(func(c *ssh.Certificate) { c.ValidBefore++ })},
		{"extension added", gitops.BadSignature, after(func(c *ssh.Certificate) { c.Extensions = map[string]string{"x": ""} })},
		{"certificate of another key", gitops.BadSignature, certificates(a, func() sign { return under(good(), a.mallory.sign) })},
		{"certificate of a certificate", gitops.BadSignature, certificates(a, func() sign {
			middle := a.ca.certify(blank(a.ben.PublicKey()))
			return under(certify(blank(a.ann.PublicKey()), middle, func(body []byte) *ssh.Signature {
				return must(a.ben.Sign(rand.Reader, body))
			}), a.ann.sign)
		})},
		{"certificate cut short", gitops.BadSignature, blob(func(b []byte) []byte { return b[:len(b)-9] })},
		{"bytes behind the certificate", gitops.BadSignature, blob(func(b []byte) []byte { return append(b, 0) })},
		{"bytes behind the signature under a certificate", gitops.BadSignature, certificates(a, func() sign {
			return func(payload []byte) string {
				return armorSSH(good().Marshal(), append(ssh.Marshal(must(a.ann.Sign(rand.Reader, signedData(payload)))), "tail"...))
			}
		})},
		{"short RSA key under a certificate", gitops.WeakKey, certificates(a, func() sign {
			return under(a.ca.certify(blank(a.short.PublicKey())), a.short.sign)
		})},
		{"RSA with SHA-1 under a certificate", gitops.BadSignature, insteadOf(a,
			func() sign { return under(rsaCert(), a.cat.sign) },
			func() sign {
				return func(payload []byte) string {
					return armorSSH(rsaCert().Marshal(), ssh.Marshal(sha1(signedData(payload))))
				}
			})},
		{"RSA authority with SHA-1", gitops.WeakKey, insteadOf(a,
			func() sign { return under(rsaCert(), a.cat.sign) },
			func() sign { return under(certify(blank(a.cat.PublicKey()), a.rsa.PublicKey(), sha1), a.cat.sign) })},
	})
}

// Every kind of key and authority that may sign; Git must call the same
// commits good.
func TestCertificatesThatAreAccepted(t *testing.T) {
	a := newAuthorities(t)
	several := blank(a.ann.PublicKey())
	several.ValidPrincipals = []string{"root@example.com", "ann", "ben@example.com", "ann@example.com"}
	forever := blank(a.ben.PublicKey())
	forever.ValidAfter, forever.ValidBefore, forever.Extensions = 0, ssh.CertTimeInfinity, map[string]string{"permit-pty": "", "new@example.com": "x"}
	for _, c := range []struct {
		name   string
		sign   sign
		signer string
	}{
		{"ed25519", under(a.ca.certify(blank(a.ann.PublicKey())), a.ann.sign), "ann@example.com"},
		{"first of the principals that match", under(a.ca.certify(several), a.ann.sign), "ben@example.com"},
		{"ECDSA, without end", under(a.ca.certify(forever), a.ben.sign), "ann@example.com"},
		{"RSA by RSA", under(a.rsa.certify(blank(a.cat.PublicKey())), a.cat.sign), "ann@example.com"},
		{"security key", under(a.ca.certify(blank(a.touch.public)), a.touch.sign(1)), "ann@example.com"},
		{"ECDSA security key", under(a.ca.certify(blank(a.tap.public)), a.tap.sign(1)), "ann@example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			head := a.commit(c.sign, a.root)
			a.git("-c", "gpg.ssh.allowedSignersFile="+a.dir+"/allowed_signers", "verify-commit", string(head))
			accept(t, a.world, head, c.signer, nil)
		})
	}
	t.Run("principal with control characters", func(t *testing.T) {
		cert := blank(a.ann.PublicKey())
		cert.ValidPrincipals = []string{"\x1b[2J@example.com"}
		accept(t, a.world, a.commit(under(a.ca.certify(cert), a.ann.sign), a.root), `\x1b[2J@example.com`, nil)
	})
	t.Run("ssh-keygen and git", func(t *testing.T) {
		caLine, caFile := sshKeygen(t, "ed25519")
		_, keyFile := sshKeygen(t, "ecdsa")
		run(t, "ssh-keygen", "-q", "-s", caFile, "-I", "real", "-n", "real@example.com", "-z", "12", "-V", "20250101:20270101", keyFile+".pub")
		allowed := a.file("real_signers", "*@example.com cert-authority "+caLine+"\n")
		a.git("checkout", "-q", "--detach", string(a.root))
		a.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+keyFile+"-cert.pub", "commit", "-q", "--allow-empty", "-S", "-m", "by git")
		head := gitops.Hash(a.git("rev-parse", "HEAD"))
		a.git("-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", string(head))
		accept(t, a.world, head, "real@example.com", func(c *verify.Config) { c.AllowedSigners = allowed })
	})
}

type renamed struct{ ssh.PublicKey }

func (renamed) Type() string { return "ssh-new@example.com" }

// What the library learns to read is not believed for that.
func TestAuthorityOfAnotherKind(t *testing.T) {
	ca := ed25519Key()
	cert := ca.certify(blank(ed25519Key().PublicKey()))
	if err := verify.Genuine(cert); err != nil {
		t.Error(err)
	}
	cert.SignatureKey = renamed{ca.PublicKey()}
	if err := verify.Genuine(cert); gitops.ReasonOf(err) != gitops.UnsupportedSig {
		t.Errorf("%v, want UnsupportedSignature", err)
	}
}

// A certificate is short-lived; what was let through under it stays.
func TestCertificateExpiresForNewCommitsOnly(t *testing.T) {
	a := newAuthorities(t)
	head := a.commit(under(a.ca.certify(blank(a.ann.PublicKey())), a.ann.sign), a.root)
	later := func(c *verify.Config) { c.Now = func() time.Time { return now.AddDate(0, 2, 0) } }
	if _, err := a.verifier(later).Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != gitops.KeyExpired {
		t.Errorf("new: %v, want KeyExpired", err)
	}
	if _, err := a.verifier(later).Again(t.Context(), onMain(head).Revision); err != nil {
		t.Errorf("again: %v", err)
	}
	slow := func(c *verify.Config) {
		c.Now, c.Floor = func() time.Time { return time.Unix(0, 0) }, now.AddDate(-2, 0, 0)
	}
	if _, err := a.verifier(slow).Verify(t.Context(), onMain(head), ""); err != nil {
		t.Errorf("with a clock that is slow: %v", err)
	}
}
