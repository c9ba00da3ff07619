// SPDX-License-Identifier: Apache-2.0

package gitserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
)

func TestCommitsAreSignedForTheRealGit(t *testing.T) {
	dir := t.TempDir()
	repo := newRepo(t, dir)
	alice, mallory := newSigner(t, dir, "alice@example.com"), newSigner(t, dir, "mallory@example.com")
	allowed := filepath.Join(dir, "allowed_signers")
	if err := gitserver.WriteAllowedSigners(allowed, alice); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		signer *gitserver.Signer
		good   bool
	}{{"signed", alice, true}, {"unsigned", nil, false}, {"unknown signer", mallory, false}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id := commit(t, repo, "file", test.name, test.signer)
			_, err := repo.Git(t.Context(), "-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-commit", id)
			if (err == nil) != test.good {
				t.Errorf("verify-commit: %v, want good=%v", err, test.good)
			}
			if err := repo.Tag(t.Context(), "v1", test.signer); err != nil {
				t.Fatal(err)
			}
			_, err = repo.Git(t.Context(), "-c", "gpg.ssh.allowedSignersFile="+allowed, "verify-tag", "v1")
			if (err == nil) != test.good {
				t.Errorf("verify-tag: %v, want good=%v", err, test.good)
			}
			if kind, err := repo.Git(t.Context(), "cat-file", "-t", "v1"); err != nil || kind != "tag" {
				t.Errorf("v1 is a %q (%v), want an annotated tag", kind, err)
			}
		})
	}
}

func TestMergeHasTwoParentsAndItsOwnSignature(t *testing.T) {
	dir := t.TempDir()
	repo := newRepo(t, dir)
	alice := newSigner(t, dir, "alice@example.com")
	base := commit(t, repo, "base", "1", alice)
	must(t, repo.Branch(t.Context(), "side"))
	side := commit(t, repo, "side", "1", nil)
	must(t, repo.Checkout(t.Context(), "main"))
	merge, err := repo.Merge(t.Context(), "side", alice)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := repo.Git(t.Context(), "cat-file", "commit", merge)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"parent " + base, "parent " + side, "gpgsig -----BEGIN SSH SIGNATURE-----"} {
		if !strings.Contains(raw, want) {
			t.Errorf("the merge has no %q:\n%s", want, raw)
		}
	}
}

func TestPushNeedsForceToGoBack(t *testing.T) {
	repo := newRepo(t, t.TempDir())
	first := commit(t, repo, "file", "1", nil)
	second := commit(t, repo, "file", "2", nil)
	must(t, repo.Push(t.Context(), false))
	if got := bareHead(t, repo); got != second {
		t.Fatalf("main is %s after the push, want %s", got, second)
	}
	must(t, repo.Reset(t.Context(), first))
	if err := repo.Push(t.Context(), false); err == nil {
		t.Error("a push that goes back succeeded without force")
	}
	must(t, repo.Push(t.Context(), true))
	if got := bareHead(t, repo); got != first {
		t.Errorf("main is %s after the forced push, want %s", got, first)
	}
}

func TestRemovedFilesLeaveTheTree(t *testing.T) {
	repo := newRepo(t, t.TempDir())
	commit(t, repo, "apps/web/web.yaml", "1", nil)
	commit(t, repo, "keep", "1", nil)
	must(t, repo.Remove("apps"))
	if err := repo.Remove("apps"); err == nil {
		t.Error("a path that is not there was removed")
	}
	if _, err := repo.Commit(t.Context(), "remove", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := repo.Git(t.Context(), "ls-tree", "-r", "--name-only", "HEAD"); err != nil || got != "keep" {
		t.Errorf("the tree holds %q (%v), want keep", got, err)
	}
}

// A developer's own settings must neither sign nor break a test's commits.
func TestUserConfigurationIsNotRead(t *testing.T) {
	home := t.TempDir()
	settings := "[user]\n\tname = Somebody Else\n[commit]\n\tgpgSign = true\n[i18n]\n\tcommitEncoding = ISO-8859-1\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, ".gitconfig"))
	t.Setenv("GIT_AUTHOR_NAME", "Somebody Else")
	repo := newRepo(t, t.TempDir())
	id := commit(t, repo, "file", "1", nil)
	raw, err := repo.Git(t.Context(), "cat-file", "commit", id)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(raw, "Somebody Else") || strings.Contains(raw, "gpgsig") || strings.Contains(raw, "encoding") || !strings.Contains(raw, "author Test Author <author@example.com>") {
		t.Errorf("the commit shows the user's configuration:\n%s", raw)
	}
}

func newRepo(t *testing.T, dir string) *gitserver.Repo {
	t.Helper()
	repo, err := gitserver.NewRepo(t.Context(), dir, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func newSigner(t *testing.T, dir, principal string) *gitserver.Signer {
	t.Helper()
	signer, err := gitserver.NewSigner(t.Context(), dir, principal)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func commit(t *testing.T, repo *gitserver.Repo, path, content string, signer *gitserver.Signer) string {
	t.Helper()
	must(t, repo.Write(path, content))
	id, err := repo.Commit(t.Context(), "change "+path, signer)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func bareHead(t *testing.T, repo *gitserver.Repo) string {
	t.Helper()
	head, err := repo.Git(t.Context(), "--git-dir="+repo.Bare, "rev-parse", "refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
