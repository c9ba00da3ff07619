// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// sshNamespace is what Git signs under. A signature that was made for another
// purpose, over bytes that somebody else chose, must not become a commit's.
const sshNamespace = "git"

// sshDSA is a kind of key that is known only to be refused by its name.
const sshDSA = "ssh-dss"

// minRSABits is the least that an RSA key needs, SSH or OpenPGP.
const minRSABits = 3072

// signed is what is put to the test: a commit or a tag with its signature.
type signed struct {
	what    string // "commit 3f2a1bc", for messages
	payload []byte
	armor   string
}

// sshKeys are the lines of an allowed_signers file by public key.
type sshKeys struct {
	path        string
	lines       map[string][]allowedSigner
	authorities map[string][]allowedSigner
}

func newSSHKeys(path string, signers []allowedSigner) sshKeys {
	k := sshKeys{path: path, lines: map[string][]allowedSigner{}, authorities: map[string][]allowedSigner{}}
	for _, s := range signers {
		k.add(s)
	}
	return k
}

// add files a line. What an authority's own key signs is no commit of anybody:
// it is listed apart from the keys that sign themselves.
func (k sshKeys) add(s allowedSigner) {
	of := k.lines
	if s.authority {
		of = k.authorities
	}
	id := string(s.key.Marshal())
	of[id] = append(of[id], s)
}

// check verifies an SSH signature. The order is: is it a signature at all, did
// this key make it, may the key sign here, may it sign now.
func (k ring) checkSSH(s signed, at moment, revoked revocations) (signer, error) {
	sig, err := parseSSHSignature(s)
	if err != nil {
		return signer{}, err
	}
	key := plainKey(sig.PublicKey)
	print := ssh.FingerprintSHA256(key)
	if sig.Namespace != sshNamespace {
		return signer{}, refusal(gitops.BadSignature, "sign with git itself",
			"the SSH signature of %s is made for %s, not for %q", s.what, quoted(sig.Namespace), sshNamespace)
	}
	if weak := weakSSHKey(key); weak != "" {
		return signer{}, refusal(gitops.WeakKey, "sign with an ed25519 key",
			"%s is signed by SSH key %s, which is %s", s.what, print, weak)
	}
	if err := sshsig.Verify(bytes.NewReader(s.payload), sig, sig.PublicKey, sig.HashAlgorithm, sshNamespace); err != nil {
		return signer{}, refusal(gitops.BadSignature, "sign it again",
			"the signature of %s by SSH key %s does not match its content: %s", s.what, print, printable(err.Error()))
	}
	cert, certified := sig.PublicKey.(*ssh.Certificate)
	if certified {
		if err := genuine(s.what, cert); err != nil {
			return signer{}, err
		}
	}
	if what, by := revoked.ssh(sig.PublicKey); by != "" {
		return signer{}, keyRevoked(s.what, what, by)
	}
	if certified {
		return k.ssh.authoriseCertificate(s.what, cert, sig.Signature, at)
	}
	return k.ssh.authorise(s.what, key, print, at)
}

// authorise looks for a line that lets the key sign commits at this moment.
func (k sshKeys) authorise(what string, key ssh.PublicKey, print string, at moment) (signer, error) {
	lines := k.lines[string(key.Marshal())]
	if len(lines) == 0 {
		if k.path == "" {
			return signer{}, refusal(gitops.UnknownSigner, "name a file with the key as trust.allowedSigners",
				"%s is signed by SSH key %s, but the source has no allowedSigners file", what, print)
		}
		return signer{}, refusal(gitops.UnknownSigner, "add it there or have the commit signed by an allowed signer",
			"%s is signed by SSH key %s, which is not in %s", what, print, k.path)
	}
	return firstThatPermits(lines, print, func(line allowedSigner) (string, error) {
		return line.principals, line.permits(what, k.path, "SSH key "+print, at)
	})
}

// firstThatPermits asks the lines of one key in turn who signed.
func firstThatPermits(lines []allowedSigner, print string, ask func(allowedSigner) (string, error)) (signer, error) {
	var last error
	for _, line := range lines {
		name, err := ask(line)
		if err == nil {
			return signer{name: name, key: print}, nil
		}
		// A line that is out of its time says more than one for another purpose.
		if last == nil || gitops.ReasonOf(last) == gitops.UnknownSigner {
			last = err
		}
	}
	return signer{}, last
}

func (a allowedSigner) permits(what, path, by string, at moment) error {
	switch {
	case a.namespaces != "" && !matchList(a.namespaces, sshNamespace):
		return refusal(gitops.UnknownSigner, "add git to its namespaces",
			"%s is signed by %s, which %s line %d allows for %s only", what, by, path, a.line, quoted(a.namespaces))
	case at.past(a.before):
		return refusal(gitops.KeyExpired, "have the commit signed by a key that is valid, or change the line",
			"%s is signed by %s, which %s line %d allows until %s; it is %s", what, by, path, a.line, show(a.before), show(at.now))
	case at.early(a.after):
		return refusal(gitops.KeyNotYetValid, "check the node's clock, or change the line",
			"%s is signed by %s, which %s line %d allows from %s on; it is %s", what, by, path, a.line, show(a.after), show(at.now))
	}
	return nil
}

func show(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// parseSSHSignature reads the armored signature, and refuses what OpenSSH or
// the library would let pass: key types that are not listed, RSA with SHA-1
// under a certificate, and bytes behind the signature.
func parseSSHSignature(s signed) (*sshsig.Signature, error) {
	bad := func(err error) error {
		return refusal(gitops.BadSignature, "sign it again", "the SSH signature of %s does not parse: %s", s.what, printable(err.Error()))
	}
	data, err := dearmor(s.armor, armorSSH)
	if err != nil {
		return nil, bad(err)
	}
	sig, err := sshsig.ParseSignature(data)
	if err != nil {
		return nil, bad(err)
	}
	kind := plainKey(sig.PublicKey).Type()
	switch {
	case isSecurityKey(kind):
	case !mayBeSSHKey(kind):
		return nil, refusal(gitops.UnsupportedSig, "sign with a plain ed25519 key",
			"%s is signed by an SSH key of type %s, which is not supported", s.what, sig.PublicKey.Type())
	case kind == ssh.KeyAlgoRSA && !strongRSA(sig.Signature.Format):
		return nil, bad(fmt.Errorf("it is made by %s", quoted(sig.Signature.Format)))
	case len(sig.Signature.Rest) > 0:
		return nil, bad(errors.New("bytes follow it"))
	}
	return sig, nil
}

func isSecurityKey(kind string) bool {
	return kind == ssh.KeyAlgoSKED25519 || kind == ssh.KeyAlgoSKECDSA256
}

// mayBeSSHKey lists the types of keys that are judged further.
func mayBeSSHKey(kind string) bool {
	switch kind {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA, sshDSA:
		return true
	}
	return isSecurityKey(kind)
}

// strongRSA reports whether an RSA signature is made with SHA-2.
func strongRSA(format string) bool {
	return format == ssh.KeyAlgoRSASHA256 || format == ssh.KeyAlgoRSASHA512
}

// weakSSHKey says what is wrong with a key that must not sign whoever holds it.
func weakSSHKey(key ssh.PublicKey) string {
	if key.Type() == sshDSA {
		return "a DSA key"
	}
	if holder, ok := key.(ssh.CryptoPublicKey); ok {
		if k, ok := holder.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
			return rsaBits(k.N.BitLen())
		}
	}
	return ""
}
