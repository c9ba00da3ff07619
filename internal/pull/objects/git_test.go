// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// gitRepo is a repository made with Git itself.
type gitRepo struct {
	t   testing.TB
	dir string
}

func newGitRepo(t testing.TB) *gitRepo {
	t.Helper()
	r := &gitRepo{t, t.TempDir()}
	r.git("", "init", "-q", "-b", "main")
	return r
}

func (r *gitRepo) git(stdin string, args ...string) string {
	r.t.Helper()
	return strings.TrimSpace(string(r.raw(stdin, args...)))
}

func (r *gitRepo) raw(stdin string, args ...string) []byte {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "gc.auto=0"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+r.dir,
		"GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

func (r *gitRepo) write(name, content string) {
	r.t.Helper()
	file := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *gitRepo) commit(message string) gitops.Hash {
	r.t.Helper()
	r.git("", "add", "-A")
	r.git("", "commit", "-q", "-m", message)
	return gitops.Hash(r.git("", "rev-parse", "HEAD"))
}

// pack is what Git would send: revs are as rev-list --stdin reads them.
func (r *gitRepo) pack(revs string, args ...string) []byte {
	r.t.Helper()
	return r.raw(revs+"\n", append([]string{"pack-objects", "--stdout", "--revs", "-q", "--delta-base-offset"}, args...)...)
}

func (r *gitRepo) ids(args ...string) []gitops.Hash {
	r.t.Helper()
	var out []gitops.Hash
	for _, line := range strings.Fields(r.git("", append([]string{"rev-list", "--objects", "--no-object-names"}, args...)...)) {
		out = append(out, gitops.Hash(line))
	}
	return out
}

// pick is a pack of just some objects, as an answer to wants without haves.
func (r *gitRepo) pick(lost []gitops.MissingObject) []byte {
	r.t.Helper()
	var stdin strings.Builder
	for _, m := range lost {
		stdin.WriteString(string(m.ID) + "\n")
	}
	return r.raw(stdin.String(), "pack-objects", "--stdout", "-q", "--delta-base-offset")
}

func arriveBytes(t testing.TB, s *objects.Store, b []byte) objects.Received {
	t.Helper()
	got, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(b)})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
