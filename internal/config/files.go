// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// use is what a file is for, and so who may touch it.
type use int

const (
	public  use = iota // read by anybody, written by anybody's choice
	trusted            // decides whom to believe: written by its owner only
	secret             // a credential: read by its owner only
)

// namedFile is a file that a source's field names.
type namedFile struct {
	field, path string
	use         use
}

func (a Auth) files(field string) []namedFile {
	username := public
	if a.PasswordFile == "" {
		username = secret // a token is often the user name alone
	}
	return []namedFile{
		{field + ".usernameFile", a.UsernameFile, username},
		{field + ".passwordFile", a.PasswordFile, secret},
		{field + ".sshKeyFile", a.SSHKeyFile, secret},
		{field + ".knownHostsFile", a.KnownHostsFile, trusted},
		{field + ".caFile", a.CAFile, trusted},
		{field + ".clientCertFile", a.ClientCertFile, public},
		{field + ".clientKeyFile", a.ClientKeyFile, secret},
	}
}

func (s Source) files() []namedFile {
	files := s.Auth.files("auth")
	for j, m := range s.Mirrors {
		files = append(files, m.Auth.files(fmt.Sprintf("mirrors[%d].auth", j))...)
	}
	return append(files,
		namedFile{"trust.allowedSigners", s.Trust.AllowedSigners, trusted},
		namedFile{"trust.openpgpKeys", s.Trust.OpenPGPKeys, trusted},
		namedFile{"trust.revoked", s.Trust.Revoked, trusted},
		namedFile{"trust.sigstore.trustedRoot", s.Trust.Sigstore.TrustedRoot, trusted},
		namedFile{"trust.threshold.roots", s.Trust.Threshold.Roots, trusted},
	)
}

// AuthOf is what a mirror is shown: its own credentials, or the source's where
// it is on the same host. What says whom to believe is of the node, and goes for
// every place.
func (s Source) AuthOf(m Mirror) Auth {
	auth := m.Auth
	if auth == (Auth{}) && sameHost(s.URL, m.URL) {
		return s.Auth
	}
	if auth.CAFile == "" {
		auth.CAFile = s.Auth.CAFile
	}
	if auth.KnownHostsFile == "" {
		auth.KnownHostsFile = s.Auth.KnownHostsFile
	}
	return auth
}

func sameHost(a, b string) bool {
	u, err := url.Parse(a)
	if err != nil {
		return false
	}
	w, err := url.Parse(b)
	return err == nil && u.Scheme == w.Scheme && strings.EqualFold(u.Host, w.Host)
}

// auth checks that credentials are complete, and every file that the source names.
func (v *validator) auth(field string, s Source) {
	at := field[:len(field)-len("auth")]
	for _, f := range s.files() {
		if f.path != "" {
			v.file(at+f.field, f)
		}
	}
	v.pair(field, s.Auth)
	for j, m := range s.Mirrors {
		v.pair(fmt.Sprintf("%smirrors[%d].auth", at, j), m.Auth)
	}
}

func (v *validator) pair(field string, a Auth) {
	if (a.ClientCertFile == "") != (a.ClientKeyFile == "") {
		v.add(field, "has one of clientCertFile and clientKeyFile", "set both or none")
	}
}

func (v *validator) file(field string, f namedFile) {
	if !filepath.IsAbs(f.path) {
		v.add(field, fmt.Sprintf("%q is not an absolute path", f.path), "begin it with a slash")
		return
	}
	if message, remedy := unreadable(f.path); message != "" {
		v.add(field, f.path+" "+message, remedy)
		return
	}
	info, err := os.Stat(f.path)
	if err != nil {
		v.add(field, f.path+" cannot be looked at: "+cause(err), "check the file system")
		return
	}
	switch mode := info.Mode().Perm(); {
	case f.use == secret && mode&0o077 != 0:
		v.add(field, fmt.Sprintf("%s is open to others (mode %04o)", f.path, mode), "run chmod 600 "+f.path)
	case f.use == trusted && mode&0o022 != 0:
		v.add(field, fmt.Sprintf("%s can be written by others (mode %04o), who could then add their own keys", f.path, mode), "run chmod go-w "+f.path)
	}
}

// unreadable opens the file, as the agent will, and says why that fails.
func unreadable(path string) (message, remedy string) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return "is not a regular file", "name a file" // opening a pipe would block
	}
	if err == nil {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			f.Close()
			return "", ""
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist", "create it or correct the path"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read", "run the command as root, or give the file to the agent's user"
	}
	return "cannot be read: " + cause(err), "check the file system"
}

// trust checks the rules that a source is believed by.
func (v *validator) trust(field string, s Source) {
	t := s.Trust
	v.oneOf(field+".mode", t.Mode, TrustHistory, TrustHead, TrustTag, TrustNone)
	v.oneOf(field+".clock", t.Clock, ClockAny, ClockSynchronised)
	if t.Mode == TrustNone {
		if !s.Insecure {
			v.add(field+".mode", "none verifies nothing", "use history, or set insecure: true for the source")
		}
		return
	}
	switch {
	case t.Introduction == "":
		v.add(field+".introduction", "is missing", "write the id of the commit at which trust begins, or first-seen to pin the first verified head")
	case t.Introduction != FirstSeen && !gitops.Hash(t.Introduction).Valid():
		v.add(field+".introduction", fmt.Sprintf("%q is not a commit", t.Introduction), "write all 40 lower-case digits, as git rev-parse prints them, or first-seen")
	}
	if t.AllowedSigners == "" && t.OpenPGPKeys == "" && t.Sigstore.Subject == "" {
		v.add(field, "names no keys", "set trust.allowedSigners, trust.openpgpKeys or trust.sigstore")
	}
	v.sigstore(field+".sigstore", t.Sigstore)
	switch th := t.Threshold; {
	case th == Threshold{}:
	case th.Roots == "":
		v.add(field+".threshold.roots", "is missing", "name a file of allowed signers: the roots")
	case th.Count < 1:
		v.add(field+".threshold.count", fmt.Sprintf("%d roots would be enough", th.Count), "write how many of the roots must agree, 1 or more")
	}
	if t.Mode == TrustTag && s.Ref.Tag == "" && s.Ref.Semver == "" {
		v.add(field+".mode", "tag needs a tag to verify", "set ref.tag or ref.semver")
	}
}

// sigstore checks that an identity is whole. A trusted root may stand alone:
// then the identities are those of the repository's trust file.
func (v *validator) sigstore(field string, s Sigstore) {
	if (s.Issuer == "") != (s.Subject == "") {
		v.add(field, "has one of issuer and subject", "set both: an issuer vouches for many")
	}
	if s.Issuer+s.Subject != "" && s.TrustedRoot == "" {
		v.add(field+".trustedRoot", "is missing", "name Sigstore's trusted_root.json: what it says is checked without a network")
	}
}
