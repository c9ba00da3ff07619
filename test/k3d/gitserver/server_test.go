// SPDX-License-Identifier: Apache-2.0

package gitserver_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
)

func TestRepositoryCanBeClonedAndFetched(t *testing.T) {
	server, repo := serve(t, gitserver.Config{})
	first := commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, "clone", "--quiet", server.URL(repo), clone)
	if got := git(t, "-C", clone, "rev-parse", "HEAD"); got != first {
		t.Fatalf("the clone is at %s, want %s", got, first)
	}
	second := commit(t, repo, "file", "2", nil)
	must(t, repo.Push(t.Context(), false))
	git(t, "-C", clone, "fetch", "--quiet")
	if got := git(t, "-C", clone, "rev-parse", "origin/main"); got != second {
		t.Errorf("the clone fetched %s, want %s", got, second)
	}
}

// The server must speak version 2 and filter, as forges do: parts of the
// product depend on both.
func TestServerSpeaksProtocolTwoWithFilter(t *testing.T) {
	server, repo := serve(t, gitserver.Config{})
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(repo)+"/info/refs?service=git-upload-pack", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Git-Protocol", "version=2")
	_, body := do(t, http.DefaultClient, request)
	for _, want := range []string{"version 2", "ls-refs", "filter"} {
		if !strings.Contains(body, want) {
			t.Errorf("the advertisement does not say %q:\n%q", want, body)
		}
	}
	if log := server.Requests(); len(log) != 1 || log[0].Protocol != "version=2" || log[0].Method != http.MethodGet {
		t.Errorf("the log is %+v, want this one request", log)
	}
}

func TestStoppedServerComesBackAtItsAddress(t *testing.T) {
	server, repo := serve(t, gitserver.Config{})
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	url := server.URL(repo)
	git(t, "ls-remote", url)
	server.Stop()
	server.Stop()
	if out, err := tryGit("ls-remote", url); err == nil {
		t.Fatalf("a stopped server answered:\n%s", out)
	}
	must(t, server.Start())
	if err := server.Start(); err == nil {
		t.Error("a running server was started a second time")
	}
	git(t, "ls-remote", url)
}

func TestModesAnswerEveryRequest(t *testing.T) {
	server, repo := serve(t, gitserver.Config{})
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	url := server.URL(repo) + "/info/refs?service=git-upload-pack"
	tests := []struct {
		mode   gitserver.Mode
		status int
		kind   string
	}{
		{gitserver.Unauthorized, 401, "text/plain"},
		{gitserver.Forbidden, 403, "text/plain"},
		{gitserver.NotFound, 404, "text/plain"},
		{gitserver.ServerError, 500, "text/plain"},
		{gitserver.HTML, 200, "text/html"},
		{gitserver.Serving, 200, "application/x-git-upload-pack-advertisement"},
	}
	for _, test := range tests {
		server.SetMode(test.mode)
		server.Forget()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, _ := do(t, http.DefaultClient, request)
		if kind := response.Header.Get("Content-Type"); response.StatusCode != test.status || !strings.HasPrefix(kind, test.kind) {
			t.Errorf("mode %q answers %d %s, want %d %s", test.mode, response.StatusCode, kind, test.status, test.kind)
		}
	}
}

func TestBasicAuthentication(t *testing.T) {
	server, repo := serve(t, gitserver.Config{Username: "node", Password: "secret"})
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	for password, want := range map[string]int{"": 401, "wrong": 401, "secret": 200} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(repo)+"/info/refs?service=git-upload-pack", nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			request.SetBasicAuth("node", password)
		}
		response, _ := do(t, http.DefaultClient, request)
		if response.StatusCode != want {
			t.Errorf("password %q: %d, want %d", password, response.StatusCode, want)
		}
	}
	server.SetCredentials("", "")
	git(t, "ls-remote", server.URL(repo))
}

func TestTLSNeedsTheServersAuthority(t *testing.T) {
	server, repo := serve(t, gitserver.Config{TLS: true})
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	if out, err := tryGit("ls-remote", server.URL(repo)); err == nil {
		t.Errorf("a client without the authority got an answer:\n%s", out)
	}
	git(t, "-c", "http.sslCAInfo="+server.CAFile(), "ls-remote", server.URL(repo))
}

func TestTrafficCountsWhatIsOnTheWire(t *testing.T) {
	server, repo := serve(t, gitserver.Config{})
	payload := make([]byte, 100_000)
	for i := range payload {
		payload[i] = byte(i * i >> 3 * 7)
	}
	commit(t, repo, "file", string(payload), nil)
	must(t, repo.Push(t.Context(), false))
	git(t, "ls-remote", server.URL(repo))
	poll := server.Traffic()
	requests := server.Requests()
	var bodies int64
	for _, r := range requests {
		bodies += r.BytesOut
	}
	if poll.Requests != len(requests) || poll.Requests == 0 {
		t.Errorf("%d requests are counted and %d logged", poll.Requests, len(requests))
	}
	if poll.BytesOut <= bodies || poll.BytesIn == 0 {
		t.Errorf("on the wire %+v, which is not more than the bodies' %d bytes", poll, bodies)
	}
	server.Forget()
	if got := server.Traffic(); got != (gitserver.Traffic{}) || len(server.Requests()) != 0 {
		t.Errorf("after Forget: %+v", got)
	}
}

// A large request is sent in chunks by git, which CGI cannot pass on.
func TestRequestsInChunksAreServed(t *testing.T) {
	server, repo := serve(t, gitserver.Config{})
	commit(t, repo, "file", "1", nil)
	must(t, repo.Push(t.Context(), false))
	// io.MultiReader hides the length, so that net/http sends chunks.
	body := io.MultiReader(strings.NewReader("0014command=ls-refs\n0000"))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL(repo)+"/git-upload-pack", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Git-Protocol", "version=2")
	request.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	response, answer := do(t, http.DefaultClient, request)
	if response.StatusCode != http.StatusOK || !strings.Contains(answer, "refs/heads/main") {
		t.Errorf("ls-refs in chunks: %d %q", response.StatusCode, answer)
	}
}

func serve(t *testing.T, config gitserver.Config) (*gitserver.Server, *gitserver.Repo) {
	t.Helper()
	config.Root = t.TempDir()
	server, err := gitserver.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server, newRepo(t, config.Root)
}

func do(t *testing.T, client *http.Client, request *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryGit(args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

func tryGit(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	// Nothing of the machine's: GIT_SSL_CAINFO, for one, wins over -c.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
