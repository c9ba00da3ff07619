// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify/gitsign"
)

// revokedKeys are the fingerprints of keys that must not have signed anything,
// whenever they did: a revocation is immediate and retroactive.
type revokedKeys struct {
	path string
	ssh  map[string]bool // "SHA256:…"
	sha1 map[string]bool // 20 bytes, as old lists name SSH keys
	pgp  map[string]bool // upper-case hexadecimal
	// keyless are identities of Sigstore. One of its certificates is revoked as
	// an SSH key is, by its fingerprint.
	keyless map[gitsign.Identity]bool
	// certificates are by the public key of their authority, "" for any.
	certificates map[string]*revokedCertificates
	// offered is set where the list is of a head that nobody judged yet.
	offered bool
}

// parseRevoked reads a list as ssh-keygen -k makes it, or text with one entry a
// line: an SSH public key as in authorized_keys, an SSH fingerprint (SHA256:…),
// an SSH certificate, which revokes that one alone as with ssh-keygen -k, a full
// OpenPGP fingerprint, sigstore:ISSUER SUBJECT, or krl: and a list of
// ssh-keygen in base64. It accepts nothing half-understood: a revocation that is
// passed over is a stolen key that still signs.
func parseRevoked(path string, data []byte) (revokedKeys, error) {
	r := revokedKeys{path: path, ssh: map[string]bool{}, sha1: map[string]bool{}, pgp: map[string]bool{},
		certificates: map[string]*revokedCertificates{}, keyless: map[gitsign.Identity]bool{}}
	read := r.addText
	if isKRL(data) {
		read = r.addKRL
	}
	if err := read(data); err != nil {
		return r, err
	}
	for _, of := range r.certificates {
		of.settle()
	}
	return r, nil
}

