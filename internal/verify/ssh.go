// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/rsa"
	"errors"
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
	path  string
	lines map[string][]allowedSigner
}

func newSSHKeys(path string, signers []allowedSigner) sshKeys {
	k := sshKeys{path: path, lines: map[string][]allowedSigner{}}
	for _, s := range signers {
		id := string(s.key.Marshal())
		k.lines[id] = append(k.lines[id], s)
	}
	return k
}

// check verifies an SSH signature. The order is: is it a signature at all, did
// this key make it, may the key sign here, may it sign now.
func (k ring) checkSSH(s signed, at moment, revoked revocations) (signer, error) {
	sig, err := parseSSHSignature(s)
	if err != nil {
		return signer{}, err
	}
	print := ssh.FingerprintSHA256(sig.PublicKey)
	if sig.Namespace != sshNamespace {
		return signer{}, refusal(gitops.BadSignature, "sign with git itself",
			"the SSH signature of %s is made for %s, not for %q", s.what, quoted(sig.Namespace), sshNamespace)
	}
	if weak := weakSSHKey(sig.PublicKey); weak != "" {
		return signer{}, refusal(gitops.WeakKey, "sign with an ed25519 key",
			"%s is signed by SSH key %s, which is %s", s.what, print, weak)
	}
	if err := sshsig.Verify(bytes.NewReader(s.payload), sig, sig.PublicKey, sig.HashAlgorithm, sshNamespace); err != nil {
		return signer{}, refusal(gitops.BadSignature, "sign it again",
			"the signature of %s by SSH key %s does not match its content: %s", s.what, print, printable(err.Error()))
	}
	if by := revoked.sshKey(print); by != "" {
		return signer{}, keyRevoked(s.what, "SSH key "+print, by)
	}
	return k.ssh.authorise(s.what, sig.PublicKey, print, at)
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
	var last error
	for _, line := range lines {
		err := line.permits(what, k.path, print, at)
		if err == nil {
			return signer{name: line.principals, key: print}, nil
		}
		// A line that is out of its time says more than one for another purpose.
		if last == nil || gitops.ReasonOf(last) == gitops.UnknownSigner {
			last = err
		}
	}
	return signer{}, last
}

func (a allowedSigner) permits(what, path, print string, at moment) error {
	switch {
	case a.namespaces != "" && !matchList(a.namespaces, sshNamespace):
		return refusal(gitops.UnknownSigner, "add git to its namespaces",
			"%s is signed by SSH key %s, which %s line %d allows for %s only", what, print, path, a.line, quoted(a.namespaces))
	case at.past(a.before):
		return refusal(gitops.KeyExpired, "have the commit signed by a key that is valid, or change the line",
			"%s is signed by SSH key %s, which %s line %d allows until %s; it is %s", what, print, path, a.line, show(a.before), show(at.now))
	case at.early(a.after):
		return refusal(gitops.KeyNotYetValid, "check the node's clock, or change the line",
			"%s is signed by SSH key %s, which %s line %d allows from %s on; it is %s", what, print, path, a.line, show(a.after), show(at.now))
	}
	return nil
}

func show(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// parseSSHSignature reads the armored signature, and refuses what OpenSSH or
// the library would let pass: certificates, key types that are not listed, and
// bytes behind the signature.
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
	switch sig.PublicKey.Type() {
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA, sshDSA:
		if len(sig.Signature.Rest) > 0 {
			return nil, bad(errors.New("bytes follow it"))
		}
	default:
		return nil, refusal(gitops.UnsupportedSig, "sign with a plain ed25519 key",
			"%s is signed by an SSH key of type %s, which is not supported", s.what, sig.PublicKey.Type())
	}
	return sig, nil
}

// weakSSHKey says what is wrong with a key that must not sign whoever holds it.
// RSA with SHA-1 never comes this far: the library parses rsa-sha2 only.
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
