// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// bundled has Git write a bundle.
func (r *repo) bundled(args ...string) string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "r.bundle")
	command := []string{"bundle", "create", "-q"}
	if strings.HasPrefix(args[0], "--version") {
		command, args = append(command, args[0]), args[1:]
	}
	r.git(r.bare, append(append(command, file), args...)...)
	return file
}

// isolated is a source without a link: whatever it sends fails the test.
func isolated(t testing.TB, first gitops.Hash, store *objects.Store) *pull.Source {
	t.Helper()
	cfg := config("")
	cfg.URL, cfg.Introduction = nowhere(t), string(first)
	s := newSource(t, cfg, store)
	t.Cleanup(func() {
		if l := s.Link(); l.BytesOut != 0 {
			t.Errorf("%d bytes were sent", l.BytesOut)
		}
	})
	return s
}

func mustImport(t testing.TB, s *pull.Source, file string, known ...gitops.Hash) gitops.Commit {
	t.Helper()
	c, err := s.Import(t.Context(), file, known)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestImport(t *testing.T) {
	r, first, head := fleet(t, 3, 4)
	for _, args := range [][]string{{"main"}, {"--all"}, {"--version=3", "main"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			store := openStore(t, objects.Options{})
			s := isolated(t, first, store)
			c := mustImport(t, s, r.bundled(args...))
			want := gitops.Commit{Revision: gitops.NewRevision("main", head), FullRef: "refs/heads/main", URL: "r.bundle"}
			if c != want {
				t.Fatalf("got %+v, want %+v", c, want)
			}
			readsBack(t, r, store, head)
			if at, ok, err := store.Head(t.Context(), "fleet"); err != nil || !ok || at != head {
				t.Errorf("head %s, %v, %v", at, ok, err)
			}
			// The same again is nothing new, and no failure.
			if again := mustImport(t, s, r.bundled(args...), head); again != want {
				t.Error(again)
			}
		})
	}
}

func TestImportOfWhatCameSince(t *testing.T) {
	r, first, head := fleet(t, 3, 4)
	store := openStore(t, objects.Options{})
	s := isolated(t, first, store)
	since := r.bundled("main~2..main")
	_, err := s.Import(t.Context(), since, nil)
	wantReason(t, err, gitops.PrerequisiteMissing)
	if !strings.Contains(err.Error(), r.id("main~2").Short()) {
		t.Errorf("the missing commit is not named: %v", err)
	}
	r.git(r.bare, "branch", "old", "main~2")
	r.git(r.bare, "update-ref", "refs/heads/main", "main~2")
	mustImport(t, s, r.bundled("main"))
	r.git(r.bare, "update-ref", "refs/heads/main", string(head))
	if c := mustImport(t, s, since, r.id("old")); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	readsBack(t, r, store, head)
	// An older one is for the trust rules to refuse.
	r.git(r.bare, "update-ref", "refs/heads/main", "old")
	if c := mustImport(t, s, r.bundled("main"), head); c.Revision.Hash() != r.id("old") {
		t.Error(c)
	}
}

