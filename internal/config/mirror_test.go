// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/config"
)

func TestMirrorsOfBundles(t *testing.T) {
	f := newFolder(t)
	c, err := config.Check(f.write("config.yaml", with("mirrors: [{url: 'https://cdn.example.com/fleet/list', type: bundles}, {url: 'https://b.example.com/fleet.git'}]"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Mirror{{URL: "https://cdn.example.com/fleet/list", Type: "bundles"}, {URL: "https://b.example.com/fleet.git", Type: "git"}}
	if got := c.Sources[0].Mirrors; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("mirrors %v", got)
	}
	if got := f.problems(f.write("plain.yaml", with("insecure: true", "mirrors: [{url: 'http://cdn.example.com/list', type: bundles}]"), 0o644)); got != nil {
		t.Errorf("problems with insecure: true: %q", got)
	}
}

// Credentials belong to one URL: a mirror elsewhere sees its own, or none.
func TestCredentialsOfMirrors(t *testing.T) {
	s := config.Source{URL: "https://git.example.com/fleet.git", Auth: config.Auth{
		UsernameFile: "/u", PasswordFile: "/p", SSHKeyFile: "/k", ClientCertFile: "/c", ClientKeyFile: "/ck", CAFile: "/ca", KnownHostsFile: "/kh"}}
	public := config.Auth{CAFile: "/ca", KnownHostsFile: "/kh"}
	for _, test := range []struct {
		url  string
		own  config.Auth
		want config.Auth
	}{
		{"https://git.example.com/copy.git", config.Auth{}, s.Auth},
		{"https://GIT.example.com/copy.git", config.Auth{}, s.Auth},
		{"https://cdn.example.com/list", config.Auth{}, public},
		{"http://git.example.com/fleet.git", config.Auth{}, public},
		{"https://git.example.com:8443/fleet.git", config.Auth{}, public},
		{"ssh://git.example.com/fleet.git", config.Auth{}, public},
		{"https://cdn.example.com/list", config.Auth{PasswordFile: "/q"}, config.Auth{PasswordFile: "/q", CAFile: "/ca", KnownHostsFile: "/kh"}},
		{"https://git.example.com/copy.git", config.Auth{PasswordFile: "/q", CAFile: "/qa"}, config.Auth{PasswordFile: "/q", CAFile: "/qa", KnownHostsFile: "/kh"}},
	} {
		if diff := cmp.Diff(test.want, s.AuthOf(config.Mirror{URL: test.url, Auth: test.own})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.url, diff)
		}
	}
}

func TestFilesOfMirrorsAreCheckedAndWatched(t *testing.T) {
	f := newFolder(t)
	f.write("open", "x", 0o644)
	path := f.write("config.yaml", with("mirrors: [{url: 'https://cdn.example.com/list', type: bundles, auth: {passwordFile: DIR/open, clientKeyFile: DIR/key}}, {url: 'ssh://git@h/a', auth: {knownHostsFile: DIR/known_hosts}}]"), 0o644)
	want := []string{
		"config.yaml:8: sources[0].mirrors[0].auth: has one of clientCertFile and clientKeyFile; set both or none",
		"config.yaml:8: sources[0].mirrors[0].auth.passwordFile: open is open to others (mode 0644); run chmod 600 open",
		"config.yaml:8: sources[0].mirrors[1].url: ssh needs a key; set auth.sshKeyFile",
	}
	if diff := cmp.Diff(want, f.problems(path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(c.Files(), func(file string) bool { return strings.HasSuffix(file, "/open") }) {
		t.Errorf("the mirror's credentials are not watched: %q", c.Files())
	}
}
