// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pjbgf/sha1cd"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// memory holds commits and the empty tree: for many and for large histories.
type memory map[gitops.Hash][]byte

func (m memory) Object(_ context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	if id == emptyTree {
		return gitops.TreeObject, nil, nil
	}
	raw, ok := m[id]
	if !ok {
		return "", nil, &gitops.Error{Reason: gitops.Incomplete, Message: "object " + string(id) + " is missing"}
	}
	return gitops.CommitObject, raw, nil
}

// commit adds a commit with a committer's time of the caller's choice.
func (m memory) commit(s sign, when int64, parents ...gitops.Hash) gitops.Hash {
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", emptyTree)
	for _, p := range parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author %s 0 +0000\ncommitter %s %d +0000\n\nnumber %d\n", person, person, when, len(m))
	raw := []byte(signText(b.String(), s))
	sum, _ := sha1cd.Sum(fmt.Appendf(nil, "commit %d\x00%s", len(raw), raw))
	id := gitops.Hash(fmt.Sprintf("%x", sum))
	m[id] = raw
	return id
}

// shape is a random history: parents by number, every commit below commit 0.
type shape struct {
	parents [][]int
	when    []int64
	honest  bool // no commit is dated before its parents
}

func randomShape(r *rand.Rand) shape {
	n := 3 + r.IntN(25)
	s := shape{parents: make([][]int, n), when: make([]int64, n)}
	skew, pace := r.IntN(3)*r.IntN(40), 1+r.IntN(3) // often no skew, often several a second
	s.honest = skew == 0
	for i := range n {
		s.when[i] = 1000 + int64(i/pace) + int64(r.IntN(skew+1)) - int64(skew/2)
		for range min(i, 1+r.IntN(3)) {
			p := max(0, i-1-r.IntN(6))
			if !slices.Contains(s.parents[i], p) {
				s.parents[i] = append(s.parents[i], p)
			}
		}
	}
	return s
}

// below is a commit and all its ancestors.
func (s shape) below(tip int) map[int]bool {
	seen := map[int]bool{tip: true}
	for todo := []int{tip}; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		for _, p := range s.parents[next] {
			if !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return seen
}

// build signs the commits that signed tells of.
func (s shape) build(m memory, signed func(int) sign) []gitops.Hash {
	ids := make([]gitops.Hash, len(s.parents))
	for i := range ids {
		var parents []gitops.Hash
		for _, p := range s.parents[i] {
			parents = append(parents, ids[p])
		}
		ids[i] = m.commit(signed(i), s.when[i], parents...)
	}
	return ids
}

// In random histories, with dates that often lie, exactly those commits are
// judged that the accepted commit does not have: only they are signed, and the
// head is accepted; one of them is not, and it is refused by its name.
func TestRandomHistories(t *testing.T) {
	w := newWorld(t)
	hasty, deep := 0, 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := randomShape(r)
		tip := len(s.parents) - 1
		above := s.below(tip)
		ancestors := sorted(above)
		accepted := ancestors[r.IntN(len(ancestors)-1)]
		for i := range s.below(accepted) {
			delete(above, i)
		}
		fresh := sorted(above)
		blank := fresh[r.IntN(len(fresh))]
		for _, broken := range []bool{false, true} {
			m := memory{}
			ids := s.build(m, func(i int) sign {
				if !above[i] || broken && i == blank {
					return nil
				}
				return w.ann.sign
			})
			cfg := w.config()
			cfg.Introduction = string(ids[0])
			v, err := verify.New(cfg, m)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(t.Context(), onMain(ids[tip]), ids[accepted])
			if e, ok := errors.AsType[*gitops.Error](err); broken && (!ok || e.Reason != gitops.Unsigned || e.Commit != ids[blank]) || !broken && err != nil {
				t.Fatalf("seed %d, broken %v: %v (want commit %s)\n%+v", seed, broken, err, ids[blank].Short(), s)
			}
			if seed%4 == 0 && !broken { // Explain tells of the same commits
				decisions, err := v.Explain(t.Context(), onMain(ids[tip]), ids[accepted])
				if err != nil || slices.ContainsFunc(decisions, func(d gitops.Decision) bool { return !d.Trusted }) {
					t.Fatalf("seed %d: Explain: %+v, %v", seed, decisions, err)
				}
			}
			quick, exact, err := verify.Between(t.Context(), m, ids[tip], []gitops.Hash{ids[accepted], ids[0]})
			if err != nil {
				t.Fatal(err)
			}
			if len(exact) != len(fresh) {
				t.Fatalf("seed %d: %d commits are fresh, want %d", seed, len(exact), len(fresh))
			}
			if len(quick) > len(exact) {
				if hasty++; s.honest {
					t.Fatalf("seed %d: the walk stopped too early although no date lies", seed)
				}
			}
			if len(exact) > 0 && exact[len(exact)-1] != ids[tip] {
				t.Fatalf("seed %d: the head does not come last", seed)
			}
		}
		if accepted > 0 {
			deep++
		}
	}
	if hasty == 0 || deep == 0 {
		t.Errorf("%d walks had to be settled, %d had history below the accepted commit: the test shows nothing", hasty, deep)
	}
}

