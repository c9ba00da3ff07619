// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

func TestFirstRunWritesOneFullBundle(t *testing.T) {
	r := newRepo(t)
	r.commit("a/b/file", "one\n")
	head := r.commit("a/c", "two\n")
	r.git("branch", "side")
	done := r.publish()
	if done.Bundles != 1 || len(done.Written) != 1 || done.Written[0].Prerequisites != 0 || done.Full == "" {
		t.Errorf("published %+v", done)
	}
	if diff := cmp.Diff(map[string]gitops.Hash{"refs/heads/main": head}, r.check()); diff != "" {
		t.Errorf("refs (-want +got):\n%s", diff)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", "-q", "-b", "main", filepath.Join(r.dir, done.Written[0].Name), clone)
	if got := git(t, clone, "rev-list", "--objects", "--count", "--all"); got != fmt.Sprint(done.Written[0].Objects) {
		t.Errorf("%d objects in the bundle, %s in the repository", done.Written[0].Objects, got)
	}
}

// One line in a directory of a thousand files is a difference, not the directory again.
func TestLaterRunWritesTheDifference(t *testing.T) {
	r := newRepo(t)
	for i := range 1000 {
		r.write(fmt.Sprintf("apps/%04d.yaml", i), strings.Repeat(fmt.Sprintf("line %d\n", i), 40))
	}
	before := r.commit("first", "x")
	r.publish()
	r.commit("apps/0500.yaml", strings.Repeat("line 500\n", 39)+"changed\n")
	done := r.publish()
	if done.Bundles != 2 || len(done.Written) != 1 || done.Written[0].Objects != 4 || done.Full != "" {
		t.Fatalf("published %+v", done)
	}
	if size := done.Written[0].Bytes; size > 1500 {
		t.Errorf("the difference has %d bytes, want no more than 1500", size)
	}
	h := readHeader(t, filepath.Join(r.dir, done.Written[0].Name))
	if diff := cmp.Diff([]gitops.Hash{before}, h.Prerequisites); diff != "" {
		t.Errorf("prerequisites (-want +got):\n%s", diff)
	}
}

func TestNothingNewWritesNothing(t *testing.T) {
	r := newRepo(t)
	r.commit("a", "1")
	r.publish()
	before := snapshot(t, r.dir)
	r.now = r.now.Add(time.Hour)
	done, err := bundle.Publish(t.Context(), bundle.Before(r.options(), func(step string) { t.Errorf("%s", step) }))
	if err != nil || !done.Unchanged || len(done.Written) != 0 || done.Bundles != 1 || done.Bytes == 0 {
		t.Fatalf("published %+v: %v", done, err)
	}
	if diff := cmp.Diff(before, snapshot(t, r.dir)); diff != "" {
		t.Errorf("the directory changed (-before +after):\n%s", diff)
	}
}

// snapshot is every file with its content and time.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = info.ModTime().String() + " " + string(content)
	}
	return files
}

// Every change is published on its own. The list stays short, whoever follows
// downloads little, and the bundles of the list before are still there.
func TestChainIsCompacted(t *testing.T) {
	r := newRepo(t)
	r.commit("base", strings.Repeat("0123456789abcdef\n", 20))
	var before bundle.List
	most := 0
	for i := range 40 {
		r.commit("file", fmt.Sprintf("%d\n", i))
		if i%10 == 5 {
			r.git("merge", "-q", "-s", "ours", "-m", "join", r.git("commit-tree", "HEAD^{tree}", "-p", "HEAD~2", "-m", "side"))
		}
		done, err := bundle.Publish(t.Context(), r.options())
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, done.Bundles)
		if done.Full != "" && i > 0 {
			t.Errorf("run %d wrote everything: %s", i, done.Full)
		}
		list := readList(t, r.dir)
		if i > 0 && done.Written[0].Prerequisites == 0 || list.Newest()[0].URI != done.Written[0].Name {
			t.Errorf("run %d: the youngest bundle is not the newest change: %+v", i, done)
		}
		for _, e := range before.Bundles {
			if _, err := os.Stat(filepath.Join(r.dir, e.URI)); err != nil {
				t.Errorf("run %d removed what the list before it names: %v", i, err)
			}
		}
		if i%8 == 7 {
			r.check()
		}
		before = list
		r.now = r.now.Add(time.Minute)
	}
	if most > 12 || most < 4 {
		t.Errorf("the list had up to %d bundles", most)
	}
	entries, _ := os.ReadDir(r.dir)
	if len(entries) > 1+2*most {
		t.Errorf("%d files in the directory", len(entries))
	}
}

func TestChainIsShortAndNobodyDownloadsTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Int64Range(1, 1000), 1, 60).Draw(t, "sizes")
		groups := bundle.Compact(sizes)
		var merged []int64
		for i, at := 0, 0; i < len(groups); i++ {
			var sum, after int64
			for _, size := range sizes[at : at+groups[i]] {
				sum += size
			}
			at += groups[i]
			for _, size := range sizes[at:] {
				after += size
			}
			if groups[i] > 1 && sum > after {
				t.Fatalf("a bundle of %d was made with %d after it", sum, after)
			}
			merged = append(merged, sum)
		}
		if groups[len(groups)-1] != 1 {
			t.Fatalf("the newest was merged: %v", groups)
		}
		for i := 0; i+1 < len(merged); i++ {
			var after int64
			for _, size := range merged[i+2:] {
				after += size
			}
			if merged[i]+merged[i+1] <= after {
				t.Fatalf("%v can still be merged at %d", merged, i)
			}
		}
	})
}

func TestRewrittenHistoryIsPublishedWhole(t *testing.T) {
	for name, rewrite := range map[string]func(*repo){
		"force push": func(r *repo) { r.git("reset", "-q", "--hard", "HEAD~1"); r.commit("other", "x") },
		"rewound":    func(r *repo) { r.git("reset", "-q", "--hard", "HEAD~1") },
		"deleted branch": func(r *repo) {
			r.git("branch", "-q", "-D", "side")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.commit("a", "1")
			r.git("checkout", "-q", "-b", "side")
			r.commit("b", "1")
			r.git("checkout", "-q", "main")
			r.commit("a", "2")
			r.publish("refs/heads/*")
			rewrite(r)
			r.now = r.now.Add(-time.Hour) // a clock that goes backwards does not make it look older
			token := readList(t, r.dir).Bundles[0].CreationToken
			done := r.publish("refs/heads/*")
			if done.Full == "" || done.Bundles != 1 {
				t.Errorf("published %+v", done)
			}
			if next := readList(t, r.dir).Bundles[0].CreationToken; next <= token {
				t.Errorf("token %d after %d", next, token)
			}
			if got := string(r.check()["refs/heads/main"]); got != r.git("rev-parse", "main") {
				t.Errorf("main is %s", got)
			}
		})
	}
}

func TestRefsThatAreNoBranches(t *testing.T) {
	r := newRepo(t)
	r.commit("a", "1")
	r.git("tag", "-m", "one", "v1")
	r.git("tag", "light")
	// A branch that is gone, and its tag that is not.
	r.git("checkout", "-q", "--orphan", "gone")
	r.commit("old", "release")
	r.git("tag", "-m", "old", "old")
	r.git("checkout", "-q", "main")
	r.git("branch", "-q", "-D", "gone")
	r.git("update-ref", "refs/edgeagent/revocations", r.git("commit-tree", "HEAD^{tree}", "-m", "revoked"))
	r.git("update-ref", "refs/edgeagent/blob", r.git("rev-parse", "HEAD:a"))
	r.git("update-ref", "refs/other/private", "HEAD")
	want := []string{"refs/edgeagent/blob", "refs/edgeagent/revocations", "refs/heads/main", "refs/tags/light", "refs/tags/old", "refs/tags/v1"}
	names := func() {
		t.Helper()
		refs := r.check()
		for _, name := range want {
			if id, ok := refs[name]; !ok || string(id) != r.git("rev-parse", name) {
				t.Errorf("%s is %s", name, id)
			}
		}
		if len(refs) != len(want) {
			t.Errorf("%d refs, want %d", len(refs), len(want))
		}
	}
	r.publish("main", "refs/tags/*")
	names()

	// The next one carries what edgeagent keeps, whole, and no old tag.
	head := r.commit("a", "2")
	done := r.publish("main", "refs/tags/*")
	names()
	if n := done.Written[0].Objects; n != 3+1 { // commit, tree, blob; the revocations' commit, with a tree that is there
		t.Errorf("%d objects", n)
	}
	// A tag that is moved, and one that is new, without any commit.
	r.git("tag", "-f", "-m", "again", "v1")
	r.git("tag", "v2")
	want = append(want, "refs/tags/v2")
	done = r.publish("main", "refs/tags/*")
	names()
	h := readHeader(t, filepath.Join(r.dir, done.Written[0].Name))
	if diff := cmp.Diff([]gitops.Hash{head}, h.Prerequisites); diff != "" {
		t.Errorf("prerequisites of a bundle without commits (-want +got):\n%s", diff)
	}
}

