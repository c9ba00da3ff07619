// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	return runWith(t, "", name, args...)
}

func runWith(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// gpg is a real GnuPG with a home of its own.
type gpg struct {
	t    *testing.T
	home string
}

func newGPG(t *testing.T) *gpg {
	t.Helper()
	home, err := os.MkdirTemp("", "gpg") // short: the agent's socket is in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	return &gpg{t: t, home: home}
}

func (g *gpg) run(stdin string, args ...string) string {
	g.t.Helper()
	return runWith(g.t, stdin, "gpg", append([]string{"--homedir", g.home, "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", "--yes"}, args...)...)
}

// key makes a primary key and returns its fingerprint.
func (g *gpg) key(name, algorithm, usage, expire string, flags ...string) string {
	g.t.Helper()
	g.run("", append(flags, "--quick-gen-key", name, algorithm, usage, expire)...)
	return g.fingerprints(name)[0]
}

func (g *gpg) fingerprints(name string) []string {
	g.t.Helper()
	var out []string
	for line := range strings.Lines(g.run("", "--list-keys", "--with-colons", name)) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			out = append(out, fields[9])
		}
	}
	return out
}

// sign signs as git asks for it: a detached, armored signature.
func (g *gpg) sign(key string, flags ...string) sign {
	return func(payload []byte) string {
		g.t.Helper()
		return g.run(string(payload), append(flags, "-u", key, "--armor", "--detach-sign")...)
	}
}

func (g *gpg) export(keys ...string) string {
	g.t.Helper()
	return g.run("", append([]string{"--armor", "--export"}, keys...)...)
}

var oneKeyFile = sync.OnceValues(func() (string, error) {
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(home)
	args := []string{"--homedir", home, "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"}
	if err := exec.Command("gpg", append(args, "--quick-gen-key", "any", "ed25519", "sign", "never")...).Run(); err != nil {
		return "", err
	}
	out, err := exec.Command("gpg", append(args, "--armor", "--export")...).Output()
	exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
	return string(out), err
})

