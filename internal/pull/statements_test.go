// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// state makes an annotated tag under a ref, as a signed statement is one.
func (r *repo) state(ref string, object gitops.Hash) {
	name := strings.TrimPrefix(ref, "refs/")
	r.git(r.bare, "tag", "-a", "-m", "x", name, string(object))
	r.git(r.bare, "update-ref", ref, "refs/tags/"+name)
	r.git(r.bare, "tag", "-d", name)
}

func carrying(t *testing.T, r *repo, store *objects.Store, start gitops.Hash) *pull.Source {
	cfg := config(r.serve().URL)
	cfg.Introduction = string(start)
	cfg.Carry, cfg.CarryNew = []string{"refs/edgeagent/revocations/"}, []string{"refs/edgeagent/approvals/"}
	return newSource(t, cfg, store)
}

func carried(t *testing.T, store *objects.Store) []string {
	t.Helper()
	refs, err := store.Carried(t.Context(), "fleet")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		out = append(out, strings.TrimPrefix(name, "refs/edgeagent/"))
	}
	return out
}

// A statement comes with the list that it names, and without the tree of the
// commit that it is about.
func TestStatementsComeWithoutTheTreesOfCommits(t *testing.T) {
	r, first, head := fleet(t, 6, 5)
	list := gitops.Hash(r.git(r.bare, "hash-object", "-w", "--stdin"))
	r.state("refs/edgeagent/approvals/"+string(head)+"/alice", head)
	r.state("refs/edgeagent/revocations/1/alice", list)
	store := openStore(t, objects.Options{})
	s := carrying(t, r, store, first)
	c := mustPoll(t, s)
	if got := carried(t, store); len(got) != 2 {
		t.Fatalf("carried %v", got)
	}
	if here, err := store.Has(t.Context(), list); err != nil || !here {
		t.Errorf("the list is here: %v, %v", here, err)
	}
	if lost, err := store.Below(t.Context(), []gitops.Hash{head}, 1); err != nil || len(lost) == 0 {
		t.Error("the whole tree of the approved commit came along")
	}
	// A neighbour gets them with an export.
	there := openStore(t, objects.Options{})
	neighbour := isolated(t, first, there)
	mustImport(t, neighbour, export(t, s, c.Revision))
	if got := carried(t, there); len(got) != 2 {
		t.Errorf("the neighbour carries %v", got)
	}
}

// Approvals of the past make a long list: while the head is settled nobody asks
// for it, and what is about a commit in use stays whatever the host does.
func TestApprovalsAreAskedForWhileTheHeadIsNotSettled(t *testing.T) {
	r, first, head := fleet(t, 3, 3)
	mine := "approvals/" + string(head) + "/alice"
	r.state("refs/edgeagent/"+mine, head)
	r.state("refs/edgeagent/approvals/"+string(first)+"/alice", first)
	store := openStore(t, objects.Options{})
	s := carrying(t, r, store, first)
	mustPoll(t, s)
	poll := func(settled bool) {
		t.Helper()
		if _, err := s.Commits(t.Context(), gitops.PollRequest{Known: []gitops.Hash{head}, Settled: settled}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{mine, "approvals/" + string(first) + "/alice"} {
		r.git(r.bare, "update-ref", "-d", "refs/edgeagent/"+name)
	}
	later := "approvals/" + string(head) + "/bob"
	r.state("refs/edgeagent/"+later, head)
	r.state("refs/edgeagent/revocations/1/alice", head)
	before := s.Link().Poll
	poll(true)
	if got, want := carried(t, store), []string{mine, "approvals/" + string(first) + "/alice", "revocations/1/alice"}; !slices.Equal(got, sorted(want)) {
		t.Errorf("carried %v, want %v", got, sorted(want))
	}
	settled := s.Link().Poll
	poll(false)
	if got, want := carried(t, store), []string{mine, later, "revocations/1/alice"}; !slices.Equal(got, sorted(want)) {
		t.Errorf("carried %v, want %v", got, sorted(want))
	}
	if asked := s.Link().Poll; asked.In <= settled.In {
		t.Errorf("a settled poll cost %d bytes, one that asks for approvals %d (the first: %d)", settled.In, asked.In, before.In)
	}
	// A new head is never settled.
	r.write("clusters/n0001/b.yaml", "next\n")
	next := r.commit("next")
	r.state("refs/edgeagent/approvals/"+string(next)+"/bob", next)
	poll(true)
	if got := carried(t, store); !slices.Contains(got, "approvals/"+string(next)+"/bob") {
		t.Errorf("carried %v", got)
	}
}

func sorted(list []string) []string { slices.Sort(list); return list }

// Where no statement counts, a poll does not pay for asking; what was carried
// stays, and a new head is asked about as ever.
func TestStatementsThatDoNotCountAreAskedForWithANewHeadOnly(t *testing.T) {
	r, first, head := fleet(t, 3, 3)
	r.state("refs/edgeagent/revocations/1/alice", first)
	store := openStore(t, objects.Options{})
	s := carrying(t, r, store, first)
	mustPoll(t, s)
	poll := func(unstated bool) gitops.LinkBytes {
		t.Helper()
		request := gitops.PollRequest{Known: []gitops.Hash{head}, Settled: true, Unstated: unstated}
		if _, err := s.Commits(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		return s.Link().Poll
	}
	r.state("refs/edgeagent/revocations/2/alice", first)
	quiet := poll(true)
	if got, want := carried(t, store), []string{"revocations/1/alice"}; !slices.Equal(got, want) {
		t.Errorf("carried %v, want %v", got, want)
	}
	if asking := poll(false); asking.Out <= quiet.Out || asking.In <= quiet.In {
		t.Errorf("a poll that asks for statements cost %+v, one that does not %+v", asking, quiet)
	}
	r.state("refs/edgeagent/revocations/3/alice", first)
	r.write("clusters/n0001/b.yaml", "next\n")
	r.commit("next")
	poll(true)
	if got := carried(t, store); len(got) != 3 {
		t.Errorf("carried %v with a new head", got)
	}
}

// A ref that is no statement is left out: it stops neither the head nor the
// statements beside it.
func TestStatementThatCannotBeReadStopsNothing(t *testing.T) {
	r, first, _ := fleet(t, 3, 3)
	r.state("refs/edgeagent/revocations/1/alice", first)
	// Git reads an id in capitals, and the store does not.
	text := "object " + strings.ToUpper(string(first)) + "\ntype commit\ntag junk\ntagger a <a@example.com> 1 +0000\n\nx\n"
	file := filepath.Join(t.TempDir(), "tag")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	junk := r.git(r.bare, "hash-object", "-t", "tag", "--literally", "-w", file)
	r.git(r.bare, "update-ref", "refs/edgeagent/revocations/0/mallory", junk)
	store := openStore(t, objects.Options{})
	s := carrying(t, r, store, first)
	for range 2 { // what is junk is not asked for again
		mustPoll(t, s)
		if got, want := carried(t, store), []string{"revocations/1/alice"}; !slices.Equal(got, want) {
			t.Errorf("carried %v, want %v", got, want)
		}
	}
	if quiet := s.Link().Poll; quiet.Out > 700 {
		t.Errorf("a poll cost %+v", quiet)
	}
}