func TestRepositoriesThatCannotBePublished(t *testing.T) {
	tests := map[string]struct {
		make func(r *repo)
		refs []string
		want gitops.Reason
	}{
		"none": {func(r *repo) { r.work = t.TempDir() }, nil, gitops.NotGit},
		"shallow": {func(r *repo) {
			clone := filepath.Join(t.TempDir(), "clone")
			git(t, "", "clone", "-q", "--depth=1", "file://"+r.work, clone)
			r.work = clone
		}, nil, gitops.Incomplete},
		"partial": {func(r *repo) {
			r.git("config", "uploadpack.allowFilter", "true")
			clone := filepath.Join(t.TempDir(), "clone")
			git(t, "", "clone", "-q", "--bare", "--filter=blob:none", "file://"+r.work, clone)
			r.work = clone
		}, nil, gitops.Incomplete},
		"sha256":          {func(r *repo) { *r = *newRepo(r.t, "--object-format=sha256"); r.commit("a", "1") }, nil, gitops.UnsupportedBundle},
		"detached head":   {func(r *repo) { r.git("checkout", "-q", "--detach") }, nil, gitops.RefMissing},
		"no such ref":     {func(*repo) {}, []string{"main", "refs/tags/v1"}, gitops.RefMissing},
		"nothing matches": {func(*repo) {}, []string{"refs/tags/v*"}, gitops.RefMissing},
		"no commit":       {func(r *repo) { *r = *newRepo(r.t) }, nil, gitops.RefMissing},
		"lying disk": {func(r *repo) {
			object := func(rev string) string {
				id := r.git("rev-parse", rev)
				return filepath.Join(r.work, ".git/objects", id[:2], id[2:])
			}
			content, err := os.ReadFile(object("HEAD~1:a"))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Remove(object("HEAD:a")), os.WriteFile(object("HEAD:a"), content, 0o444)); err != nil {
				t.Fatal(err)
			}
		}, nil, gitops.Corrupt},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.commit("a", "1")
			r.commit("a", "2")
			test.make(r)
			_, err := bundle.Publish(t.Context(), r.options(test.refs...))
			wantReason(t, err, test.want)
			if name == "shallow" && !strings.Contains(err.Error(), "shallow clone") {
				t.Errorf("not said: %v", err)
			}
			if entries, _ := os.ReadDir(r.dir); len(entries) > 0 {
				t.Errorf("%v was left", entries)
			}
		})
	}
}

// Bare, with .git, linked worktree, packed with alternates: all the same.
func TestRepositoriesOfEveryShape(t *testing.T) {
	r := newRepo(t)
	r.commit("a", "1")
	r.commit("sub/b", "2")
	r.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("5", 40)+",module")
	r.git("commit", "-q", "-m", "a submodule")
	head := gitops.Hash(r.git("rev-parse", "HEAD"))
	dir := t.TempDir()
	git(t, "", "clone", "-q", "--bare", "--shared", r.work, filepath.Join(dir, "shared"))
	git(t, "", "clone", "-q", "--mirror", "file://"+r.work, filepath.Join(dir, "packed"))
	r.git("worktree", "add", "-q", "-b", "linked", filepath.Join(dir, "linked"))
	for _, name := range []string{"shared", "packed", "linked"} {
		t.Run(name, func(t *testing.T) {
			o := r.options()
			o.Repo, o.Dir = filepath.Join(dir, name), filepath.Join(t.TempDir(), "static")
			if _, err := bundle.Publish(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			branch := map[bool]string{true: "refs/heads/linked", false: "refs/heads/main"}[name == "linked"]
			if diff := cmp.Diff(map[string]gitops.Hash{branch: head}, checkDir(t, o.Dir)); diff != "" {
				t.Errorf("refs (-want +got):\n%s", diff)
			}
		})
	}
}

// A list with whole URLs is written when the URL is given, and again when it
// changes; the bundles stay.
func TestListWithWholeURLs(t *testing.T) {
	r := newRepo(t)
	r.commit("a", "1")
	name := r.publish().Written[0].Name
	for _, base := range []string{"https://cdn.example.com/fleet", "https://cdn.example.com/fleet/", "http://other.example.com:8080/", ""} {
		o := r.options()
		o.BaseURL = base
		done, err := bundle.Publish(t.Context(), o)
		if err != nil || len(done.Written) != 0 || done.Unchanged != strings.HasSuffix(base, "fleet/") {
			t.Errorf("published for %q: %+v, %v", base, done, err)
		}
		if base != "" {
			base = strings.TrimSuffix(base, "/") + "/"
		}
		if got := readList(t, r.dir).Bundles[0].URI; got != base+name {
			t.Errorf("the list names %s, want %s", got, base+name)
		}
	}
	for _, base := range []string{"/srv/static", "ftp://h/", "https://user:secret@h/", "https://h/?a", "https://"} {
		o := r.options()
		o.BaseURL = base
		_, err := bundle.Publish(t.Context(), o)
		wantReason(t, err, gitops.BadRequest)
		if strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
}

// What a tag named before may be gone from the repository: bundles that are
// merged do without it.
func TestMovedTagsDoNotStopCompaction(t *testing.T) {
	r := newRepo(t)
	r.commit("base", noise(500))
	r.publish("main", "refs/tags/*")
	for i := range 6 {
		r.commit("file", noise(100+i))
		r.git("tag", "-f", "-m", fmt.Sprint(i), "stable")
		r.git("reflog", "expire", "--expire=now", "--all")
		r.git("prune", "--expire=now")
		r.now = r.now.Add(time.Minute)
		if done := r.publish("main", "refs/tags/*"); done.Full != "" && i > 0 {
			t.Errorf("run %d: %s", i, done.Full)
		}
	}
	if n := len(readList(t, r.dir).Bundles); n > 6 {
		t.Errorf("%d bundles: nothing was merged", n)
	}
}
