// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

// trusting is a node that has something to lose.
func trusting(t *testing.T) (dir string, was gitops.SourceState) {
	t.Helper()
	dir = t.TempDir()
	j, err := journal.Open(t.Context(), dir, small)
	check(t, err)
	check(t, j.SetNodeName(t.Context(), "store-1"))
	check(t, j.PinIntroduction(t.Context(), "fleet", revision("a").Hash()))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a"), Signer: "ada", TrustVersion: 3, RefBinding: "tag"}, false))
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{
		Revoked: []string{"SHA256:x"}, Floor: time.Unix(1_760_000_000, 0), Heartbeat: &gitops.Heartbeat{Sequence: 4},
	}))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("b"), Signer: "ada", TrustVersion: 3, RefBinding: "tag"}, false))
	check(t, j.SetHold(t.Context(), "fleet", &gitops.Hold{Revision: revision("a"), HeldBack: revision("b"), By: "uid 0"}))
	was = state(t, j)
	check(t, j.Close())
	return dir, was
}

// lose removes the journal, and damages slots.
func lose(t *testing.T, dir string, slots ...string) {
	t.Helper()
	for _, name := range []string{"journal.db", "journal.db-journal"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for _, name := range slots {
		path := filepath.Join(dir, name)
		text := must(os.ReadFile(path))(t)
		text[len(text)/2] ^= 1
		check(t, os.WriteFile(path, text, 0o600))
	}
}

func remembered(s gitops.SourceState) []any {
	return []any{s.Accepted, s.Hold, s.Introduction, s.Learned, s.TrustLost}
}

func TestALostJournalIsRememberedByTheSlots(t *testing.T) {
	dir, was := trusting(t)
	lose(t, dir)
	j := open(t, dir, small)
	if got := state(t, j); !reflect.DeepEqual(remembered(got), remembered(was)) {
		t.Errorf("after the loss %+v\nbefore it  %+v", got, was)
	}
	if name := must(j.NodeName(t.Context()))(t); name != "store-1" {
		t.Errorf("node %q", name)
	}
}

// A cut while one slot was written leaves the other, which is one step older.
func TestOneSlotIsEnough(t *testing.T) {
	for _, damaged := range []string{"trust.0", "trust.1"} {
		dir, was := trusting(t)
		lose(t, dir, damaged)
		got := state(t, open(t, dir, small))
		if got.TrustLost || got.Accepted == nil || got.Accepted.Revision != was.Accepted.Revision || !slices.Equal(got.Learned.Revoked, was.Learned.Revoked) {
			t.Errorf("without %s: %+v", damaged, got)
		}
	}
}

func TestWithoutSlotsTrustIsLostUntilSomethingIsAccepted(t *testing.T) {
	dir, _ := trusting(t)
	lose(t, dir, "trust.0", "trust.1")
	j, err := journal.Open(t.Context(), dir, small)
	check(t, err)
	if got := state(t, j); !got.TrustLost || got.Accepted != nil {
		t.Errorf("%+v, want it lost", got)
	}
	check(t, j.Configure(t.Context(), "fleet", "orphan"))
	check(t, j.Configure(t.Context(), "base", "orphan"))
	check(t, j.Close())
	lose(t, dir) // once more: that it was lost is remembered, too
	j = open(t, dir, small)
	if !state(t, j).TrustLost {
		t.Error("a second loss is taken for a beginning")
	}
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("c")}, false))
	if state(t, j).TrustLost || !must(j.State(t.Context(), "base"))(t).TrustLost {
		t.Error("what was accepted for one source is not accepted for the other")
	}
	check(t, j.Accept(t.Context(), "base", gitops.At{Revision: revision("c")}, false))
	if must(j.State(t.Context(), "later"))(t).TrustLost {
		t.Error("a source that comes later was never there before")
	}
}

func TestAFreshNodeHasLostNothing(t *testing.T) {
	if j := open(t, t.TempDir(), small); state(t, j).TrustLost {
		t.Error("lost at the first start")
	}
}

// A journal that is moved aside was there, whatever became of the slots.
func TestARebuiltJournalWithoutSlotsHasLostTrust(t *testing.T) {
	for _, slots := range []bool{true, false} {
		dir, was := trusting(t)
		check(t, os.WriteFile(filepath.Join(dir, "journal.db"), []byte("this is no database, whatever it was"), 0o600))
		if !slots {
			check(t, os.Remove(filepath.Join(dir, "trust.0")))
			check(t, os.Remove(filepath.Join(dir, "trust.1")))
		}
		rebuild := small
		rebuild.Rebuild = true
		got := state(t, open(t, dir, rebuild))
		if got.TrustLost == slots || slots && got.Accepted.Revision != was.Accepted.Revision {
			t.Errorf("with slots %t: %+v", slots, got)
		}
	}
}

// The cluster knows of a state that the node does not.
func TestTrustCanBeLostForOneSource(t *testing.T) {
	j := open(t, memory(t), small)
	check(t, j.LoseTrust(t.Context(), "fleet"))
	check(t, j.LoseTrust(t.Context(), "fleet"))
	if !state(t, j).TrustLost || must(j.State(t.Context(), "base"))(t).TrustLost {
		t.Error("it is lost for fleet alone")
	}
	check(t, j.Configure(t.Context(), "fleet", "orphan"))
	check(t, j.Remove(t.Context(), "fleet"))
	if state(t, j).TrustLost {
		t.Error("still lost after root forgot the source")
	}
	check(t, j.LoseTrust(t.Context(), "fleet"))
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("a")}, false))
	if state(t, j).TrustLost {
		t.Error("still lost after root's accept")
	}
}

// What does not concern trust writes no slot, and neither does a start.
func TestSlotsAreWrittenOnlyWhenTrustMoves(t *testing.T) {
	dir, _ := trusting(t)
	look := func() []string {
		var out []string
		for _, name := range []string{"trust.0", "trust.1"} {
			out = append(out, string(must(os.ReadFile(filepath.Join(dir, name)))(t)))
		}
		return out
	}
	before := look()
	j := open(t, dir, small)
	check(t, j.SetClusterUID(t.Context(), "fleet", "uid"))
	check(t, j.Suspend(t.Context(), "fleet", &gitops.Suspension{Reason: "a visit"}))
	if !slices.Equal(before, look()) {
		t.Error("a slot was written")
	}
	sequence := func(text string) (n int) {
		_, err := fmt.Sscanf(text, "{\n \"sequence\": %d", &n)
		check(t, err)
		return n
	}
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("c")}, false))
	newest := 0
	if sequence(before[1]) > sequence(before[0]) {
		newest = 1
	}
	if now := look(); now[newest] != before[newest] || now[1-newest] == before[1-newest] {
		t.Error("the first write of a process is not over the older slot: a cut would leave neither")
	}
	check(t, j.Accept(t.Context(), "fleet", gitops.At{Revision: revision("d")}, false))
	after := look()
	if before[0] == after[0] || before[1] == after[1] {
		t.Error("the slots do not take turns")
	}
}
