// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/pjbgf/sha1cd"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// ReadCommit is what the strict grammar reads from the bytes of a commit.
func ReadCommit(raw []byte) (tree gitops.Hash, parents []gitops.Hash, payload []byte, err error) {
	c, err := parseCommit(raw)
	return c.tree, c.parents, c.payload, err
}

// ReadTag is what the strict grammar reads from the bytes of a tag.
func ReadTag(raw []byte) (object gitops.Hash, kind gitops.ObjectKind, name string, payload []byte, err error) {
	t, err := parseTag(raw)
	return t.object, t.kind, t.name, t.payload, err
}

// Links is what the walk reads from the bytes of a commit.
func Links(raw []byte) ([]gitops.Hash, int64) { return links(raw) }

// Between walks, and lists what is fresh before and after it was settled.
func Between(ctx context.Context, objects Objects, tip gitops.Hash, bounds []gitops.Hash) (quick, exact []gitops.Hash, err error) {
	h, err := walk(ctx, objects, tip, bounds, defaultMaxCommits)
	if err != nil {
		return nil, nil, err
	}
	quick = h.commits()
	if err := h.settle(ctx); err != nil {
		return nil, nil, err
	}
	return quick, h.commits(), nil
}

// Match is the pattern list of allowed_signers.
func Match(list, s string) bool { return matchList(list, s) }

// ParseSigners reads an allowed_signers file.
func ParseSigners(data []byte) (int, error) {
	signers, err := parseAllowedSigners(data)
	return len(signers), err
}

// ParseKeys reads an OpenPGP key file.
func ParseKeys(data []byte) (int, error) {
	keys, err := parseOpenPGPKeys(data)
	return len(keys), err
}

// ParseRevoked reads a file of revoked keys.
func ParseRevoked(data []byte) (int, error) {
	r, err := parseRevoked("revoked", data)
	return len(r.ssh) + len(r.pgp) + len(r.keyless), err
}

// Revokes reports whether a list revokes a key or certificate.
func Revokes(list []byte, key ssh.PublicKey) (bool, error) {
	r, err := parseRevoked("revoked", list)
	return r.revokes(key) != "", err
}

// RevokedLines is a list as it is remembered.
func RevokedLines(data []byte) []string {
	list, err := parseRevoked("revoked", data)
	if err != nil {
		return nil
	}
	return revokedLines(data, list)
}

// Genuine checks who made a certificate.
func Genuine(cert *ssh.Certificate) error { return genuine("it", cert) }

// Collides reports whether the hash that names objects sees a collision in data.
func Collides(data []byte) bool {
	h := sha1cd.New().(sha1cd.CollisionResistantHash)
	h.Write(data)
	_, collision := h.CollisionResistantSum(nil)
	return collision
}

// CheckObject judges what was read under an id.
func CheckObject(id, sum gitops.Hash, collision bool) error {
	return checkObject(id, sum, collision, gitops.CommitObject, gitops.CommitObject)
}

// Printable is how text from commits is shown.
func Printable(text string) string { return printable(text) }

// CheckSignature judges a signature alone.
func CheckSignature(v *Verifier, payload []byte, armor string) error {
	_, err := v.trust.Load().developers.check(signed{what: "it", payload: payload, armor: armor}, v.moment(), revocations{v.trust.Load().revoked})
	return err
}

// Weak says what is too weak about a key or its binding.
func Weak(key *packet.PublicKey, binding *packet.Signature) string { return weakOpenPGP(key, binding) }

// MergeBases are the newest commits that two commits have in common.
func MergeBases(ctx context.Context, objects Objects, a, b gitops.Hash) ([]gitops.Hash, error) {
	return mergeBases(ctx, objects, a, b, defaultMaxCommits)
}