func TestImportRefuses(t *testing.T) {
	r, first, head := fleet(t, 3, 4)
	other, _, _ := fleet(t, 2, 1)
	other.write("other", "1")
	other.commit("of another repository")
	whole, err := os.ReadFile(r.bundled("main"))
	if err != nil {
		t.Fatal(err)
	}
	r.git(r.bare, "branch", "feature", "main")
	r.git(r.work, "checkout", "-q", "--orphan", "unrelated")
	r.git(r.work, "commit", "-q", "-m", "unrelated")
	r.git(r.work, "push", "-q", "-f", "o", "HEAD:main")
	unrelated := r.bundled("main")
	onBranch := r.bundled("feature")
	r.git(r.bare, "update-ref", "refs/heads/main", string(head))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-200] ^= 0x40

	file := func(content []byte) string {
		name := filepath.Join(t.TempDir(), "r.bundle")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	cases := []struct {
		name   string
		file   string
		reason gitops.Reason
	}{
		{"no file", filepath.Join(t.TempDir(), "none"), gitops.StoreFailed},
		{"empty", file(nil), gitops.Corrupt},
		{"a web page", file([]byte("<html><body>log in</body></html>")), gitops.NotGit},
		{"a header that is cut", file(whole[:30]), gitops.Corrupt},
		{"a pack that is cut", file(whole[:len(whole)-300]), gitops.Corrupt},
		{"a pack without its end", file(whole[:len(whole)-1]), gitops.Corrupt},
		{"a byte that flipped", file(flipped), gitops.Corrupt},
		{"a version that is not known", file(bytes.Replace(whole, []byte("# v2"), []byte("# v9"), 1)), gitops.UnsupportedBundle},
		{"without the ref", onBranch, gitops.RefMissing},
		{"of another repository", other.bundled("main"), gitops.WrongRepository},
		{"a branch of its own", unrelated, gitops.WrongRepository},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			store := openStore(t, objects.Options{})
			s := isolated(t, first, store)
			_, err := s.Import(t.Context(), c.file, nil)
			wantReason(t, err, c.reason)
			if at, ok, err := store.Head(t.Context(), "fleet"); err != nil || ok {
				t.Errorf("the head moved to %s, %v", at, err)
			}
			// What was refused is not in the way of a good one.
			mustImport(t, s, file(whole))
			readsBack(t, r, store, head)
		})
	}
}

