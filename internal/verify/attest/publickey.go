// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/verify"
)

const (
	authorityPrefix = "cert-authority "
	sigstorePrefix  = "sigstore:"
)

// PublicKey is a key as a trust file keeps it.
type PublicKey struct {
	SSH      string // "ssh-ed25519 AAAA…", with cert-authority before it for an authority
	OpenPGP  string // armored
	Sigstore verify.SigstoreSigner
	// Print is how lists of revoked keys name it.
	Print string
}

// ReadPublicKey takes a key as a person names it: a file with an SSH or OpenPGP
// public key, the SSH key itself, "cert-authority" and one of both, or
// "sigstore:ISSUER SUBJECT".
func ReadPublicKey(text string) (PublicKey, error) {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, sigstorePrefix); ok {
		issuer, subject, _ := strings.Cut(rest, " ")
		subject = strings.TrimSpace(subject)
		if issuer == "" || subject == "" {
			return PublicKey{}, fmt.Errorf("%q is not sigstore:ISSUER SUBJECT", text)
		}
		return PublicKey{Sigstore: verify.SigstoreSigner{Issuer: issuer, Subject: subject}, Print: sigstorePrefix + issuer + " " + subject}, nil
	}
	text, authority := strings.CutPrefix(text, authorityPrefix)
	if key, err := parseSSH(text, authority); err == nil {
		return key, nil
	}
	path := home(text)
	data, err := readKey(path)
	if err != nil {
		if strings.HasSuffix(path, ".pub") || !errors.Is(err, fs.ErrNotExist) {
			return PublicKey{}, err
		}
		return PublicKey{}, fmt.Errorf("%q is neither an SSH public key nor a file with one", text)
	}
	content := strings.TrimSpace(string(data))
	switch {
	case strings.HasPrefix(content, "-----BEGIN PGP PUBLIC KEY BLOCK-----"):
		return parseOpenPGP(content)
	case strings.Contains(content, "PRIVATE KEY-----"):
		public, err := os.ReadFile(path + ".pub")
		if err != nil {
			return PublicKey{}, fmt.Errorf("%s is a private key, and there is no %s.pub; name the public key", path, path)
		}
		content = strings.TrimSpace(string(public))
	}
	key, err := parseSSH(content, authority)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read the public key %s: %v", path, err)
	}
	return key, nil
}

// check refuses an identity of Sigstore that nobody has. A certificate names its
// issuer by a URL; with the two of them exchanged the file would be valid, and
// whoever it is meant for could sign nothing. What is written by hand can be
// revoked all the same: this is asked of new keys only.
func (k PublicKey) check() error {
	if k.keyless() && !strings.HasPrefix(k.Sigstore.Issuer, "https://") && !strings.HasPrefix(k.Sigstore.Issuer, "http://") {
		return fmt.Errorf("%q does not begin with the URL of an issuer; write it as in \"sigstore:https://accounts.example.com ann@example.com\"", k.Print)
	}
	return nil
}

func (k PublicKey) keyless() bool { return k.Sigstore != (verify.SigstoreSigner{}) }

func parseSSH(line string, authority bool) (PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return PublicKey{}, err
	case len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0:
		return PublicKey{}, errors.New("it is more than one plain key")
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return PublicKey{}, errors.New("it is a certificate; name the authority's key, after the word cert-authority")
	}
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	if authority {
		text = authorityPrefix + text
	}
	return PublicKey{SSH: text, Print: ssh.FingerprintSHA256(key)}, nil
}

func parseOpenPGP(armored string) (PublicKey, error) {
	keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(armored))
	if err != nil {
		return PublicKey{}, fmt.Errorf("read the OpenPGP key: %v", err)
	}
	if len(keys) != 1 || keys[0].PrivateKey != nil {
		return PublicKey{}, errors.New("read the OpenPGP key: want one public key; export it with gpg --armor --export FINGERPRINT")
	}
	return PublicKey{OpenPGP: armored + "\n", Print: strings.ToUpper(hex.EncodeToString(keys[0].PrimaryKey.Fingerprint))}, nil
}

// prints are the names of a principal's keys in lists of revoked keys.
func prints(p verify.Principal) []string {
	var out []string
	for _, line := range p.SSH {
		text, authority := strings.CutPrefix(line, authorityPrefix)
		if key, err := parseSSH(text, authority); err == nil {
			out = append(out, key.Print)
		}
	}
	for _, armored := range p.OpenPGP {
		if key, err := parseOpenPGP(strings.TrimSpace(armored)); err == nil {
			out = append(out, key.Print)
		}
	}
	for _, s := range p.Sigstore {
		out = append(out, sigstorePrefix+s.Issuer+" "+s.Subject)
	}
	return out
}
