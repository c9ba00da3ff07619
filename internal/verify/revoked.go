// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// revokedKeys are the fingerprints of keys that must not have signed anything,
// whenever they did: a revocation is immediate and retroactive.
type revokedKeys struct {
	path string
	ssh  map[string]bool // "SHA256:…"
	pgp  map[string]bool // upper-case hexadecimal
}

// parseRevoked reads one key a line: an SSH public key as in authorized_keys,
// an SSH fingerprint (SHA256:…), or a full OpenPGP fingerprint. It accepts
// nothing half-understood: a revocation that is passed over is a stolen key
// that still signs.
func parseRevoked(path string, data []byte) (revokedKeys, error) {
	r := revokedKeys{path: path, ssh: map[string]bool{}, pgp: map[string]bool{}}
	if strings.HasPrefix(string(data), "SSHKRL\n") {
		return r, errors.New("it is a binary KRL, which is not supported; list the keys as text, one a line")
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.add(line); err != nil {
			return r, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return r, nil
}

func (r revokedKeys) add(line string) error {
	kind, rest, _ := strings.Cut(line, " ")
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
			return fmt.Errorf("%s is not the SHA256 fingerprint of an SSH key", quoted(line))
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
	return fmt.Errorf("%s is neither an SSH public key, nor SHA256:…, nor an OpenPGP fingerprint", quoted(line))
}

// revocations are all the lists that count: of the node, of the trust file, and
// those that the roots published. One is enough.
type revocations []revokedKeys

// sshKey returns what revokes a key, "" if nothing does.
func (r revocations) sshKey(print string) string {
	for _, list := range r {
		if list.ssh[print] {
			return list.path
		}
	}
	return ""
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
// only after it was read.
func (x *examination) readRevocations(ctx context.Context) error {
	for _, id := range []gitops.Hash{x.accepted, x.head()} {
		if id == "" {
			continue
		}
		p, err := x.policyOf(ctx, id)
		if err != nil && (id == x.head() || refused(err)) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		if p.inBand() {
			x.revoked = append(x.revoked, p.revoked)
		}
	}
	return nil
}
