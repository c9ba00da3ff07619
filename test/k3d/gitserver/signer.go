// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Signer is somebody with an SSH key.
type Signer struct {
	Principal string // as in allowed_signers, e.g. alice@example.com
	KeyFile   string // the private key; KeyFile.pub is the public one
	PublicKey string // "ssh-ed25519 AAAA…", without a comment
}

// NewSigner makes an ed25519 key in dir with ssh-keygen.
func NewSigner(ctx context.Context, dir, principal string) (*Signer, error) {
	keys, err := os.MkdirTemp(dir, "signer-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the key of %s: %w", principal, err)
	}
	s := &Signer{Principal: principal, KeyFile: filepath.Join(keys, "key")}
	if _, err := run(ctx, keys, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", s.KeyFile); err != nil {
		return nil, fmt.Errorf("make the key of %s: %w", principal, err)
	}
	public, err := os.ReadFile(s.KeyFile + ".pub")
	if err != nil {
		return nil, fmt.Errorf("read the public key of %s: %w", principal, err)
	}
	s.PublicKey = strings.TrimSpace(string(public))
	return s, nil
}

// AllowedSigners is the signer's line of an allowed_signers file, valid for git.
func (s *Signer) AllowedSigners() string {
	return fmt.Sprintf("%s namespaces=\"git\" %s\n", s.Principal, s.PublicKey)
}

// WriteAllowedSigners writes an allowed_signers file that names these signers
// and nobody else.
func WriteAllowedSigners(path string, signers ...*Signer) error {
	var lines strings.Builder
	for _, s := range signers {
		lines.WriteString(s.AllowedSigners())
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
		return fmt.Errorf("write the allowed signers: %w", err)
	}
	return nil
}
