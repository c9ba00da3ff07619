// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
	"golang.org/x/sys/unix"
)

// disk is a small file system of its own.
func disk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skipf("SKIPPED, NOT TESTED: a full or read-only disk needs root to mount one: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill leaves no room on the disk, and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return func() { check(t, os.Remove(path)) }
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// grow does what needs room: attempts with manifests that do not compress.
func grow(t *testing.T, j *journal.Journal, from, attempts int) error {
	t.Helper()
	for i := from; i < from+attempts; i++ {
		var text strings.Builder
		for k := range 200 {
			text.WriteString(gitops.Digest(fmt.Appendf(nil, "%d %d", i, k)))
		}
		m := manifests(revision("b"), "one="+text.String())
		a, err := j.Begin(t.Context(), gitops.BeginRequest{Source: "fleet", Revision: m.Revision, Plan: plan(nil, m)})
		if err != nil {
			return err
		}
		err = j.Advance(t.Context(), a.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.HealthFailed, Message: strings.Repeat("m", 2000)})
		if err != nil {
			return err
		}
	}
	return nil
}

func ballast(t *testing.T, j *journal.Journal) int {
	t.Helper()
	var rows int
	check(t, j.Query("SELECT count(*) FROM ballast", &rows))
	return rows
}

func TestOnAFullDiskTheBallastIsGivenUp(t *testing.T) {
	dir := disk(t, "32m")
	opts := journal.Options{}
	j := open(t, dir, opts)
	good := manifests(revision("a"), "one=1", "two=2")
	converge(t, j, good)
	if got := ballast(t, j); got != 64 {
		t.Fatalf("the ballast has %d rows", got)
	}
	free := fill(t, dir)

	// It starts, answers, and goes back, all on the full disk.
	check(t, j.Close())
	j = open(t, dir, opts)
	must(j.Manifests(t.Context(), "fleet", good.Digest))(t)
	check(t, grow(t, j, 0, 30))
	if got := ballast(t, j); got != 0 {
		t.Errorf("the ballast still has %d rows: the disk was not full", got)
	}
	converge(t, j, good, func(b *gitops.BeginRequest) { b.Cause = gitops.CauseRollback })
	// Retention keeps what the ballast freed for ourselves.
	size := must(os.Stat(filepath.Join(dir, "journal.db")))(t).Size()
	check(t, j.Retain(t.Context()))
	if now := must(os.Stat(filepath.Join(dir, "journal.db")))(t).Size(); now < size {
		t.Errorf("%d bytes that the ballast freed went to others", size-now)
	}
	if got := ballast(t, j); got != 0 {
		t.Errorf("the ballast was restored on a full disk: %d rows", got)
	}

	free()
	check(t, j.Retain(t.Context()))
	if got := ballast(t, j); got != 64 {
		t.Errorf("the ballast has %d rows after there was room again", got)
	}
	if s := state(t, j); revisionOf(s.Healthy) != good.Revision {
		t.Errorf("state is %+v", s)
	}
}

func TestWithoutBallastAFullDiskIsAnErrorThatSaysWhatToDo(t *testing.T) {
	dir := disk(t, "2m")
	j := open(t, dir, small)
	converge(t, j, manifests(revision("a"), "one=1"))
	before := state(t, j)
	free := fill(t, dir)
	err := grow(t, j, 0, 200)
	wantReason(t, err, gitops.JournalFailed, "full", "free space", dir)
	if s := state(t, j); *s.Healthy != *before.Healthy {
		t.Errorf("state is %+v", s)
	}
	free()
	if s := state(t, j); s.Open != nil {
		advance(t, j, s.Open.ID, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.Interrupted})
	}
	converge(t, j, manifests(revision("c"), "one=3"))
}

// The ballast is never what fills a disk.
func TestASmallDiskGetsNoBallast(t *testing.T) {
	dir := disk(t, "6m")
	j := open(t, dir, journal.Options{})
	if got := ballast(t, j); got != 0 {
		t.Errorf("the ballast has %d rows", got)
	}
	converge(t, j, manifests(revision("a"), "one=1"))
}

func TestTheRollbackJournalIsGrownBeforehand(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, journal.Options{})
	info, err := os.Stat(filepath.Join(dir, "journal.db-journal"))
	check(t, err)
	if info.Size() < 1<<20 {
		t.Errorf("the rollback journal has %d bytes", info.Size())
	}
}

func TestAReadOnlyDiskIsNamed(t *testing.T) {
	dir := disk(t, "8m")
	j := open(t, dir, small)
	m := manifests(revision("a"), "one=1")
	converge(t, j, m)
	check(t, j.Close())
	check(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err := journal.Open(t.Context(), dir, small)
	wantReason(t, err, gitops.JournalFailed, dir, "not writable", "read-only file system")
	_, err = journal.Open(t.Context(), filepath.Join(dir, "new"), small)
	wantReason(t, err, gitops.JournalFailed, dir, "not writable")
}
