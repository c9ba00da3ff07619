// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestPollSaysWhatTheRefNames(t *testing.T) {
	r, head := small(t, 5)
	s := newSource(t, config(r.serve().URL), openStore(t, objects.Options{}))
	c := mustPoll(t, s)
	want := gitops.Commit{
		Revision: gitops.NewRevision("main", head), FullRef: "refs/heads/main", URL: c.URL,
	}
	if c != want {
		t.Fatalf("got %+v, want %+v", c, want)
	}
	if !strings.HasPrefix(c.URL, "http://127.0.0.1:") || !strings.HasSuffix(c.URL, "/r.git") {
		t.Errorf("URL %q", c.URL)
	}
}

// large is a repository of 200 files, one of them large and incompressible.
func large(t testing.TB) (*repo, gitops.Hash) {
	r := newRepo(t)
	noise := make([]byte, 300_000)
	g := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(g.Uint32())
	}
	r.write("big.bin", string(noise))
	for i := range 200 {
		r.write(fmt.Sprintf("f%03d.yaml", i), fmt.Sprintf("a: %d\n%s", i, strings.Repeat("x: y\n", 20)))
	}
	return r, r.commit("first")
}

func TestIdlePollWritesNothing(t *testing.T) {
	r, head := small(t, 2)
	path := filepath.Join(t.TempDir(), "objects.db")
	store := openStoreAt(t, path, objects.Options{})
	s := newSource(t, config(r.serve().URL), store)
	mustPoll(t, s)
	type stamp struct {
		size int64
		mod  int64
	}
	look := func() (out [2]stamp) {
		for i, name := range []string{path, path + "-journal"} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			out[i] = stamp{info.Size(), info.ModTime().UnixNano()}
		}
		return out
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, link := look(), s.Link()
	for range 3 {
		if c := mustPoll(t, s, head); c.Revision.Hash() != head {
			t.Fatal(c)
		}
	}
	if after := look(); after != before {
		t.Errorf("files changed: %v, then %v", before, after)
	}
	again, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != string(again) {
		t.Error("the store's bytes changed")
	}
	after := s.Link()
	t.Logf("one idle poll: %d bytes in, %d out", (after.BytesIn-link.BytesIn)/3, (after.BytesOut-link.BytesOut)/3)
}

func TestRefs(t *testing.T) {
	r, first := small(t, 1)
	r.git(r.work, "tag", "light")
	r.git(r.work, "tag", "-a", "-m", "annotated", "heavy")
	for _, v := range []string{"v1.0.0", "v1.2.0", "1.2.0", "v1.3.0-rc.1", "v2.0.0", "not-a-version"} {
		r.git(r.work, "tag", "-a", "-m", v, v)
	}
	r.git(r.work, "tag", "-a", "-m", "a tag of a tag", "nested", "heavy")
	r.git(r.work, "tag", "of-a-tree", "HEAD^{tree}")
	r.git(r.work, "push", "-q", "--tags", "o")
	second := r.commit("second")
	r.git(r.work, "push", "-q", "o", "HEAD:refs/heads/feature/x")
	hidden := r.commit("on no branch soon")
	r.git(r.work, "push", "-q", "-f", "o", string(second)+":refs/heads/main")
	url := r.serve().URL

	tag := func(name string) gitops.Hash { return gitops.Hash(r.git(r.bare, "rev-parse", "refs/tags/"+name)) }
	cases := []struct {
		name   string
		ref    pull.Ref
		want   gitops.Commit
		reason gitops.Reason
		text   string
	}{
		{name: "branch", ref: pull.Ref{Branch: "main"},
			want: gitops.Commit{Revision: gitops.NewRevision("main", second), FullRef: "refs/heads/main"}},
		{name: "branch with a slash", ref: pull.Ref{Branch: "feature/x"},
			want: gitops.Commit{Revision: gitops.NewRevision("feature/x", second), FullRef: "refs/heads/feature/x"}},
		{name: "branch missing", ref: pull.Ref{Branch: "mian"}, reason: gitops.RefMissing, text: `"main"`},
		{name: "lightweight tag", ref: pull.Ref{Tag: "light"},
			want: gitops.Commit{Revision: gitops.NewRevision("light", first), FullRef: "refs/tags/light"}},
		{name: "annotated tag", ref: pull.Ref{Tag: "heavy"},
			want: gitops.Commit{Revision: gitops.NewRevision("heavy", first), FullRef: "refs/tags/heavy", Tag: tag("heavy")}},
		{name: "tag missing", ref: pull.Ref{Tag: "heavi"}, reason: gitops.RefMissing, text: `"heavy"`},
		{name: "tag of a tag", ref: pull.Ref{Tag: "nested"}, reason: gitops.MalformedTag, text: "names a tag"},
		{name: "tag of a tree", ref: pull.Ref{Tag: "of-a-tree"}, reason: gitops.MalformedTag, text: "names a tree"},
		{name: "highest in the range, the same on every node", ref: pull.Ref{Semver: "^1.0"},
			want: gitops.Commit{Revision: gitops.NewRevision("v1.2.0", first), FullRef: "refs/tags/v1.2.0", Tag: tag("v1.2.0")}},
		{name: "prerelease only when asked for", ref: pull.Ref{Semver: ">=1.0.0-0 <2"},
			want: gitops.Commit{Revision: gitops.NewRevision("v1.3.0-rc.1", first), FullRef: "refs/tags/v1.3.0-rc.1", Tag: tag("v1.3.0-rc.1")}},
		{name: "range without a tag", ref: pull.Ref{Semver: ">3"}, reason: gitops.RefMissing, text: ">3"},
		{name: "commit that a ref names", ref: pull.Ref{Commit: string(second)},
			want: gitops.Commit{Revision: gitops.NewRevision("commit", second)}},
		{name: "commit inside history", ref: pull.Ref{Commit: string(first)},
			want: gitops.Commit{Revision: gitops.NewRevision("commit", first)}},
		{name: "commit that no ref reaches", ref: pull.Ref{Commit: string(hidden)},
			want: gitops.Commit{Revision: gitops.NewRevision("commit", hidden)}},
		{name: "commit that is nowhere", ref: pull.Ref{Commit: someID}, reason: gitops.RefMissing, text: someID},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(url)
			cfg.Ref = c.ref
			s := newSource(t, cfg, openStore(t, objects.Options{}))
			got, err := s.Commits(t.Context(), gitops.PollRequest{})
			if c.reason != "" {
				wantReason(t, err, c.reason)
				if !strings.Contains(err.Error(), c.text) {
					t.Errorf("%q is not in %q", c.text, err)
				}
				return
			}
			// The refs come in another order each time.
			for range 10 {
				if err != nil {
					t.Fatal(err)
				}
				got.URL = ""
				if got != c.want {
					t.Fatalf("got %+v, want %+v", got, c.want)
				}
				got, err = s.Commits(t.Context(), gitops.PollRequest{})
			}
		})
	}
}

