// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// childURL tells this test binary to be a process that fetches and is killed.
const (
	childURL   = "PULL_TEST_CHILD_URL"
	childStore = "PULL_TEST_CHILD_STORE"
	childStart = "PULL_TEST_CHILD_START"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		if err := fetchOnce(url, os.Getenv(childStore)); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println("done")
		select {} // until the kill
	}
	os.Exit(m.Run())
}

func fetchOnce(url, path string) error {
	store, err := objects.Open(path, objects.Options{})
	if err != nil {
		return err
	}
	cfg := config(url)
	cfg.Introduction = os.Getenv(childStart)
	s, err := pull.New(cfg, store)
	if err != nil {
		return err
	}
	fmt.Println("started")
	c, err := s.Commits(context.Background(), gitops.PollRequest{})
	if err != nil {
		return err
	}
	_, commit, err := store.Object(context.Background(), c.Revision.Hash())
	if err != nil {
		return err
	}
	tree := gitops.Hash(commit[len("tree "):][:40])
	if err := s.Retain(context.Background(), []gitops.Hash{c.Revision.Hash()}); err != nil {
		return err
	}
	for lost := []gitops.MissingObject{{ID: tree}}; len(lost) > 0; {
		if err := s.Objects(context.Background(), lost); err != nil {
			return err
		}
		if lost, err = store.Below(context.Background(), []gitops.Hash{tree}, 100); err != nil {
			return err
		}
	}
	// A collection is killed too: the revision before is not retained.
	return store.GC(context.Background(), nil)
}

// TestKilledAtAnyMoment kills a process with SIGKILL while it fetches, and
// looks at what it leaves: a file that SQLite finds whole, objects that hash
// right, and a head whose commits are connected.
func TestKilledAtAnyMoment(t *testing.T) {
	cycles := 12
	if n, err := strconv.Atoi(os.Getenv("PULL_TEST_KILLS")); err == nil {
		cycles = n
	}
	r := newRepo(t)
	r.partial()
	start := r.commit("introduction")
	url := r.serve().URL
	path := filepath.Join(t.TempDir(), "objects.db")
	g := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	longest := 400 * time.Millisecond
	cut := 0
	for i := range cycles {
		for f := range 40 {
			r.write(fmt.Sprintf("f%02d.bin", f), noise(g, 20_000))
		}
		if i%3 == 2 {
			// History is thrown away, so that the collection has work.
			r.git(r.work, "checkout", "-q", "--orphan", fmt.Sprintf("o%d", i))
			r.git(r.work, "add", "-A")
			r.git(r.work, "commit", "-q", "-m", "orphan")
			r.git(r.work, "push", "-q", "-f", "o", "HEAD:main")
			r.git(r.work, "checkout", "-q", "-B", "main")
		}
		r.commit(fmt.Sprintf("commit %d", i))
		if !killed(t, url, path, start, time.Duration(g.Int64N(int64(longest)))) {
			cut++
		}
		checkFile(t, path, start)
	}
	t.Logf("%d of %d kills came before the end", cut, cycles)
	if cut == 0 {
		t.Error("no kill came before the end: nothing was shown")
	}
	store := openStoreAt(t, path, objects.Options{})
	cfg := config(url)
	cfg.Introduction = string(start)
	source := newSource(t, cfg, store)
	head := mustPoll(t, source).Revision.Hash()
	lost, err := store.Below(t.Context(), []gitops.Hash{head}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for len(lost) > 0 {
		if err := source.Objects(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		if lost, err = store.Below(t.Context(), []gitops.Hash{head}, 1000); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range strings.Fields(r.git(r.bare, "rev-list", "--objects", "--no-object-names", string(head)+"^{tree}")) {
		if _, _, err := store.Object(t.Context(), gitops.Hash(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func noise(g *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return string(b)
}

// killed runs a fetch and kills it after a while, counted from its start. It
// reports whether the fetch was over by then.
func killed(t *testing.T, url, path string, start gitops.Hash, after time.Duration) (over bool) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(os.Environ(), childURL+"="+url, childStore+"="+path, childStart+"="+string(start))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "started" {
		t.Fatalf("the child says %q", lines.Text())
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		if lines.Text() != "done" {
			t.Fatalf("the child says %q", lines.Text())
		}
		over = true
	}
	_ = cmd.Wait()
	return over
}

func checkFile(t *testing.T, path string, start gitops.Hash) {
	t.Helper()
	ids, _ := contents(t, path)
	store, err := objects.Open(path, objects.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if aside := store.MovedAside(); aside != "" {
		t.Fatal("the file was unreadable")
	}
	for id := range ids {
		if _, _, err := store.Object(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	head, proven, err := store.Head(t.Context(), "fleet")
	if err != nil || !proven {
		return // it says nothing yet
	}
	found, err := store.Lineage(t.Context(), head, []gitops.Hash{start}, 10)
	if err != nil || len(found.Missing) > 0 {
		t.Fatalf("head %s is not connected: %+v, %v", head, found, err)
	}
}

// contents reads the file without the store.
func contents(t testing.TB, path string) (ids map[gitops.Hash]bool, heads []gitops.Hash) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity check: %q, %v", verdict, err)
	}
	read := func(query string) (out []gitops.Hash) {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id []byte
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			out = append(out, gitops.Hash(hex.EncodeToString(id)))
		}
		return out
	}
	ids = map[gitops.Hash]bool{}
	for _, id := range read("SELECT id FROM objects") {
		ids[id] = true
	}
	return ids, read("SELECT id FROM refs")
}
