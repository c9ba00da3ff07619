// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Amend has the commit or the tag that a ref names signed, and the ref name what
// that makes. It must not be signed yet. Git runs in the repository.
func (i *Instance) Amend(s Signing, ref string, git func(args ...string) (string, error)) error {
	kind, err := git("cat-file", "-t", ref)
	if err != nil {
		return err
	}
	kind = strings.TrimSpace(kind)
	raw, err := git("cat-file", kind, ref)
	if err != nil {
		return err
	}
	raw = strings.TrimRight(raw, "\n") + "\n"
	armored := i.Armored(s, []byte(raw))
	switch kind {
	case "commit":
		header, message, _ := strings.Cut(raw, "\n\n")
		raw = header + "\ngpgsig " + strings.ReplaceAll(strings.TrimSuffix(armored, "\n"), "\n", "\n ") + "\n\n" + message
	case "tag":
		raw += armored
	default:
		return fmt.Errorf("%s is a %s, which nobody signs", ref, kind)
	}
	dir, err := os.MkdirTemp("", "gitsign-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary file may stay
	file := filepath.Join(dir, "object")
	if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
		return err
	}
	id, err := git("hash-object", "-t", kind, "-w", file)
	if err != nil {
		return err
	}
	_, err = git("update-ref", ref, strings.TrimSpace(id))
	return err
}
