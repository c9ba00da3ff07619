// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

// sent is what the server says of its pack.
var sent = regexp.MustCompile(`remote: Total ([0-9]+)`)

// serve is the repository over smart HTTP, and the directory as static files.
func (r *repo) serve() (smart, static string) {
	srv := httptest.NewServer(&cgi.Handler{
		Path:   "/usr/lib/git-core/git-http-backend",
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.work), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: io.Discard, Logger: log.New(io.Discard, "", 0),
	})
	files := httptest.NewServer(http.FileServer(http.Dir(r.dir)))
	r.t.Cleanup(func() { srv.Close(); files.Close() })
	return srv.URL + "/work/.git", files.URL
}

// clone clones with plain Git, and returns how many objects the server sent, and
// up to where the bundles came.
func clone(t *testing.T, from, list string) (objects, bundled string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	cmd := exec.Command("git", "clone", "--progress", "--bundle-uri="+list, from, dir)
	cmd.Env = gitEnv()
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning") || strings.Contains(string(out), "error") {
		t.Fatalf("git clone: %v: %s", err, out)
	}
	match := sent.FindStringSubmatch(string(out))
	if match == nil {
		t.Fatalf("git clone does not say what it received: %s", out)
	}
	git(t, dir, "fsck", "--strict")
	return match[1], git(t, dir, "rev-parse", "refs/bundles/main")
}

// Plain Git takes the bundle from a static host, and from the repository's
// server only what came after it.
func TestGitClonesFromAFullBundle(t *testing.T) {
	r := newRepo(t)
	smart, static := r.serve()
	published := r.commit("dir/file", strings.Repeat("content\n", 30))
	o := r.options()
	o.BaseURL = static // Git before 2.40 knows no other
	if _, err := bundle.Publish(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r.commit("late", "not published\n")
	objects, bundled := clone(t, smart, static+"/list")
	if objects != "3" || bundled != string(published) { // the commit, its tree, the file
		t.Errorf("%s objects came from the server, bundles up to %s, want 3 and %s", objects, bundled, published)
	}
}

// With a chain Git does what it does with a chain of its own making: some
// versions use the bundles and still ask the server for everything.
func TestGitClonesFromAChain(t *testing.T) {
	r := newRepo(t)
	smart, static := r.serve()
	var own strings.Builder
	own.WriteString("[bundle]\nversion = 1\nmode = all\nheuristic = creationToken\n")
	var published string
	for i := range 12 {
		published = string(r.commit(fmt.Sprintf("dir/file-%d", i), strings.Repeat(fmt.Sprintf("content %d\n", i), 30)))
		o := r.options()
		o.BaseURL = static
		if _, err := bundle.Publish(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(time.Minute)
		since := "main"
		if i > 0 {
			since = "main~1..main"
		}
		name := fmt.Sprintf("own-%d.bundle", i)
		r.git("bundle", "create", "-q", filepath.Join(r.dir, name), since)
		fmt.Fprintf(&own, "[bundle \"%d\"]\nuri = %s/%s\ncreationToken = %d\n", i, static, name, i+1)
	}
	if n := len(readList(t, r.dir).Bundles); n < 3 {
		t.Fatalf("only %d bundles in the list", n)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "own"), []byte(own.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	r.commit("late", "not published\n")
	objects, bundled := clone(t, smart, static+"/list")
	want, wantBundled := clone(t, smart, static+"/own")
	if objects != want || bundled != wantBundled || bundled != published {
		t.Errorf("%s objects came from the server, bundles up to %s; with Git's own bundles %s, %s", objects, bundled, want, wantBundled)
	}
}
