// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxFile bounds what is read from a file that the configuration names.
const maxFile = 1 << 20

// readFile reads a file that the configuration names, e.g. a CA bundle.
func readFile(what, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(what, err)
	}
	defer func() { _ = f.Close() }()
	return readOpen(what, f)
}

// readSecret reads a file that nobody but its owner may read: a secret that
// others can read is not one any more, and using it would hide that.
func readSecret(what, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(what, err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(what, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, failed(gitops.Auth, "run chmod 600 "+path,
			"read %s %s: its mode %#o lets other users at it", what, path, mode)
	}
	return readOpen(what, f)
}

func unreadable(what string, err error) error {
	return failed(gitops.Auth, "check the path in the configuration and who may read it", "read %s: %v", what, err)
}

func readOpen(what string, f *os.File) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(what, err)
	}
	if len(b) > maxFile {
		return nil, unreadable(what, fmt.Errorf("%s is larger than %d bytes", f.Name(), maxFile))
	}
	return b, nil
}

// login is what goes into an Authorization header.
type login struct{ username, password string }

// login reads the credentials for HTTP. A token is often the username alone:
// then that file is the secret.
func (a Auth) login() (login, error) {
	var l login
	if a.UsernameFile != "" {
		read := readFile
		if a.PasswordFile == "" {
			read = readSecret
		}
		b, err := read("usernameFile", a.UsernameFile)
		if err != nil {
			return l, err
		}
		l.username = strings.TrimSpace(string(b))
	}
	if a.PasswordFile != "" {
		b, err := readSecret("passwordFile", a.PasswordFile)
		if err != nil {
			return l, err
		}
		l.password = strings.TrimSpace(string(b))
	}
	return l, nil
}
