// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// childStore and childPack tell this test binary to be a process that receives
// a pack, makes its tip the head and collects, until it is killed.
const (
	childStore = "OBJECTS_TEST_CHILD_STORE"
	childPack  = "OBJECTS_TEST_CHILD_PACK"
	childTip   = "OBJECTS_TEST_CHILD_TIP"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childStore); path != "" {
		if err := child(path, os.Getenv(childPack), gitops.Hash(os.Getenv(childTip))); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println("over")
		select {} // until the kill
	}
	os.Exit(m.Run())
}

func child(path, pack string, tip gitops.Hash) error {
	ctx := context.Background()
	s, err := objects.Open(path, objects.Options{})
	if err != nil {
		return err
	}
	b, err := os.ReadFile(pack)
	if err != nil {
		return err
	}
	fmt.Println("started")
	if _, err := s.Receive(ctx, objects.Arrival{Pack: bytes.NewReader(b)}); err != nil {
		return err
	}
	fmt.Println("received")
	l, err := s.Lineage(ctx, tip, nil, 10)
	if err != nil || len(l.Missing) > 0 {
		return fmt.Errorf("missing %v: %v", l.Missing, err)
	}
	if err := s.Advance(ctx, "fleet", tip); err != nil {
		return err
	}
	for range 2 {
		if err := s.GC(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// TestKilledAtAnyMoment kills a process with SIGKILL while it receives and
// collects. What it leaves is a file that SQLite finds whole, objects that hash
// right, and a head whose commits, trust files and, where it was whole, own files
// are all there.
func TestKilledAtAnyMoment(t *testing.T) {
	cycles := 12
	if n, err := strconv.Atoi(os.Getenv("OBJECTS_TEST_KILLS")); err == nil {
		cycles = n
	}
	dir := t.TempDir()
	path, pack := filepath.Join(dir, "objects.db"), filepath.Join(dir, "pack")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	g := rand.New(rand.NewPCG(seed, 0))
	stages := map[string]int{}
	took := time.Minute // how long it takes to the end: the first is not cut short
	var head gitops.Hash
	for cycle := range cycles {
		p := newPack()
		var parents []gitops.Hash
		if cycle%3 != 0 && head != "" { // else history is thrown away: the collection has work
			parents = []gitops.Hash{head}
		}
		var tip gitops.Hash
		for n := range 40 {
			tip = p.revision(text(g.Uint64(), 10_000+n), parents...)
			parents = []gitops.Hash{tip}
		}
		if err := os.WriteFile(pack, p.bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		after := took
		if cycle > 0 {
			after = time.Duration(g.Int64N(int64(took)))
		}
		last, lived := killed(t, path, pack, tip, after)
		if stages[last]++; last == "over" {
			took = lived
		}
		head = checkLeft(t, path, head, tip)
	}
	t.Logf("the last that was heard: %v", stages)
	if stages["over"] == cycles {
		t.Error("no kill came before the end: nothing was shown")
	}
}

// killed runs the child, kills it at its end or after a while counted from its
// start, and returns the last that it said and how long it lived.
func killed(t *testing.T, path, pack string, tip gitops.Hash, after time.Duration) (last string, lived time.Duration) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(os.Environ(), childStore+"="+path, childPack+"="+pack, childTip+"="+string(tip))
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
	began := time.Now()
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	for last = "started"; last != "over" && lines.Scan(); last = lines.Text() {
		if s := lines.Text(); s != "received" && s != "over" {
			t.Fatalf("the child says %q", s)
		}
	}
	lived = time.Since(began)
	if kill.Stop() {
		_ = cmd.Process.Kill()
	}
	_ = cmd.Wait()
	return last, lived
}

// checkLeft looks at a file that a killed process left, and returns its head.
func checkLeft(t *testing.T, path string, before, tip gitops.Hash) gitops.Hash {
	t.Helper()
	ids := contents(t, path)
	s, err := objects.Open(path, objects.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if s.MovedAside() != "" {
		t.Fatal("the file was unreadable")
	}
	for _, id := range ids {
		if _, _, err := s.Object(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	head, ok, err := s.Head(t.Context(), "fleet")
	if err != nil || ok && head != before && head != tip || !ok && before != "" {
		t.Fatalf("head %s, %v: %v", head, ok, err)
	}
	if ok && !whole(t, s, head) {
		t.Fatal("the head is not whole")
	}
	return head
}

// contents reads the file without the store.
func contents(t *testing.T, path string) (ids []gitops.Hash) {
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
	rows, err := db.Query("SELECT id FROM objects")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, gitops.Hash(hex.EncodeToString(id)))
	}
	return ids
}
