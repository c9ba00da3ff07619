// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func TestSSHSignatures(t *testing.T) {
	w := newWorld(t)
	runScenarios(t, w, []scenario{
		{"unsigned head", gitops.Unsigned, signedBy(func(*world) sign { return nil })},
		{"signer who is not in the file", gitops.UnknownSigner, signedBy(func(w *world) sign { return w.mallory.sign })},
		{"key that expired", gitops.KeyExpired, signedBy(func(w *world) sign { return w.gone.sign })},
		{"key that is not valid yet", gitops.KeyNotYetValid, signedBy(func(w *world) sign { return w.soon.sign })},
		{"key for files", gitops.UnknownSigner, signedBy(func(w *world) sign { return w.files.sign })},
		{"key revoked as public key", gitops.KeyRevoked, signedBy(func(w *world) sign { return w.taken.sign })},
		{"key revoked by fingerprint", gitops.KeyRevoked, signedBy(func(w *world) sign { return w.stolen.sign })},
		{"short RSA key", gitops.WeakKey, signedBy(func(w *world) sign { return w.short.sign })},
		{"DSA key", gitops.WeakKey, signedBy(func(w *world) sign { return w.ancient.sign })},
		{"RSA with SHA-1", gitops.BadSignature, signedBy(func(w *world) sign { return w.cat.asFormat(ssh.KeyAlgoRSA) })},
		{"signature for a file", gitops.BadSignature, signedBy(func(w *world) sign { return w.ann.signFor("file") })},
		{"certificate of nobody's authority", gitops.UnknownSigner, signedBy(func(w *world) sign { return w.ann.certified(w.ben) })},
		{"bytes behind the signature", gitops.BadSignature, signedBy(func(w *world) sign { return w.ann.withTail })},
		{"security key that was not touched", gitops.BadSignature, signedBy(func(w *world) sign { return w.touch.sign(0) })},
		{"ECDSA security key that was not touched", gitops.BadSignature, signedBy(func(w *world) sign { return w.tap.sign(0) })},
		{"key of a type with control characters", gitops.BadSignature, signedBy(func(w *world) sign {
			return func([]byte) string { return armorSSH(ssh.Marshal(struct{ Kind string }{"\x1b[2J"}), nil) }
		})},
		{"signature of another commit", gitops.BadSignature, signedBy(func(w *world) sign {
			return func([]byte) string { return w.ann.sign([]byte(w.unsigned(w.root))) }
		})},
		{"message changed after signing", gitops.BadSignature, edited("Some words", "Other words")},
		{"tree changed after signing", gitops.BadSignature, edited(string(emptyTree), strings.Repeat("a", 40))},
		{"committer changed after signing", gitops.BadSignature, edited("committer Ann", "committer Eve")},
		{"PGP message", gitops.UnsupportedSig, signedBy(func(*world) sign {
			return func([]byte) string { return armorRaw("PGP MESSAGE", []byte("pgp")) }
		})},
		{"signature of no known kind", gitops.UnsupportedSig, signedBy(func(*world) sign {
			return func([]byte) string { return armorRaw("SIGNATURE", []byte("x")) }
		})},
		{"armor with text behind it", gitops.BadSignature, armor(func(s string) string { return s + "more\n" })},
		{"armor with text before it", gitops.UnsupportedSig, armor(func(s string) string { return "more\n" + s })},
		{"armor without an end", gitops.BadSignature, armor(func(s string) string { return strings.Replace(s, "-----END", "END", 1) })},
		{"armor that is not base64", gitops.BadSignature, armor(func(s string) string { return strings.Replace(s, "\nU1NI", "\nU1N!", 1) })},
		{"armor with an empty line", gitops.BadSignature, armor(func(s string) string { return strings.Replace(s, "\nU1NI", "\n\nU1NI", 1) })},
		{"armor on one long line", gitops.BadSignature, armor(func(s string) string {
			lines := strings.Split(strings.TrimSpace(s), "\n")
			return lines[0] + "\n" + strings.Join(lines[1:len(lines)-1], "") + "\n" + lines[len(lines)-1]
		})},
		{"armor with stray bits at its end", gitops.BadSignature, armor(func(s string) string {
			i := strings.LastIndex(s, "=\n") - 1
			return s[:i] + string(s[i]+1) + s[i+1:]
		})},
		{"armor that says nothing", gitops.BadSignature, armor(func(string) string { return armorRaw("SSH SIGNATURE", nil) })},
		{"armor begun in the middle of a line", gitops.BadSignature, armor(func(s string) string {
			return strings.Replace(s, "SIGNATURE-----\n", "SIGNATURE-----x\n", 1)
		})},
		{"no allowed signers file", gitops.UnknownSigner, func(w *world, broken bool) offer {
			head := w.commit(w.ann.sign, w.root)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) {
				if broken {
					c.AllowedSigners, c.OpenPGPKeys = "", gpgKeyFile(w.t)
				}
			}}
		}},
	})
}