func sorted(set map[int]bool) []int {
	var out []int
	for i := range set {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// counted tells how many objects were read.
type counted struct {
	memory
	reads *int
}

func (c counted) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	*c.reads++
	return c.memory.Object(ctx, id)
}

// A node that follows its source reads what is new, not what was.
func TestSteadyStateReadsOnlyWhatIsNew(t *testing.T) {
	w := newWorld(t)
	m, reads := memory{}, 0
	root := m.commit(nil, 0)
	tip, fork := root, root
	for i := range 500 {
		if tip = m.commit(w.ann.sign, int64(i), tip); i == 490 {
			fork = tip
		}
	}
	cfg := w.config()
	cfg.Introduction = string(root)
	v, err := verify.New(cfg, counted{m, &reads})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), onMain(tip), ""); err != nil {
		t.Fatal(err)
	}
	next := m.commit(w.ann.sign, 500, tip)
	merge := m.commit(w.ann.sign, 502, next, m.commit(w.ann.sign, 501, fork))
	for _, c := range []struct {
		what           string
		head, accepted gitops.Hash
		most           int
	}{
		{"nothing new", tip, tip, 12},
		{"one commit", next, tip, 12},
		{"a merge of a branch from ten commits back", merge, next, 30},
	} {
		reads = 0
		if _, err := v.Verify(t.Context(), onMain(c.head), c.accepted); err != nil {
			t.Fatal(err)
		}
		if reads > c.most {
			t.Errorf("%s: %d objects were read, more than %d", c.what, reads, c.most)
		}
	}
	// A process that starts proves once that what is accepted descends from
	// the introduction.
	v, err = verify.New(cfg, counted{m, &reads})
	if err != nil {
		t.Fatal(err)
	}
	for _, most := range []int{600, 12} {
		reads = 0
		if _, err := v.Verify(t.Context(), onMain(tip), tip); err != nil {
			t.Fatal(err)
		}
		if reads > most {
			t.Errorf("after the start %d objects were read, more than %d", reads, most)
		}
	}
}

// A head far ahead whose dates lie runs into the limit before it meets the
// accepted commit; it is told apart from an older head.
func TestOlderHeadIsARollbackHoweverItIsDated(t *testing.T) {
	w := newWorld(t)
	m := memory{}
	root := m.commit(nil, 0)
	tip := root
	for range 20 {
		tip = m.commit(w.ann.sign, 2000, tip)
	}
	accepted := m.commit(w.ann.sign, 10, tip) // dated before all that it builds on
	cfg := w.config()
	cfg.Introduction, cfg.MaxCommits = string(root), 5
	v, err := verify.New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), onMain(tip), accepted); gitops.ReasonOf(err) != gitops.RolledBack {
		t.Errorf("older head: %v", err)
	}
	ahead := accepted
	for range 6 {
		ahead = m.commit(w.ann.sign, 3000, ahead)
	}
	if _, err := v.Verify(t.Context(), onMain(ahead), accepted); gitops.ReasonOf(err) != gitops.TooManyCommits {
		t.Errorf("head too far ahead: %v", err)
	}
	// Which of them it is, is no guess.
	for want, head := range map[gitops.Reason]gitops.Hash{gitops.RolledBack: tip, gitops.TooManyCommits: ahead} {
		failEachRead(t, m, cfg, 5, func(v *verify.Verifier) (bool, error) {
			got, err := v.Verify(t.Context(), onMain(head), accepted)
			if gitops.ReasonOf(err) == want {
				err = nil
			}
			return got.Valid(), err
		})
	}
}

// However long the history below what is accepted, and however it is dated,
// only so much of it is read.
func TestHistoryBelowIsReadWithinBounds(t *testing.T) {
	w := newWorld(t)
	m, reads := memory{}, 0
	root := m.commit(nil, 5000)
	tip := root
	for range 500 {
		tip = m.commit(w.ann.sign, 5000, tip)
	}
	head := m.commit(w.ann.sign, 1, tip)
	cfg := w.config()
	cfg.Introduction, cfg.MaxCommits = string(tip), 10
	v, err := verify.New(cfg, counted{m, &reads})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), onMain(head), ""); err != nil {
		t.Fatal(err)
	}
	if reads > 56 { // five times ten below, and six that are read whatever lies there
		t.Errorf("%d commits were read for one that is new", reads)
	}
	// What is new is judged all the same, whatever its date.
	unsigned := m.commit(nil, 1, tip)
	if _, err := v.Verify(t.Context(), onMain(m.commit(w.ann.sign, 1, head, unsigned)), head); gitops.ReasonOf(err) != gitops.Unsigned {
		t.Errorf("an unsigned branch dated before all others: %v", err)
	}
}

// What lies below is not judged: not even its form.
func TestMalformedHistoryBelowIsNotJudged(t *testing.T) {
	w := newWorld(t)
	m := memory{}
	ancient := m.commit(nil, 1, "what", gitops.Hash(strings.Repeat("A", 40)))
	main, side := m.commit(nil, 2, ancient), m.commit(w.ann.sign, 3, ancient)
	cfg := w.config()
	cfg.Introduction = string(main)
	v, err := verify.New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), onMain(m.commit(w.ann.sign, 4, main, side)), ""); err != nil {
		t.Error(err)
	}
}

func BenchmarkVerifyHistory(b *testing.B) {
	ann := ed25519Key()
	m := memory{}
	root := m.commit(nil, 0)
	tip := root
	for i := range 1000 {
		tip = m.commit(ann.sign, int64(i), tip)
	}
	path := b.TempDir() + "/allowed_signers"
	writeFile(b, path, "ann@example.com "+ann.line()+"\n")
	v, err := verify.New(verify.Config{Source: "fleet", Mode: verify.ModeHistory, Introduction: string(root), AllowedSigners: path, Now: time.Now}, m)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), onMain(tip), ""); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