func TestCommitByID(t *testing.T) {
	for _, c := range []struct {
		name   string
		v0     bool
		allow  string
		inside bool // the commit is one that a branch reaches
		reason gitops.Reason
	}{
		{name: "v2"},
		{name: "v0 that allows any", v0: true, allow: "uploadpack.allowAnySHA1InWant"},
		{name: "v0 that allows what its refs reach", v0: true, inside: true, allow: "uploadpack.allowReachableSHA1InWant"},
		{name: "v0, in a branch", v0: true, inside: true},
		{name: "v0, hidden", v0: true, reason: gitops.RefMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, first := small(t, 1)
			second := r.commit("second")
			if !c.inside {
				r.git(r.work, "push", "-q", "-f", "o", string(first)+":refs/heads/main")
			} else {
				r.commit("third")
			}
			if c.allow != "" {
				r.git(r.bare, "config", c.allow, "true")
			}
			var old atomic.Bool
			old.Store(c.v0)
			cfg := config(onlyV0(t, r, &old).URL)
			cfg.Ref = pull.Ref{Commit: string(second)}
			s := newSource(t, cfg, openStore(t, objects.Options{}))
			got, err := s.Commits(t.Context(), gitops.PollRequest{})
			if c.reason != "" {
				wantReason(t, err, c.reason)
				return
			}
			if err != nil || got.Revision.Hash() != second {
				t.Fatal(got, err)
			}
			// Once it is here, the link is not needed any more.
			before := s.Link().BytesOut
			mustPoll(t, s)
			if s.Link().BytesOut != before {
				t.Error("a commit that is here was asked for again")
			}
		})
	}
}

func TestRewindAndForkAreFetched(t *testing.T) {
	r, second := small(t, 2)
	store := openStore(t, objects.Options{})
	s := newSource(t, config(r.serve().URL), store)
	mustPoll(t, s)
	first := gitops.Hash(r.git(r.work, "rev-parse", "HEAD~1"))
	r.git(r.work, "push", "-q", "-f", "o", string(first)+":refs/heads/main")
	if c := mustPoll(t, s, second); c.Revision.Hash() != first {
		t.Fatalf("after a rewind: %s", c.Revision)
	}
	r.git(r.work, "reset", "-q", "--hard", string(first))
	r.write("other.yaml", "x: 1\n")
	fork := r.commit("fork")
	if c := mustPoll(t, s, second); c.Revision.Hash() != fork {
		t.Fatalf("after a fork: %s", c.Revision)
	}
	if ok, err := store.Ancestor(t.Context(), first, fork); err != nil || !ok {
		t.Error("the fork is not connected", err)
	}
}