func armor(change func(string) string) func(*world, bool) offer {
	return signedBy(func(w *world) sign {
		return func(payload []byte) string { return change(w.ann.sign(payload)) }
	})
}

// A stolen key that expired is of no use however the commit is dated.
func TestDatesInCommitsDecideNothing(t *testing.T) {
	w := newWorld(t)
	backdated := func(s func(w *world) sign) func(*world, bool) offer {
		return func(w *world, broken bool) offer {
			signer := w.ann.sign
			if broken {
				signer = s(w)
			}
			text := strings.ReplaceAll(w.unsigned(w.root), "> 17", "> 10")
			head := w.put(gitops.CommitObject, []byte(signText(text, signer)))
			return offer{commit: onMain(head), blamed: head}
		}
	}
	runScenarios(t, w, []scenario{
		{"expired key and a commit dated back", gitops.KeyExpired, backdated(func(w *world) sign { return w.gone.sign })},
		{"revoked key and a commit dated back", gitops.KeyRevoked, backdated(func(w *world) sign { return w.stolen.sign })},
	})
}

// Every kind of key that may sign, by the program that people sign with where
// it knows the kind. Git must call the same commits good.
func TestSignersThatAreAccepted(t *testing.T) {
	w := newWorld(t)
	real := func(kind string, args ...string) func() (string, string) {
		return func() (string, string) { return sshKeygen(t, kind, args...) }
	}
	signedByGit := map[string]func() (line, keyFile string){
		"ssh-keygen ed25519": real("ed25519"), "ssh-keygen ecdsa": real("ecdsa", "-b", "256"), "ssh-keygen rsa": real("rsa", "-b", "3072"),
	}
	for name, key := range signedByGit {
		t.Run(name, func(t *testing.T) {
			line, keyFile := key()
			allowed := w.file("real_signers", "real@example.com "+line+"\n")
			w.git("checkout", "-q", "--detach", string(w.root))
			w.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+keyFile, "commit", "-q", "--allow-empty", "-S", "-m", "by git")
			head := gitops.Hash(w.git("rev-parse", "HEAD"))
			w.git("-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", string(head))
			accept(t, w, head, "real@example.com", func(c *verify.Config) { c.AllowedSigners = allowed })
		})
	}
	inProcess := []struct {
		name   string
		sign   sign
		signer string
	}{
		{"ed25519", w.ann.sign, "ann@example.com,*@ann.example.com"},
		{"ecdsa with namespaces", w.ben.sign, "ben@example.com"},
		{"rsa with SHA-512", w.cat.sign, "cat@example.com"},
		{"rsa with SHA-256", w.cat.asFormat(ssh.KeyAlgoRSASHA256), "cat@example.com"},
		{"security key that was touched", w.touch.sign(1), "touch@example.com"},
		{"security key that was touched and asked for a PIN", w.touch.sign(5), "touch@example.com"},
		{"ECDSA security key that was touched", w.tap.sign(1), "tap@example.com"},
		{"signature with an empty line at its end, as GitHub writes it", func(p []byte) string { return w.ann.sign(p) + "\n\n" }, "ann@example.com,*@ann.example.com"},
	}
	for _, c := range inProcess {
		t.Run(c.name, func(t *testing.T) {
			head := w.commit(c.sign, w.root)
			w.git("-c", "gpg.ssh.allowedSignersFile="+w.dir+"/allowed_signers", "verify-commit", string(head))
			accept(t, w, head, c.signer, nil)
		})
	}
}

func accept(t *testing.T, w *world, head gitops.Hash, signer string, change func(*verify.Config)) {
	t.Helper()
	w.t = t
	got, err := w.verifier(change).Verify(t.Context(), onMain(head), "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Signer() != signer || got.Hash() != head || got.Tree() != emptyTree || got.Key() == "" {
		t.Errorf("got %s by %q with %s, tree %s", got.Hash(), got.Signer(), got.Key(), got.Tree())
	}
}

// sshKeygen makes a key pair with the real program.
func sshKeygen(t *testing.T, kind string, args ...string) (line, keyFile string) {
	t.Helper()
	keyFile = t.TempDir() + "/id"
	run(t, "ssh-keygen", append([]string{"-q", "-t", kind, "-N", "", "-C", "real", "-f", keyFile}, args...)...)
	public, err := os.ReadFile(keyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(public)), keyFile
}