// TestImportCutAnywhere cuts a bundle at many bytes.
func TestImportCutAnywhere(t *testing.T) {
	r, first, head := fleet(t, 2, 2)
	whole, err := os.ReadFile(r.bundled("main"))
	if err != nil {
		t.Fatal(err)
	}
	store := openStore(t, objects.Options{})
	s := isolated(t, first, store)
	name := filepath.Join(t.TempDir(), "r.bundle")
	for n := 0; n < len(whole); n += 1 + len(whole)/300 {
		if err := os.WriteFile(name, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Import(t.Context(), name, nil)
		wantReason(t, err, gitops.Corrupt)
	}
	if _, ok, err := store.Head(t.Context(), "fleet"); err != nil || ok {
		t.Fatal("a cut bundle moved the head", err)
	}
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	mustImport(t, s, name)
	readsBack(t, r, store, head)
}

func export(t testing.TB, s *pull.Source, rev gitops.Revision) string {
	t.Helper()
	var out bytes.Buffer
	if err := s.Export(t.Context(), rev, &out); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "export.bundle")
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestExportIsWhatTheNeighbourNeeds has a node with one folder, and a neighbour
// without a link that runs another.
func TestExportIsWhatTheNeighbourNeeds(t *testing.T) {
	r, first, head := fleet(t, 6, 5)
	start := r.id("main~3")
	r.git(r.bare, "update-ref", "refs/edgeagent/trust", "main")
	cfg := config(r.serve().URL)
	cfg.Introduction, cfg.Carry = string(start), []string{"refs/edgeagent/"}
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	c := mustPoll(t, s)
	if err := bringFolder(t, r, s, head, "clusters/n0001"); err != nil {
		t.Fatal(err)
	}
	file := export(t, s, c.Revision)

	there := openStore(t, objects.Options{})
	neighbour := isolated(t, start, there)
	if got := mustImport(t, neighbour, file); got.Revision != c.Revision || got.FullRef != c.FullRef {
		t.Fatalf("got %+v, want %+v", got, c)
	}
	hasFolder(t, r, there, head, "clusters")
	found, err := there.Lineage(t.Context(), head, []gitops.Hash{start}, 10)
	if err != nil || found.Around || len(found.Missing) > 0 || found.Commits != 4 {
		t.Errorf("%+v, %v", found, err)
	}
	if here, err := there.Has(t.Context(), first); err != nil || here {
		t.Errorf("a commit from before trust began was exported: %v, %v", here, err)
	}
	carried, err := there.Carried(t.Context(), "fleet")
	if err != nil || carried["refs/edgeagent/trust"] != head {
		t.Errorf("carried %v, %v", carried, err)
	}
	// The next export is taken by the neighbour as the next answer.
	r.write("clusters/n0004/b.yaml", "next\n")
	next := r.commit("next")
	c = mustPoll(t, s, head)
	if got := mustImport(t, neighbour, export(t, s, c.Revision), head); got.Revision.Hash() != next {
		t.Fatal(got)
	}
	hasFolder(t, r, there, next, "clusters")
}

func TestExportOfATag(t *testing.T) {
	r, first, head := fleet(t, 2, 2)
	r.git(r.work, "tag", "-a", "-m", "x", "v1.0.0")
	r.git(r.work, "push", "-q", "--tags", "o")
	cfg := config(r.serve().URL)
	cfg.Introduction, cfg.Ref = string(first), pull.Ref{Semver: "^1.0"}
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	c := mustPoll(t, s)
	cfg.URL = nowhere(t)
	got := mustImport(t, newSource(t, cfg, openStore(t, objects.Options{})), export(t, s, c.Revision))
	if got.Revision != c.Revision || got.Tag != c.Tag || got.Tag != r.id("v1.0.0") || got.Revision.Hash() != head {
		t.Errorf("got %+v, want %+v", got, c)
	}
}

// TestExportAroundTheIntroduction has a branch that began before trust did.
func TestExportAroundTheIntroduction(t *testing.T) {
	r, _, _ := fleet(t, 2, 1)
	r.git(r.work, "branch", "side")
	start := r.commit("introduction")
	r.git(r.work, "checkout", "-q", "side")
	r.git(r.work, "commit", "-q", "--allow-empty", "-m", "side")
	r.git(r.work, "checkout", "-q", "main")
	r.git(r.work, "merge", "-q", "--no-ff", "-m", "merge", "side")
	head := r.commit("after")
	cfg := config(r.serve().URL)
	cfg.Introduction = string(start)
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	c := mustPoll(t, s)
	there := openStore(t, objects.Options{})
	if got := mustImport(t, isolated(t, start, there), export(t, s, c.Revision)); got.Revision.Hash() != head {
		t.Error(got)
	}
}

func TestExportNamesWhatIsMissing(t *testing.T) {
	r, first, head := fleet(t, 3, 2)
	srv := r.serve()
	cfg := config(srv.URL)
	cfg.Introduction = string(first)
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	c := mustPoll(t, s)
	if err := bringFolder(t, r, s, head, "clusters/n0001"); err != nil {
		t.Fatal(err)
	}
	srv.Close()
	var out bytes.Buffer
	err := s.Export(t.Context(), c.Revision, &out)
	wantReason(t, err, gitops.Incomplete)
	if !strings.Contains(err.Error(), "clusters/n0000") || out.Len() != 0 {
		t.Errorf("%v; %d bytes were written", err, out.Len())
	}
}

// TestExportOverASlowLink takes several calls, and says that it goes on.
func TestExportOverASlowLink(t *testing.T) {
	r, first, head := incompressible(t, 60)
	proxy, url := bad(t, r.serve().URL, link.Shape{})
	cfg := config(url)
	cfg.Introduction, cfg.Timeout = string(first), 400*time.Millisecond
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	c := mustPoll(t, s)
	proxy.Set(link.Shape{Drip: 2000, Tick: 10 * time.Millisecond})
	var out bytes.Buffer
	for parts := 0; ; parts++ {
		err := s.Export(t.Context(), c.Revision, &out)
		if err == nil {
			if parts == 0 {
				t.Error("nothing was interrupted")
			}
			break
		}
		if gitops.ReasonOf(err) != gitops.Fetching || out.Len() > 0 {
			t.Fatalf("%v, %d bytes were written", err, out.Len())
		}
	}
	file := filepath.Join(t.TempDir(), "fleet.bundle")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustImport(t, isolated(t, first, openStore(t, objects.Options{})), file); got.Revision.Hash() != head {
		t.Error(got)
	}
}
