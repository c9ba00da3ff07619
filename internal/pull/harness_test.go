// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// repo is a repository made by Git itself, with a bare one that is served.
type repo struct {
	t    testing.TB
	work string
	root string // what the server serves
	bare string // root/r.git
}

func newRepo(t testing.TB) *repo {
	t.Helper()
	dir := t.TempDir()
	r := &repo{t: t, work: filepath.Join(dir, "work"), root: filepath.Join(dir, "srv")}
	r.bare = filepath.Join(r.root, "r.git")
	for _, d := range []string{r.work, r.bare} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.git(r.bare, "init", "-q", "--bare", "-b", "main")
	r.git(r.work, "init", "-q", "-b", "main")
	r.git(r.work, "remote", "add", "o", r.bare)
	return r
}

func gitEnv() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
}

func (r *repo) git(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, gitEnv()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

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

// commit commits everything and pushes the branch.
func (r *repo) commit(message string) gitops.Hash {
	r.t.Helper()
	r.git(r.work, "add", "-A")
	r.git(r.work, "commit", "-q", "--allow-empty", "-m", message)
	r.git(r.work, "push", "-q", "-f", "o", "HEAD")
	return gitops.Hash(r.git(r.work, "rev-parse", "HEAD"))
}

// small is a repository with a few files and n commits.
func small(t testing.TB, n int) (*repo, gitops.Hash) {
	t.Helper()
	r := newRepo(t)
	r.write("app/deploy.yaml", strings.Repeat("a: b\n", 100))
	var head gitops.Hash
	for i := range n {
		r.write("app/version.yaml", fmt.Sprintf("version: %d\n", i))
		head = r.commit(fmt.Sprintf("commit %d", i))
	}
	return r, head
}

// backend is Git's own smart HTTP server.
func (r *repo) backend() http.Handler {
	return &cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend",
		Env: []string{"GIT_PROJECT_ROOT=" + r.root, "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: io.Discard,
		Logger: log.New(io.Discard, "", 0),
	}
}

func (r *repo) serve() *httptest.Server {
	srv := httptest.NewServer(r.backend())
	r.t.Cleanup(srv.Close)
	return srv
}

func openStore(t testing.TB, opts objects.Options) *objects.Store {
	t.Helper()
	return openStoreAt(t, filepath.Join(t.TempDir(), "objects.db"), opts)
}

func openStoreAt(t testing.TB, path string, opts objects.Options) *objects.Store {
	t.Helper()
	s, err := objects.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// config is a link to main of the repository at url.
func config(url string) pull.Config {
	return pull.Config{
		Source: "fleet", URL: url + "/r.git", Insecure: true,
		Ref: pull.Ref{Branch: "main"}, Interval: time.Minute, Timeout: 30 * time.Second,
	}
}

func newSource(t testing.TB, cfg pull.Config, store *objects.Store) *pull.Source {
	t.Helper()
	s, err := pull.New(cfg, store)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustPoll polls and fails the test when that fails.
func mustPoll(t testing.TB, s *pull.Source, known ...gitops.Hash) gitops.Commit {
	t.Helper()
	c, err := s.Commits(t.Context(), gitops.PollRequest{Known: known})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantReason checks an error's reason, and that a person is told what to do.
func wantReason(t testing.TB, err error, want gitops.Reason) {
	t.Helper()
	if got := gitops.ReasonOf(err); got != want {
		t.Fatalf("reason %q, want %q: %v", got, want, err)
	}
	if !strings.Contains(err.Error(), "; ") {
		t.Errorf("no remedy in %q", err)
	}
}

// readsBack compares every object that a revision reaches with what Git says.
func readsBack(t testing.TB, r *repo, store *objects.Store, head gitops.Hash) {
	t.Helper()
	list := strings.Fields(r.git(r.bare, "rev-list", "--objects", "--no-object-names", string(head)))
	for _, id := range list {
		kind, content, err := store.Object(t.Context(), gitops.Hash(id))
		if err != nil {
			t.Fatal(err)
		}
		if want := r.git(r.bare, "cat-file", "-t", id); string(kind) != want {
			t.Fatalf("%s is a %s, want %s", id, kind, want)
		}
		if want := r.git(r.bare, "cat-file", "-s", id); fmt.Sprint(len(content)) != want {
			t.Fatalf("%s has %d bytes, want %s", id, len(content), want)
		}
	}
}