func (r revokedKeys) addText(data []byte) error {
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.add(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	return nil
}

// isKRL tells a binary list from text.
func isKRL(data []byte) bool { return bytes.HasPrefix(data, []byte(krlMagic[:6])) }

// revokedLines is a list as lines of text.
func revokedLines(data []byte, list revokedKeys) []string {
	if isKRL(data) {
		return krlLines(data, list)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

func (r revokedKeys) add(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	if isKeyType(kind) && isCertificateType(kind) {
		cert, err := parseSSHCertificate(kind, strings.TrimLeft(rest, " \t"))
		if err != nil {
			return err
		}
		r.addCertificate(cert)
		return nil
	}
	if list, ok := strings.CutPrefix(line, krlLine); ok {
		data, err := base64.StdEncoding.Strict().DecodeString(list)
		if err != nil {
			return errors.New("the list behind krl: is not base64")
		}
		return r.addKRL(data)
	}
	if issuer, ok := strings.CutPrefix(kind, sigstoreLine); ok {
		id, err := identity(issuer, strings.Trim(rest, " \t"))
		if err != nil {
			return err
		}
		r.keyless[id] = true
		return nil
	}
	if isKeyType(kind) {
		key, err := parseSSHKey(kind, strings.TrimLeft(rest, " \t"))
		if err != nil {
			return err
		}
		r.ssh[ssh.FingerprintSHA256(key)] = true
		return nil
	}
	if sum, ok := strings.CutPrefix(line, "SHA256:"); ok {
		data, err := base64.RawStdEncoding.Strict().DecodeString(sum)
		if err != nil || len(data) != 32 {
			return fmt.Errorf("%s is not the SHA256 fingerprint of a key or certificate", quoted(line))
		}
		r.ssh[line] = true
		return nil
	}
	print := strings.ToUpper(strings.ReplaceAll(line, " ", ""))
	if strings.Trim(print, "0123456789ABCDEF") == "" {
		if len(print) != 40 && len(print) != 64 {
			return fmt.Errorf("%s is not a full OpenPGP fingerprint of 40 or 64 digits", quoted(line))
		}
		r.pgp[print] = true
		return nil
	}
	return fmt.Errorf("%s is neither an SSH public key, nor SHA256:…, nor an OpenPGP fingerprint, nor sigstore:…", quoted(line))
}

// revocations are all the lists that count: of the node, of the trust file, and
// those that the roots published. One is enough.
type revocations []revokedKeys

// ssh returns what of a key or certificate is revoked, and by what; "" if
// nothing is. An authority that is revoked takes its certificates with it.
func (r revocations) ssh(key ssh.PublicKey) (what, by string) {
	for _, list := range r {
		if what := list.revokes(key); what != "" {
			return what, list.path
		}
	}
	return "", ""
}

// revokes names what a list revokes of a key or certificate, "" for nothing.
func (r revokedKeys) revokes(key ssh.PublicKey) string {
	if plain := plainKey(key); r.hasKey(plain) {
		return "SSH key " + ssh.FingerprintSHA256(plain)
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return ""
	}
	shown := shownCertificate(cert)
	if r.hasKey(cert.SignatureKey) {
		return shown + ", an authority"
	}
	for _, authority := range []string{string(cert.SignatureKey.Marshal()), ""} {
		if of := r.certificates[authority]; of != nil && (of.has(cert.Serial) || of.ids[cert.KeyId]) {
			return shown
		}
	}
	return ""
}

// hasKey reports whether a key is revoked, whatever it is used for.
func (r revokedKeys) hasKey(key ssh.PublicKey) bool {
	if r.ssh[ssh.FingerprintSHA256(key)] {
		return true
	}
	if len(r.sha1) == 0 {
		return false
	}
	sum := sha1.Sum(key.Marshal())
	return r.sha1[string(sum[:])]
}

// addCertificate revokes a certificate by its serial, or by its id when it was
// given none.
func (r revokedKeys) addCertificate(cert *ssh.Certificate) {
	of := r.certificatesOf(string(cert.SignatureKey.Marshal()))
	if cert.Serial == 0 {
		of.ids[cert.KeyId] = true
		return
	}
	of.serials = append(of.serials, span{cert.Serial, cert.Serial})
}

func (r revokedKeys) certificatesOf(authority string) *revokedCertificates {
	of := r.certificates[authority]
	if of == nil {
		of = &revokedCertificates{ids: map[string]bool{}}
		r.certificates[authority] = of
	}
	return of
}

// openPGP returns what revokes one of the keys, "" if nothing does.
func (r revocations) openPGP(prints ...string) string {
	for _, list := range r {
		for _, print := range prints {
			if list.pgp[print] {
				return list.path
			}
		}
	}
	return ""
}

func keyRevoked(what, key, by string) error {
	return refusal(gitops.KeyRevoked, "have the commit made anew and signed by a key that is not revoked",
		"%s is signed by %s, which %s revokes", what, key, by)
}

// readRevocations adds what the accepted trust file revokes, and that of the
// head: one that revokes too much refuses itself only. A head whose trust file
// cannot be read is judged without it as far as that goes; it is let through
// only after it was read. What the accepted one revokes is told to the node, to
// be remembered: a later version does not take it back, and what ran before is
// judged by it too.
func (x *examination) readRevocations(ctx context.Context) error {
	for _, id := range []gitops.Hash{x.accepted, x.head()} {
		if id == "" {
			continue
		}
		p, err := x.policyOf(ctx, id)
		switch {
		case err == nil && p.inBand():
			list := p.revoked
			list.offered = id != x.accepted
			x.revoked = append(x.revoked, list)
			if id == x.accepted {
				x.publish([]byte(strings.Join(p.file.Revoked, "\n")), p.revoked)
			}
		case err == nil, refused(err):
		case id == x.head() && lost(err):
			x.unread = err
		default:
			return err
		}
	}
	return nil
}

// publish tells the node of revoked keys, each once.
func (x *examination) publish(raw []byte, list revokedKeys) {
	for _, line := range revokedLines(raw, list) {
		if !slices.Contains(x.published.Revoked, line) {
			x.published.Revoked = append(x.published.Revoked, line)
		}
	}
}
