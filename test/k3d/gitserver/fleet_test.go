// SPDX-License-Identifier: Apache-2.0

package gitserver_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
)

func TestFleetIsSignedForTheRealGit(t *testing.T) {
	dir := t.TempDir()
	alice, mallory := newSigner(t, dir, "alice@example.com"), newSigner(t, dir, "mallory@example.com")
	fleet := gitserver.Fleet{Folders: 20, Commits: 30, Bytes: 500_000}
	repo, err := fleet.Make(t.Context(), dir, "fleet", alice)
	must(t, err)
	git := func(args ...string) (string, error) {
		return repo.Git(t.Context(), append([]string{"-C", repo.Bare}, args...)...)
	}
	for file, good := range map[*gitserver.Signer]bool{alice: true, mallory: false} {
		allowed := filepath.Join(dir, "allowed_"+file.Principal)
		must(t, gitserver.WriteAllowedSigners(allowed, file))
		for _, commit := range []string{"main", "main~7", "main~29"} {
			_, err := git("-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", commit)
			if (err == nil) != good {
				t.Errorf("verify-commit %s for %s: %v, want good=%t", commit, file.Principal, err, good)
			}
		}
	}
	if _, err := git("fsck", "--strict", "--full"); err != nil {
		t.Error(err)
	}
	if got, err := git("rev-list", "--count", "main"); err != nil || got != "30" {
		t.Errorf("%q commits, %v", got, err)
	}
	folders, err := git("ls-tree", "--name-only", "main:nodes")
	if err != nil || len(strings.Fields(folders)) != 20 {
		t.Errorf("folders %q, %v", folders, err)
	}
	changed, err := git("diff", "--name-only", "main~5", "main~4")
	if err != nil || len(strings.Fields(changed)) != 1 || !strings.HasPrefix(changed, "nodes/node-") {
		t.Errorf("a commit changes %q, %v", changed, err)
	}
	// The files are what takes the space: they do not compress.
	packs, err := filepath.Glob(filepath.Join(repo.Bare, "objects", "pack", "*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	if info, err := os.Stat(packs[0]); err != nil || info.Size() < 350_000 || info.Size() > 700_000 {
		t.Errorf("the pack: %v, %v", info, err)
	}
}

func TestPackingIsAsAsked(t *testing.T) {
	dir := t.TempDir()
	repo := newRepo(t, dir)
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	for _, packing := range []gitserver.Packing{{}, {Bitmaps: true}, {Bitmaps: true, CommitGraph: true}} {
		must(t, repo.Repack(t.Context(), packing))
		for pattern, want := range map[string]bool{"pack/*.bitmap": packing.Bitmaps, "info/commit-graph": packing.CommitGraph} {
			found, err := filepath.Glob(filepath.Join(repo.Bare, "objects", pattern))
			if err != nil || (len(found) > 0) != want {
				t.Errorf("%+v: %s is %v, %v", packing, pattern, found, err)
			}
		}
	}
}

func TestServerCanBeOld(t *testing.T) {
	dir := t.TempDir()
	repo := newRepo(t, dir)
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	for _, old := range []bool{false, true} {
		server, err := gitserver.Start(t.Context(), gitserver.Config{Root: dir, Protocol0: old})
		must(t, err)
		defer server.Stop()
		if said := advertised(t, server.URL(repo)); strings.Contains(said, "version 2") == old {
			t.Errorf("old %t: it says %q", old, said)
		}
	}
	server, err := gitserver.Start(t.Context(), gitserver.Config{Root: dir})
	must(t, err)
	defer server.Stop()
	for _, allow := range []bool{true, false} {
		must(t, repo.AllowFilter(t.Context(), allow))
		if said := advertised(t, server.URL(repo)); strings.Contains(said, "filter") != allow {
			t.Errorf("filter %t: it says %q", allow, said)
		}
	}
}

// advertised is what a server says of itself to who asks for protocol v2.
func advertised(t *testing.T, url string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "-c", "protocol.version=2", "ls-remote", url)
	cmd.Env = append(os.Environ(), "GIT_TRACE_PACKET=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	return string(out)
}

func TestSSHServesTheRealGit(t *testing.T) {
	dir := t.TempDir()
	repo := newRepo(t, dir)
	id := commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	for _, protocol2 := range []bool{true, false} {
		server, err := gitserver.StartSSH(t.Context(), gitserver.SSHConfig{Dir: t.TempDir(), Protocol2: protocol2})
		must(t, err)
		defer server.Stop()
		cmd := exec.CommandContext(t.Context(), "git", "-c", "protocol.version=2", "ls-remote", server.URL(repo), "refs/heads/main")
		cmd.Env = append(os.Environ(), "GIT_TRACE_PACKET=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_SSH_COMMAND=ssh -F none -o IdentitiesOnly=yes -o UserKnownHostsFile="+server.KnownHosts+" -i "+server.KeyFile)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), id) {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := strings.Contains(string(out), "version 2"); got != protocol2 {
			t.Errorf("protocol v2: %t, want %t", got, protocol2)
		}
	}
}