// gpgKeyFile is an OpenPGP key file with one key of no importance.
func gpgKeyFile(t testing.TB) string {
	t.Helper()
	text, err := oneKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.asc")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenPGPSignatures(t *testing.T) {
	w, g := newWorld(t), newGPG(t)
	// Two keys as gpg makes them today: a primary key that certifies, and a subkey that signs.
	g.key("Dora <dora@example.com>", "ed25519", "cert", "never")
	dora := g.fingerprints("dora")[0]
	g.run("", "--quick-add-key", dora, "ed25519", "sign", "never")
	g.run("", "--quick-add-key", dora, "ed25519", "sign", "never")
	doraSub, doraOld := g.fingerprints("dora")[1], g.fingerprints("dora")[2]
	eve := g.key("Eve <eve@example.com>", "ed25519", "sign", "never")
	rsa := g.key("Rsa <rsa@example.com>", "rsa3072", "sign", "never")
	short := g.key("Short <short@example.com>", "rsa2048", "sign", "never")
	g.run("", "--quick-add-key", short, "ed25519", "sign", "never")
	shortSub := g.fingerprints("short")[1]
	ancient := g.key("Dsa <dsa@example.com>", "dsa2048", "sign", "never")
	nist := g.key("Nist <nist@example.com>", "nistp256", "sign", "never")
	past := g.key("Past <past@example.com>", "ed25519", "sign", "20251231T000000", "--faked-system-time", "20251001T000000")
	lasting := g.key("Lasting <lasting@example.com>", "ed25519", "sign", "never", "--faked-system-time", "20251001T000000")
	revoked := g.key("Rev <rev@example.com>", "ed25519", "sign", "never")
	listed := g.key("Listed <listed@example.com>", "ed25519", "sign", "never")
	sha1 := g.key("Old <old@example.com>", "ed25519", "sign", "never", "--cert-digest-algo", "SHA1")
	unlisted := g.key("Mal <mal@example.com>", "ed25519", "sign", "never")

	// What is revoked can still be signed with: as a thief would.
	thief := newGPG(t)
	thief.run(g.run("", "--armor", "--export-secret-keys"), "--import")
	certificate, err := os.ReadFile(filepath.Join(g.home, "openpgp-revocs.d", revoked+".rev"))
	if err != nil {
		t.Fatal(err)
	}
	g.run(strings.Replace(string(certificate), ":-----BEGIN", "-----BEGIN", 1), "--import")
	g.run("key 2\nrevkey\ny\n1\n\ny\nsave\n", "--command-fd", "0", "--status-fd", "2", "--expert", "--edit-key", dora)

	var keys strings.Builder
	for _, key := range []string{dora, rsa, short, ancient, nist, past, lasting, revoked, listed, sha1} {
		keys.WriteString("a key\n" + g.export(key))
	}
	keyFile := w.file("keys.asc", keys.String())
	revokedFile := w.file("revoked_pgp", strings.ToLower(listed)+"\n")
	config := func(c *verify.Config) { c.OpenPGPKeys, c.Revoked = keyFile, revokedFile }
	var withConfig []scenario
	for _, s := range []scenario{
		{"key that is not in the file", gitops.UnknownSigner, signedBy(func(*world) sign { return g.sign(unlisted) })},
		{"key of somebody else", gitops.UnknownSigner, signedBy(func(*world) sign { return g.sign(eve) })},
		{"message changed after signing", gitops.BadSignature, oneCommit(
			func(w *world) gitops.Hash { return w.commit(g.sign(rsa), w.root) },
			func(w *world) gitops.Hash {
				return w.put(gitops.CommitObject, []byte(strings.Replace(signText(w.unsigned(w.root), g.sign(rsa)), "Some", "Other", 1)))
			})},
		{"signature with SHA-1", gitops.WeakKey, signedBy(func(*world) sign { return g.sign(rsa, "--digest-algo", "SHA1") })},
		{"signature with RIPEMD-160", gitops.UnsupportedSig, signedBy(func(*world) sign { return g.sign(rsa, "--digest-algo", "RIPEMD160") })},
		{"short RSA key", gitops.WeakKey, signedBy(func(*world) sign { return g.sign(short + "!") })},
		{"sound subkey of a short RSA key", gitops.WeakKey, signedBy(func(*world) sign { return g.sign(shortSub + "!") })},
		{"DSA key", gitops.WeakKey, signedBy(func(*world) sign { return g.sign(ancient) })},
		{"key bound with SHA-1", gitops.WeakKey, signedBy(func(*world) sign { return g.sign(sha1) })},
		{"key that expired", gitops.KeyExpired, signedBy(func(*world) sign { return g.sign(past, "--faked-system-time", "20251101T000000") })},
		{"signature that expired", gitops.KeyExpired, signedBy(func(*world) sign {
			return g.sign(lasting, "--faked-system-time", "20251101T000000", "--default-sig-expire", "20251201T000000")
		})},
		{"key revoked by its owner", gitops.KeyRevoked, signedBy(func(*world) sign { return thief.sign(revoked) })},
		{"subkey revoked by its owner", gitops.KeyRevoked, signedBy(func(*world) sign { return thief.sign(doraOld + "!") })},
		{"key revoked on the node", gitops.KeyRevoked, signedBy(func(*world) sign { return g.sign(listed) })},
		{"two signatures in one block", gitops.BadSignature, signedBy(func(*world) sign {
			return func(p []byte) string {
				two := g.run(string(p), "-u", rsa, "-u", nist, "--detach-sign")
				return openPGPArmor([]byte(two))
			}
		})},
		{"signature over text", gitops.UnsupportedSig, signedBy(func(*world) sign { return g.sign(rsa, "--textmode") })},
		{"critical notation", gitops.UnsupportedSig, signedBy(func(*world) sign { return g.sign(rsa, "--sig-notation", "!x@example.com=y") })},
		{"a key where a signature belongs", gitops.BadSignature, signedBy(func(*world) sign {
			return func([]byte) string { return openPGPArmor([]byte(g.run("", "--export", rsa))) }
		})},
		{"packet cut short", gitops.BadSignature, signedBy(func(*world) sign {
			return func(p []byte) string { return openPGPArmor([]byte(g.run(string(p), "-u", rsa, "--detach-sign")[:40])) }
		})},
		{"block without headers", gitops.BadSignature, signedBy(func(*world) sign {
			return func(p []byte) string { return strings.Replace(g.sign(rsa)(p), "\n\n", "\n", 1) }
		})},
		{"block with a header that is none", gitops.BadSignature, signedBy(func(*world) sign {
			return func(p []byte) string { return strings.Replace(g.sign(rsa)(p), "\n\n", "\nno header\n\n", 1) }
		})},
	} {
		build := s.build
		s.build = func(w *world, broken bool) offer {
			o := build(w, broken)
			o.config = config
			return o
		}
		withConfig = append(withConfig, s)
	}
	runScenarios(t, w, withConfig)

	for name, key := range map[string]string{"subkey": doraSub + "!", "rsa": rsa, "nistp256": nist} {
		t.Run("accepted: "+name, func(t *testing.T) {
			w.t, g.t = t, t
			head := w.commit(g.sign(key), w.root)
			got, err := w.verifier(config).Verify(t.Context(), onMain(head), "")
			if err != nil {
				t.Fatal(err)
			}
			if got.Key() != strings.TrimSuffix(key, "!") || !strings.Contains(got.Signer(), "@example.com") {
				t.Errorf("signed by %q with %s", got.Signer(), got.Key())
			}
		})
	}
	t.Run("accepted: real git", func(t *testing.T) {
		w.t, g.t = t, t
		w.git("checkout", "-q", "--detach", string(w.root))
		w.env = []string{"GNUPGHOME=" + g.home}
		w.git("-c", "user.signingkey="+rsa, "commit", "-q", "--allow-empty", "-S", "-m", "by git")
		w.git("-c", "user.signingkey="+rsa, "tag", "-s", "-m", "release", "v3")
		w.git("verify-commit", "HEAD")
		head := gitops.Hash(w.git("rev-parse", "HEAD"))
		if _, err := w.verifier(config).Verify(t.Context(), onMain(head), ""); err != nil {
			t.Error(err)
		}
		tag := onTag("v3", head, gitops.Hash(w.git("rev-parse", "v3")))
		if _, err := w.verifier(func(c *verify.Config) { config(c); tagMode(c) }).Verify(t.Context(), tag, ""); err != nil {
			t.Error(err)
		}
	})
}

// openPGPArmor armors as gpg does, with an empty line where headers could be.
func openPGPArmor(data []byte) string {
	return strings.Replace(armorRaw("PGP SIGNATURE", data), "\n", "\n\n", 1)
}
