// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// verifyRequired is the one critical option that can be held to for a commit:
// the person proved to the security key who they are. The others restrict
// logins, and a certificate that is restricted to those signs no commit.
const verifyRequired = "verify-required"

// userVerified is the flag in a security key's signature that says so.
const userVerified = 4

// farthest is the end of the year 9999, for times that are no real ones: the
// one, too, that stands for no end.
const farthest = 253402300799

// plainKey is the key that signs: a certificate's own, or the key itself.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

// shownCertificate names a certificate in messages.
func shownCertificate(cert *ssh.Certificate) string {
	return fmt.Sprintf("SSH key %s with certificate %s (serial %d) of authority %s",
		ssh.FingerprintSHA256(cert.Key), quoted(cert.KeyId), cert.Serial, ssh.FingerprintSHA256(cert.SignatureKey))
}

// genuine checks that the authority which a certificate names did make it. It
// says nothing about whether anybody believes that authority.
func genuine(what string, cert *ssh.Certificate) error {
	ca := cert.SignatureKey
	if !mayBeSSHKey(ca.Type()) {
		return refusal(gitops.UnsupportedSig, "have the certificate signed by an ed25519 key",
			"%s is signed by %s, a key of type %s, which is not supported", what, shownCertificate(cert), ca.Type())
	}
	weak := weakSSHKey(ca)
	if ca.Type() == ssh.KeyAlgoRSA && !strongRSA(cert.Signature.Format) {
		weak = "an RSA key that signs by " + quoted(cert.Signature.Format)
	}
	if weak != "" {
		return refusal(gitops.WeakKey, "have the certificate signed by an ed25519 key",
			"%s is signed by %s, which is %s", what, shownCertificate(cert), weak)
	}
	// What is signed is the certificate up to its signature, without the four
	// bytes of that one's length. It is put together from what was understood,
	// so that nothing else can have been signed.
	bare := *cert
	bare.Signature = nil
	body := bare.Marshal()
	if err := ca.Verify(body[:len(body)-4], cert.Signature); err != nil {
		return refusal(gitops.BadSignature, "have the certificate made anew",
			"%s is signed by %s, which did not sign that certificate: %s", what, shownCertificate(cert), printable(err.Error()))
	}
	return nil
}

// authoriseCertificate looks for an authority's line that lets the holder of a
// genuine certificate sign commits at this moment.
func (k sshKeys) authoriseCertificate(what string, cert *ssh.Certificate, sig *ssh.Signature, at moment) (signer, error) {
	lines := k.authorities[string(cert.SignatureKey.Marshal())]
	by := shownCertificate(cert)
	if len(lines) == 0 {
		place := k.path
		if place == "" {
			place = "an allowedSigners file, because the source has none"
		}
		return signer{}, refusal(gitops.UnknownSigner, "list the authority with the option cert-authority, or have the commit signed by an allowed signer",
			"%s is signed by %s, which is no cert-authority in %s", what, by, place)
	}
	if err := usable(what, by, cert, sig, at); err != nil {
		return signer{}, err
	}
	return firstThatPermits(lines, ssh.FingerprintSHA256(cert.Key), func(line allowedSigner) (string, error) {
		name := line.principalOf(cert)
		if name == "" {
			return "", refusal(gitops.UnknownSigner, "have a certificate made with -n and a principal of that line",
				"%s is signed by %s, whose principals are %s; %s line %d allows %s",
				what, by, quoted(strings.Join(cert.ValidPrincipals, ",")), k.path, line.line, quoted(line.patterns))
		}
		return printable(name), line.permits(what, k.path, by, at)
	})
}

// usable judges what a certificate says about itself.
func usable(what, by string, cert *ssh.Certificate, sig *ssh.Signature, at moment) error {
	if cert.CertType != ssh.UserCert {
		return refusal(gitops.UnknownSigner, "sign with a certificate for a user (ssh-keygen -s without -h)",
			"%s is signed by %s, which is not for a user (type %d)", what, by, cert.CertType)
	}
	for option := range cert.CriticalOptions {
		if option != verifyRequired {
			return refusal(gitops.UnsupportedSig, "have a certificate made without it",
				"%s is signed by %s, which is restricted by %s: no commit can be held to that", what, by, quoted(option))
		}
		// Only the signature of a security key has more than the mathematics.
		if len(sig.Rest) == 0 || sig.Rest[0]&userVerified == 0 {
			return refusal(gitops.BadSignature, "sign with the PIN or fingerprint of the security key",
				"%s is signed by %s, which wants %s, and the signature does not say that the person was verified", what, by, verifyRequired)
		}
	}
	// The last second of a certificate is the one before its end.
	if end := certTime(cert.ValidBefore); at.past(end.Add(-time.Nanosecond)) {
		return refusal(gitops.KeyExpired, "have the commit signed under a certificate that is valid",
			"%s is signed by %s, which is valid until %s; it is %s", what, by, show(end), show(at.now))
	}
	if start := certTime(cert.ValidAfter); at.early(start) {
		return refusal(gitops.KeyNotYetValid, "check the node's clock, or have a certificate made that is valid",
			"%s is signed by %s, which is valid from %s on; it is %s", what, by, show(start), show(at.now))
	}
	return nil
}

// certTime is a time in a certificate, which may lie beyond what time.Time
// can hold.
func certTime(seconds uint64) time.Time {
	return time.Unix(int64(min(seconds, farthest)), 0)
}

// principalOf is the first principal of a certificate that the line's patterns
// allow, as ssh-keygen -Y find-principals finds it; "" when there is none, or it
// has no name. A certificate without principals is good for anybody, and so for
// nobody here.
func (a allowedSigner) principalOf(cert *ssh.Certificate) string {
	for _, name := range cert.ValidPrincipals {
		if matchList(a.patterns, name) {
			return name
		}
	}
	return ""
}

// countable refuses authorities among signers who are counted, where one
// authority could make up as many as it takes: each of them has to stand for
// exactly one signer, and to be listed once.
func countable(signers []allowedSigner) error {
	owner := map[string]string{}
	for _, s := range signers {
		id := string(s.key.Marshal())
		other, listed := owner[id]
		if s.authority && strings.ContainsAny(s.patterns, "*?!,") {
			return fmt.Errorf("line %d: a cert-authority for %s could count as several: name one principal", s.line, quoted(s.patterns))
		}
		if listed && other != s.patterns {
			return fmt.Errorf("line %d: the key is listed for %s, too: they would count as two", s.line, quoted(other))
		}
		owner[id] = s.patterns
	}
	return nil
}

// parseSSHCertificate reads "CERTTYPE CERTIFICATE [COMMENT]", cut after CERTTYPE.
func parseSSHCertificate(kind, rest string) (*ssh.Certificate, error) {
	key, err := decodeSSHKey(kind, rest)
	if err != nil {
		return nil, err
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("it is not a certificate")
	}
	return cert, nil
}
