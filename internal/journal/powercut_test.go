// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// acknowledged is how many operations the file system had seen when so many
// steps were acknowledged.
type acknowledged struct{ ops, steps int }

// live runs the script on fs and says when each step was acknowledged.
func (c *crashFS) live(t *testing.T, dir string) []acknowledged {
	t.Helper()
	c.mu.Lock()
	c.ops, c.on = nil, true
	c.mu.Unlock()
	defer func() { c.on = false }()
	life := &clock{}
	j := open(t, dir, life.options().WithVFS("crashfs"))
	acks := []acknowledged{{len(c.ops), 0}}
	for i, s := range script(life) {
		check(t, s.run(t.Context(), j))
		acks = append(acks, acknowledged{len(c.ops), i + 1})
	}
	j.Die()
	return acks
}

// The power is cut after every operation of the file system, and of what was
// not synced nothing, everything, or some survives. The journal then opens, is
// whole, and is what was acknowledged or one step further.
func TestNoPowerCutLosesWhatWasAcknowledged(t *testing.T) {
	prints := expected(t)
	c := recorded()
	dir := memory(t)
	acks := c.live(t, dir)
	replayedAll(t, c, dir)
	random := rand.New(rand.NewPCG(1, 2))
	modes := map[string]func(int) bool{
		"nothing": func(int) bool { return false },
		"all":     func(int) bool { return true },
		"some":    func(int) bool { return random.IntN(2) == 0 },
	}
	stride := 7
	if os.Getenv("EDGEAGENT_POWER_CUTS") == "all" {
		stride = 1
	}
	cuts, parent := 0, memory(t)
	for cut := range len(c.ops) + 1 { // the first of them while it is being made
		done := 0
		atAck := false
		for _, a := range acks {
			if a.ops <= cut {
				done = a.steps
			}
			atAck = atAck || a.ops == cut
		}
		// Right after an acknowledgement is where a loss would show: never skipped.
		if !atAck && cut%stride != 0 {
			continue
		}
		for mode, survives := range modes {
			cuts++
			if !playCut(t, c, cut, dir, parent, survives, prints, done) {
				t.Fatalf("cut after operation %d of %d, %s of the unsynced survives, %d steps were acknowledged", cut, len(c.ops), mode, done)
			}
		}
	}
	t.Logf("%d power cuts in %d operations", cuts, len(c.ops))
	if cuts < 300 {
		t.Errorf("only %d power cuts", cuts)
	}
}

// replayedAll shows that the log holds every write: played back whole, it is the
// file that is there.
func replayedAll(t *testing.T, c *crashFS, dir string) {
	t.Helper()
	copied := memory(t)
	c.cutPower(t, len(c.ops), copied, func(int) bool { return true })
	for _, name := range []string{"journal.db", "journal.db-journal"} {
		want, got := must(os.ReadFile(filepath.Join(dir, name)))(t), must(os.ReadFile(filepath.Join(copied, name)))(t)
		if string(want) != string(got) {
			t.Fatalf("%s was not recorded whole: %d bytes, %d played back", name, len(want), len(got))
		}
	}
}

func playCut(t *testing.T, c *crashFS, cut int, dir, parent string, survives func(int) bool, prints []string, done int) bool {
	t.Helper()
	after := must(os.MkdirTemp(parent, "cut"))(t)
	defer os.RemoveAll(after)
	c.cutPower(t, cut, after, survives)
	key := must(os.ReadFile(filepath.Join(dir, "journal.key")))(t)
	check(t, os.WriteFile(filepath.Join(after, "journal.key"), key, 0o600))
	j := open(t, after, (&clock{}).options())
	defer j.Die()
	var whole string
	check(t, j.Query("PRAGMA integrity_check", &whole))
	got := must(fingerprint(t.Context(), j))(t)
	return whole == "ok" && (got == prints[done] || done+1 < len(prints) && got == prints[done+1])
}

// fail makes a sync fail, and says how often a database was opened so far.
func (c *crashFS) fail(sync int) (opened int, pending bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending = c.failSync > 0
	c.failSync = sync
	return c.opened, pending
}

// A sync that fails may have lost what it was to write: the journal is opened
// again, and shows what the disk really holds.
func TestAfterAFailedSyncTheDiskIsReadAgain(t *testing.T) {
	c := recorded()
	for failing := 1; ; failing++ {
		j := open(t, memory(t), small.WithVFS("crashfs"))
		check(t, j.AllowPrune(t.Context(), "fleet", 1))
		before, _ := c.fail(failing)
		err := j.AllowPrune(t.Context(), "fleet", 2)
		_, pending := c.fail(0)
		if err == nil {
			if !pending || failing < 3 {
				t.Fatalf("sync %d failed and nobody was told", failing)
			}
			return
		}
		wantReason(t, err, gitops.JournalFailed, "check the disk", "read again")
		if got := state(t, j).AllowPrune; got != 1 && got != 2 {
			t.Errorf("permission is %d", got)
		}
		if after, _ := c.fail(0); after != before+1 {
			t.Errorf("the database was opened %d times after sync %d failed", after-before, failing)
		}
		check(t, j.AllowPrune(t.Context(), "fleet", 3))
		if got := state(t, j).AllowPrune; got != 3 {
			t.Errorf("permission is %d", got)
		}
		check(t, j.Close())
	}
}

// What an I/O error leaves behind is looked at before it is used.
func TestAfterAFailedSyncEveryPageIsChecked(t *testing.T) {
	c := recorded()
	dir := memory(t)
	j := open(t, dir, small.WithVFS("crashfs"))
	for i := range 30 {
		converge(t, j, numbered(i))
	}
	var page int
	check(t, j.Query("SELECT max(pageno) FROM dbstat WHERE name = 'attempts' AND pagetype = 'leaf'", &page))
	c.fail(1)
	wantReason(t, j.AllowPrune(t.Context(), "fleet", 2), gitops.JournalFailed)
	c.fail(0)
	f := must(os.OpenFile(filepath.Join(dir, "journal.db"), os.O_RDWR, 0))(t)
	must(f.WriteAt(bytes.Repeat([]byte{0xff}, 4096), int64(page-1)*4096))(t)
	check(t, f.Close())
	_, err := j.NodeName(t.Context())
	wantReason(t, err, gitops.JournalFailed, "corrupt")
	// Closed now, it must not be opened again: the lock is another's.
	check(t, j.Close())
	_, err = j.NodeName(t.Context())
	wantReason(t, err, gitops.JournalFailed, "the journal is closed")
}
