// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

// repo is a repository made by Git itself, and the directory it is published to.
type repo struct {
	t    testing.TB
	work string
	dir  string
	now  time.Time
}

func newRepo(t testing.TB, options ...string) *repo {
	t.Helper()
	r := &repo{t: t, work: filepath.Join(t.TempDir(), "work"), dir: filepath.Join(t.TempDir(), "static"), now: time.Unix(1_700_000_000, 0)}
	git(t, "", append([]string{"init", "-q", "-b", "main", r.work}, options...)...)
	return r
}

func gitEnv() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
}

func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func tryGit(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, gitEnv()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", &gitops.Error{Message: err.Error() + ": " + errs.String()}
	}
	return strings.TrimSpace(string(out)), nil
}

func (r *repo) git(args ...string) string { r.t.Helper(); return git(r.t, r.work, args...) }

func (r *repo) write(name, content string) {
	r.t.Helper()
	path := filepath.Join(r.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// commit writes one file and commits everything.
func (r *repo) commit(name, content string) gitops.Hash {
	r.t.Helper()
	r.write(name, content)
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", name)
	return gitops.Hash(r.git("rev-parse", "HEAD"))
}

func (r *repo) options(refs ...string) bundle.PublishOptions {
	return bundle.PublishOptions{Repo: r.work, Dir: r.dir, Refs: refs, Now: func() time.Time { return r.now }}
}

// publish publishes, and holds the directory to what Git says of it.
func (r *repo) publish(refs ...string) bundle.Published {
	r.t.Helper()
	done, err := bundle.Publish(r.t.Context(), r.options(refs...))
	if err != nil {
		r.t.Fatal(err)
	}
	r.check()
	return done
}

func readList(t testing.TB, dir string) bundle.List {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "list"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := bundle.ParseList(f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func readHeader(t testing.TB, name string) bundle.Header {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := bundle.ReadHeader(bufio.NewReader(f), 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// check takes the bundles into an empty repository, the oldest first, and looks
// whether everything is there that the youngest names.
func (r *repo) check() map[string]gitops.Hash {
	r.t.Helper()
	return checkDir(r.t, r.dir)
}

func checkDir(t testing.TB, dir string) map[string]gitops.Hash {
	t.Helper()
	bare := filepath.Join(t.TempDir(), "r.git")
	git(t, "", "init", "-q", "--bare", "-b", "main", bare)
	entries := readList(t, dir).Newest()
	slices.Reverse(entries)
	refs := map[string]gitops.Hash{}
	for _, e := range entries {
		name := filepath.Join(dir, e.URI)
		git(t, bare, "bundle", "verify", name)
		git(t, bare, "bundle", "unbundle", name)
		clear(refs)
		for _, ref := range readHeader(t, name).Refs {
			refs[ref.Name] = ref.ID
			if strings.HasPrefix(ref.Name, "refs/heads/") { // what Git does with a list
				git(t, bare, "update-ref", strings.Replace(ref.Name, "refs/heads/", "refs/bundles/", 1), string(ref.ID))
			}
		}
	}
	for name, id := range refs {
		git(t, bare, "update-ref", name, string(id))
	}
	git(t, bare, "fsck", "--strict", "--no-dangling")
	return refs
}

func wantReason(t testing.TB, err error, want gitops.Reason) {
	t.Helper()
	if got := gitops.ReasonOf(err); got != want {
		t.Fatalf("reason %q, want %q: %v", got, want, err)
	}
	if !strings.Contains(err.Error(), "; ") {
		t.Errorf("no remedy in %q", err)
	}
}
