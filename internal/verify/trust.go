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
	ssh     sshKeys
	pgp     pgpKeys
	revoked revokedKeys
	broken  error // why the revoked keys are not known; nothing is let through
}

// loadKeys reads the files of keys that may sign.
func loadKeys(cfg Config) (sshKeys, pgpKeys, error) {
	var signers []allowedSigner
	var keys []pgpKey
	if cfg.AllowedSigners != "" {
		data, err := readTrustFile(cfg.AllowedSigners)
		if err == nil {
			signers, err = parseAllowedSigners(data)
		}
		if err != nil {
			return sshKeys{}, pgpKeys{}, untrusted(allowedSignersFile, cfg.AllowedSigners, err)
		}
	}
	if cfg.OpenPGPKeys != "" {
		data, err := readTrustFile(cfg.OpenPGPKeys)
		if err == nil {
			keys, err = parseOpenPGPKeys(data)
		}
		if err != nil {
			return sshKeys{}, pgpKeys{}, untrusted(openPGPKeysFile, cfg.OpenPGPKeys, err)
		}
	}
	if len(signers)+len(keys) == 0 {
		return sshKeys{}, pgpKeys{}, refusal(gitops.TrustMissing,
			"name a file with keys as trust.allowedSigners or trust.openpgpKeys",
			"source %s has no key that may sign: trust mode %s needs one", cfg.Source, cfg.Mode)
	}
	return newSSHKeys(cfg.AllowedSigners, signers), pgpKeys{path: cfg.OpenPGPKeys, keys: keys}, nil
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
func (k *trust) check(s signed, at moment) (signer, error) {
	switch kind := armorKind(s.armor); {
	case s.armor == "":
		return signer{}, refusal(gitops.Unsigned, "sign it with an allowed key", "%s is not signed", s.what)
	case kind == armorSSH:
		return k.checkSSH(s, at)
	case kind == armorOpenPGP:
		return k.checkOpenPGP(s, at)
	case kind == armorX509:
		return signer{}, refusal(gitops.UnsupportedSig, "sign with an SSH key (git config gpg.format ssh) or an OpenPGP key",
			"%s has an X.509 or gitsign signature, which is not supported", s.what)
	}
	return signer{}, refusal(gitops.UnsupportedSig, "sign with an SSH or OpenPGP key",
		"%s has a signature of a kind that is not supported", s.what)
}