// TestKnownCommitsAreBuiltOn has a revision that no ref of the store names, as
// an applied one that the head has left.
func TestKnownCommitsAreBuiltOn(t *testing.T) {
	for _, knows := range []bool{true, false} {
		r, _ := large(t)
		r.partial()
		r.write("f001.yaml", "x: 1\n")
		applied := r.commit("applied")
		store := openStore(t, objects.Options{})
		cfg := config(r.serve().URL)
		cfg.Introduction = string(r.id("main~1"))
		s := newSource(t, cfg, store)
		mustPoll(t, s)
		r.git(r.work, "checkout", "-q", "--orphan", "other")
		r.git(r.work, "rm", "-rfq", ".")
		r.write("f002.yaml", "x: 2\n")
		r.commit("unrelated")
		r.git(r.work, "push", "-q", "-f", "o", "HEAD:main")
		mustPoll(t, s)
		r.git(r.work, "checkout", "-q", "main")
		r.write("f001.yaml", "x: 3\n")
		r.commit("on applied")
		known := []gitops.Hash{"", gitops.Hash(strings.Repeat("d", 40))}
		if knows {
			known = append(known, applied)
		}
		mustPoll(t, s, known...)
		// Without, the tree of 200 files comes whole.
		if n := s.Link().Fetch.In; (n < 1500) != knows {
			t.Errorf("known %v: %d bytes", knows, n)
		}
	}
}

func TestProbeAsksAndChangesNothing(t *testing.T) {
	r, head := small(t, 1)
	cfg := config(r.serve().URL)
	cfg.RuntimeDir = t.TempDir()
	cfg.Mirrors = []pull.Mirror{{URL: cfg.URL}}
	cfg.URL = strings.Replace(cfg.URL, "/r.git", "/none.git", 1)
	found, err := pull.Probe(t.Context(), cfg)
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	wantReason(t, found[0].Err, gitops.NotGit)
	if m := found[1]; m.Err != nil || m.Tip != head || m.URL != cfg.Mirrors[0].URL || !m.Mirror || found[0].Mirror || m.Client != "git v2" {
		t.Errorf("%+v", m)
	}
	if left, err := os.ReadDir(cfg.RuntimeDir); err != nil || len(left) > 0 {
		t.Error("the schedule was written", left, err)
	}
	cfg.Ref = pull.Ref{}
	_, err = pull.Probe(t.Context(), cfg)
	if gitops.ReasonOf(err) != gitops.BadRequest {
		t.Error(err)
	}
}

func TestEmptyRepository(t *testing.T) {
	r := newRepo(t)
	s := newSource(t, config(r.serve().URL), openStore(t, objects.Options{}))
	_, err := s.Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.RefMissing)
}

func TestObjectsNamesWhatIsMissing(t *testing.T) {
	r, head := small(t, 1)
	s := newSource(t, config(r.serve().URL), openStore(t, objects.Options{}))
	mustPoll(t, s)
	if err := s.Objects(t.Context(), []gitops.MissingObject{{ID: head}}); err != nil {
		t.Fatal(err)
	}
	lost := gitops.Hash(strings.Repeat("d", 40))
	err := s.Objects(t.Context(), []gitops.MissingObject{{ID: head}, {ID: lost}})
	wantReason(t, err, gitops.Incomplete)
	if !strings.Contains(err.Error(), lost.Short()) {
		t.Error(err)
	}
}

func TestFileURLIsReadInProcess(t *testing.T) {
	r, _ := small(t, 3)
	r.git(r.work, "tag", "-a", "-m", "x", "v1.0.0")
	r.git(r.work, "push", "-q", "--tags", "o")
	r.git(r.bare, "gc", "-q")
	// A hostile repository cannot make us run anything.
	r.git(r.bare, "config", "core.fsmonitor", "touch "+filepath.Join(r.root, "ran"))
	t.Setenv("PATH", "/nonexistent")
	cfg := config("file://" + r.root)
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	t.Setenv("PATH", "/usr/bin:/bin")
	r.write("app/version.yaml", "version: again\n")
	head := r.commit("again")
	if c := mustPoll(t, s); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	readsBack(t, r, store, head)
	cfg.Ref = pull.Ref{Tag: "v1.0.0"}
	if c := mustPoll(t, newSource(t, cfg, store)); c.Tag == "" {
		t.Error("no tag in", c)
	}
	cfg.URL = "file:///nonexistent"
	_, err := newSource(t, cfg, store).Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.NotGit)
}
