// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

// slotFiles are the two slots as they lie on disk, and the size of the larger.
func slotFiles(t *testing.T, dir string) (texts [2]string, largest int) {
	t.Helper()
	for i, name := range []string{"trust.0", "trust.1"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		texts[i], largest = string(text), max(largest, len(text))
	}
	return texts, largest
}

// revoke learns of a revoked key that gives a new journal a slot of a size.
func revoke(t *testing.T, j *journal.Journal, size int) error {
	t.Helper()
	const key = 100
	learn := func(j *journal.Journal, length int) error {
		return j.Learn(t.Context(), "fleet", gitops.Learned{Revoked: []string{strings.Repeat("x", length)}})
	}
	probe := t.TempDir()
	check(t, learn(open(t, probe, small), key))
	_, got := slotFiles(t, probe)
	return learn(j, key+size-got)
}

// filled is a journal that knows as many revoked keys as fit.
func filled(t *testing.T) (dir string, j *journal.Journal) {
	t.Helper()
	const most = journal.MaxSlot - journal.SlotRoom
	dir = t.TempDir()
	j = open(t, dir, small)
	check(t, revoke(t, j, most))
	if _, got := slotFiles(t, dir); got != most {
		t.Fatalf("the slot has %d bytes, want %d", got, most)
	}
	return dir, j
}

// refusedWhole checks that a change was refused because of its size, and that
// neither the journal nor the slots have any of it.
func refusedWhole(t *testing.T, dir string, j *journal.Journal, change func() error) {
	t.Helper()
	before, _ := slotFiles(t, dir)
	was := state(t, j)
	err := change()
	var e *gitops.Error
	if !errors.As(err, &e) || e.Reason != gitops.JournalFailed || !strings.Contains(e.Message, "are the most") || !strings.Contains(e.Remedy, "shorter list") {
		t.Fatalf("err = %v, want one that says what is too large", err)
	}
	if after, _ := slotFiles(t, dir); after != before {
		t.Error("a slot was written")
	}
	if now := state(t, j); !reflect.DeepEqual(now, was) {
		t.Error("the journal has changed")
	}
	check(t, j.Close())
	lose(t, dir)
	if got := state(t, open(t, dir, small)); got.TrustLost || !reflect.DeepEqual(remembered(got), remembered(was)) {
		t.Error("the slots do not hold what the journal held")
	}
}

// A list of revoked keys that the slots could not keep would be lost with the
// journal, and trust with it.
func TestRevokedKeysThatDoNotFitAreRefused(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	refusedWhole(t, dir, j, func() error { return revoke(t, j, journal.MaxSlot-journal.SlotRoom+1) })
	dir, j = filled(t)
	// Everything else that trust moves by has room left.
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{Floor: time.Unix(1_760_000_000, 0), Heartbeat: &gitops.Heartbeat{Sequence: 4, Statement: make([]byte, 1<<20)}}))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a"), Signer: "ada"}, false))
	was := state(t, j)
	check(t, j.Close())
	lose(t, dir)
	if got := state(t, open(t, dir, small)); got.TrustLost || !reflect.DeepEqual(remembered(got), remembered(was)) {
		t.Error("a slot at the bound is not read")
	}
}

// One byte more than what is read of a slot would make it a damaged one.
func TestWhatNoSlotCanHoldIsRefused(t *testing.T) {
	accept := func(j *journal.Journal, signer int) error {
		return j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a"), At: time.Unix(1_760_000_000, 0), Signer: strings.Repeat("s", signer)}, false)
	}
	const probe = 100
	dir, j := filled(t)
	check(t, accept(j, probe))
	_, size := slotFiles(t, dir)
	fits := probe + journal.MaxSlot - size

	dir, j = filled(t)
	refusedWhole(t, dir, j, func() error { return accept(j, fits+1) })

	dir, j = filled(t)
	check(t, accept(j, fits))
	if _, size := slotFiles(t, dir); size != journal.MaxSlot {
		t.Fatalf("the slot has %d bytes", size)
	}
	check(t, j.Suspend(t.Context(), "fleet", &gitops.Suspension{Reason: "a visit"})) // what is not in the slots goes on
	was := state(t, j)
	check(t, j.Close())
	lose(t, dir)
	if got := state(t, open(t, dir, small)); got.TrustLost || !reflect.DeepEqual(remembered(got), remembered(was)) {
		t.Error("a slot of the largest size is not read")
	}
}
