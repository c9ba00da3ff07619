// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"os"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxTrustFile bounds a file of keys: ten thousand signers fit in.
const maxTrustFile = 4 << 20

// What the files are called in messages.
const (
	allowedSignersFile = "allowed signers"
	openPGPKeysFile    = "OpenPGP keys"
	revokedKeysFile    = "revoked keys"
)

// trust is what the node's files say, at one moment. It does not change; a
// reload makes a new one.
type trust struct {
	developers ring
	roots      ring // empty when the node's file names none
	revoked    revokedKeys
	broken     error // why the revoked keys are not known; nothing is let through
}

// policy is whom the node's own files believe: version 0 of the trust file.
func (k *trust) policy(threshold int) *policy {
	p := &policy{name: "the node's files", rings: map[string]ring{roleDeveloper: k.developers}}
	if threshold > 0 {
		p.rings[roleRoot] = k.roots
		p.file.Roles = map[string]Role{roleRoot: {Threshold: threshold}}
	}
	return p
}

// loadKeys reads the files of keys that may sign.
func loadKeys(cfg Config) (ring, error) {
	signers, err := loadSigners(cfg.AllowedSigners)
	if err != nil {
		return ring{}, err
	}
	var keys []pgpKey
	if cfg.OpenPGPKeys != "" {
		data, err := readTrustFile(cfg.OpenPGPKeys)
		if err == nil {
			keys, err = parseOpenPGPKeys(data)
		}
		if err != nil {
			return ring{}, untrusted(openPGPKeysFile, cfg.OpenPGPKeys, err)
		}
	}
	identities, err := loadSigstore(cfg.Sigstore)
	if err != nil {
		return ring{}, err
	}
	if len(signers)+len(keys)+len(identities.signers) == 0 {
		return ring{}, refusal(gitops.TrustMissing,
			"name a file with keys as trust.allowedSigners or trust.openpgpKeys, or somebody as trust.sigstore",
			"source %s has no key that may sign: trust mode %s needs one", cfg.Source, cfg.Mode)
	}
	return ring{ssh: newSSHKeys(cfg.AllowedSigners, signers), pgp: pgpKeys{path: cfg.OpenPGPKeys, keys: keys}, keyless: identities}, nil
}

func loadSigners(path string) ([]allowedSigner, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readTrustFile(path)
	if err != nil {
		return nil, untrusted(allowedSignersFile, path, err)
	}
	signers, err := parseAllowedSigners(data)
	if err != nil {
		return nil, untrusted(allowedSignersFile, path, err)
	}
	return signers, nil
}

// loadRoots reads who may change the trust file that does not exist yet.
func loadRoots(cfg Config) (ring, error) {
	signers, err := loadSigners(cfg.Roots)
	if err != nil {
		return ring{}, err
	}
	if err := countable(signers); err != nil && cfg.RootThreshold > 1 {
		return ring{}, untrusted(allowedSignersFile, cfg.Roots, err)
	}
	names := map[string]bool{}
	for _, s := range signers {
		names[s.principals] = true
	}
	if cfg.RootThreshold > len(names) {
		return ring{}, refusal(gitops.TrustMissing, "list more roots in trust.threshold.roots, or lower trust.threshold.count",
			"source %s needs %d roots to agree, and %s names %d", cfg.Source, cfg.RootThreshold, cfg.Roots, len(names))
	}
	return ring{ssh: newSSHKeys(cfg.Roots, signers)}, nil
}

// loadRevoked reads the file of revoked keys.
func loadRevoked(path string) (revokedKeys, error) {
	if path == "" {
		return revokedKeys{}, nil
	}
	data, err := readTrustFile(path)
	if err != nil {
		return revokedKeys{}, untrusted(revokedKeysFile, path, err)
	}
	r, err := parseRevoked(path, data)
	if err != nil {
		return revokedKeys{}, untrusted(revokedKeysFile, path, err)
	}
	return r, nil
}

func untrusted(what, path string, err error) error {
	remedy := "correct the file; the keys that were read before stay in use until then"
	if what == revokedKeysFile {
		remedy = "correct the file; no revision is let through until then"
	}
	return &gitops.Error{Reason: gitops.TrustMissing, Err: err,
		Message: fmt.Sprintf("read %s from %s: %v", what, path, err),
		Remedy:  remedy}
}

// readTrustFile reads a file that decides whom the node believes. One that
// everybody may write decides nothing.
func readTrustFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a pipe would block
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("everybody may write to it (mode %04o): chmod o-w", info.Mode().Perm())
	}
	if info.Size() > maxTrustFile {
		return nil, fmt.Errorf("it has %d bytes, more than %d", info.Size(), maxTrustFile)
	}
	return os.ReadFile(path)
}

// check verifies a signature, whatever its kind.
func (k ring) check(s signed, at moment, revoked revocations) (signer, error) {
	switch kind := armorKind(s.armor); {
	case s.armor == "":
		return signer{}, refusal(gitops.Unsigned, "sign it with an allowed key", "%s is not signed", s.what)
	case kind == armorSSH:
		return k.checkSSH(s, at, revoked)
	case kind == armorOpenPGP:
		return k.checkOpenPGP(s, at, revoked)
	case kind == armorX509:
		return k.checkSigstore(s, at, revoked)
	}
	return signer{}, refusal(gitops.UnsupportedSig, "sign with an SSH or OpenPGP key, or with gitsign",
		"%s has a signature of a kind that is not supported", s.what)
}
