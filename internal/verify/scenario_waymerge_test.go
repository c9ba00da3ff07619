// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Whoever merges chooses the order of the parents, and by it what a merge is
// compared with: the line that nodes run is followed wherever it is put.
func TestMergesOnTheWay(t *testing.T) {
	t.Run("a branch, merged into the line", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil})
		runs := c.head()
		topic := c.add(made{"erin", "new", []string{"alice"}}, c.root)
		c.add(made{"dan", "new", nil}, runs, topic)
		for _, since := range []int{0, 1, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != "" {
				t.Errorf("since %d: the branch is approved, and blamed %s", since, got)
			}
		}
		evil := c.add(made{"dan", "evil", nil}, runs, topic)
		if got := c.refused(c.release(c.plan(1), nil)); got != evil {
			t.Errorf("the merge makes something else: blamed %s, want %s", got, evil)
		}
	})
	t.Run("an unapproved branch", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil})
		runs := c.head()
		topic := c.add(made{"erin", "evil", nil}, c.root)
		tip := c.add(made{"erin", "evil", nil}, topic)
		merge := c.add(made{"dan", "evil", nil}, runs, tip)
		for _, since := range []int{0, 1, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != topic {
				t.Errorf("since %d: blamed %s, want %s", since, got, topic)
			}
		}
		c.approve("bob", merge, runs)
		if err := c.release(c.plan(1), nil); err != nil {
			t.Errorf("the merge is approved: %v", err)
		}
	})
	t.Run("different things were approved on two lines", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "one", nil})
		one := c.head()
		two := c.add(made{"alice", "two", nil}, c.root)
		merge := c.add(made{"dan", "two", nil}, one, two)
		for _, since := range []int{0, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != merge {
				t.Errorf("since %d: blamed %s, want %s", since, got, merge)
			}
		}
		above := c.add(made{"dan", "two", nil}, merge)
		if got := c.refused(c.release(c.plan(0), nil)); got != merge {
			t.Errorf("above it: blamed %s, want %s", got, merge)
		}
		c.add(made{"dan", "two", nil}, above, one)
		if got := c.refused(c.release(c.plan(0), nil)); got != merge {
			t.Errorf("merged again: blamed %s, want %s", got, merge)
		}
		c.add(made{"dan", "two", nil}, one, above)
		if got := c.refused(c.release(c.plan(0), nil)); got != merge {
			t.Errorf("merged again, the other way round: blamed %s, want %s", got, merge)
		}
		c.approve("bob", merge, one)
		if err := c.release(c.plan(0), nil); err != nil {
			t.Errorf("the merge is approved: %v", err)
		}
		first := c.add(made{"dan", "one", nil}, one, two)
		if got := c.refused(c.release(c.plan(0), nil)); got != first {
			t.Errorf("for the first one: blamed %s, want %s", got, first)
		}
		c.approve("bob", first, one)
		if err := c.release(c.plan(0), nil); err != nil {
			t.Errorf("for the first one, approved: %v", err)
		}
	})
	t.Run("the same was approved on two lines", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "new", nil})
		one := c.head()
		two := c.add(made{"alice", "new", nil}, c.root)
		c.add(made{"dan", "new", nil}, one, two)
		if err := c.release(c.plan(0), nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("a root merges, and sees no difference", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "weak", nil}, made{"alice", "hard", nil})
		hard := c.head()
		topic := c.add(made{"dan", "weak", nil}, c.ids[1])
		merge := c.add(made{"alice", "weak", []string{"bob"}}, topic, hard)
		for _, since := range []int{0, -1} {
			err := c.release(c.plan(since), nil)
			if got := c.refused(err); got != merge || !strings.Contains(err.Error(), "undoes what was approved") {
				t.Errorf("since %d: blamed %s, want %s: %v", since, got, merge, err)
			}
		}
		if err := c.release(c.plan(2), nil); c.refused(err) != merge {
			t.Errorf("on a node that runs it: %v", err)
		}
		other := c.add(made{"alice", "other", nil}, topic, hard)
		if got := c.refused(c.release(c.plan(0), nil)); got != "" {
			t.Errorf("with a difference that everybody sees, in %s: blamed %s", other, got)
		}
	})
	t.Run("pulled", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil}, made{"alice", "new", nil})
		main := c.head()
		own := c.add(made{"dan", "", nil}, c.ids[1])
		c.add(made{"dan", "new", nil}, own, main)
		for _, since := range []int{0, 1, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != "" {
				t.Errorf("since %d: blamed %s", since, got)
			}
		}
	})
	t.Run("what runs comes in from the side", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil})
		runs := c.head()
		topic := c.add(made{"dan", "evil", nil}, c.root)
		merge := c.add(made{"alice", "evil", []string{"bob"}}, topic, runs)
		if got := c.refused(c.release(c.plan(1), nil)); got != topic {
			t.Errorf("blamed %s, want %s", got, topic)
		}
		back := c.add(made{"erin", "", nil}, merge)
		c.add(made{"erin", "new", []string{"bob"}}, back)
		if err := c.release(c.plan(1), nil); err != nil {
			t.Errorf("taken back, and approved: %v", err)
		}
	})
	t.Run("what runs comes in from the side, and nothing changes", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "new", nil}, made{"dan", "new", nil})
		topic := c.add(made{"dan", "", nil}, c.root)
		c.add(made{"dan", "new", nil}, topic, c.ids[2])
		if err := c.release(c.plan(2), nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("an old line undoes what was approved since", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "weak", nil}, made{"alice", "hard", nil})
		topic := c.add(made{"dan", "weak", nil}, c.ids[1])
		merge := c.add(made{"dan", "weak", nil}, topic, c.ids[2])
		if got := c.refused(c.release(c.plan(2), nil)); got != merge {
			t.Errorf("blamed %s, want %s", got, merge)
		}
	})
	t.Run("a line from before anything was protected", func(t *testing.T) {
		w := newInband(t)
		text := w.base[trustYAML]
		w.base[trustYAML] = strings.Replace(text, protectsRoles, "", 1)
		w.root = w.commitOf(nil, w.base, "")
		c := newCourse(w)
		topic := c.add(made{"dan", "evil", nil}, c.root)
		w.base[trustYAML] = strings.Replace(text, "version: 1", "version: 2", 1)
		runs := c.add(made{"alice", "", nil}, c.root)
		merge := c.add(made{"dan", "evil", nil}, topic, runs)
		for _, since := range []int{2, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != topic {
				t.Errorf("since %d: blamed %s, want %s of %s", since, got, topic, merge)
			}
		}
	})
	t.Run("a line from before trust began", func(t *testing.T) {
		w := newInband(t)
		older := w.commitOf(nil, w.base.with(files{trustYAML: ""}), "")
		w.root = w.commitOf(nil, w.base, "", older)
		c := newCourse(w, made{"dan", "", nil})
		c.wants[older] = "evil"
		topic := c.add(made{"dan", "evil", nil}, older)
		merge := c.add(made{"dan", "evil", nil}, topic, c.ids[1])
		for _, since := range []int{1, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != merge {
				t.Errorf("since %d: blamed %s, want %s", since, got, merge)
			}
		}
	})
	t.Run("sealed on a line beside what runs", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil})
		runs := c.head()
		topic := c.add(made{"dan", "evil", nil}, c.root)
		for _, name := range []string{"alice", "bob"} {
			c.state(name, verify.SealRef(topic, name), topic, gitops.CommitObject, verify.SealMessage(c.root, topic, now))
		}
		merge := c.add(made{"dan", "evil", nil}, topic, runs)
		if got := c.refused(c.release(c.plan(1), nil)); got != merge {
			t.Errorf("blamed %s, want %s", got, merge)
		}
	})
	t.Run("two commits are sealed", func(t *testing.T) {
		// Whichever is found first.
		for order := map[bool]bool{}; len(order) < 2; {
			c := newCourse(newInband(t), made{"dan", "evil", nil}, made{"dan", "more evil", nil}, made{"dan", "more evil", nil})
			order[c.ids[1] < c.ids[2]] = true
			for _, sealed := range c.ids[1:3] {
				for _, name := range []string{"alice", "bob"} {
					c.state(name, verify.SealRef(sealed, name), sealed, gitops.CommitObject, verify.SealMessage(c.root, sealed, now))
				}
			}
			if err := c.release(c.plan(0), nil); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a line that begins anew", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil})
		anew := c.commitOf(c.keys["dan"].sign, c.base.with(files{"x": "anew\n"}), "")
		c.wants[anew] = "evil"
		c.approve("alice", anew, "")
		c.add(made{"dan", "evil", nil}, anew, c.ids[1])
		for _, since := range []int{1, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != anew {
				t.Errorf("since %d: blamed %s, want %s", since, got, anew)
			}
		}
	})
	t.Run("a head of another repository", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil})
		other := c.commitOf(nil, c.base.with(files{"x": "another\n"}), "")
		c.add(made{"dan", "evil", []string{"alice"}}, other)
		if err := c.release(c.plan(1), nil); gitops.ReasonOf(err) != gitops.NotDescendant {
			t.Errorf("%v", err)
		}
	})
}

const protectsRoles = "- {kinds: [ClusterRole.rbac.authorization.k8s.io], approvals: 1, by: [root]}\n"

// What is not protected any more needs nothing, whatever was brought before.
func TestProtectionThatWasTakenAway(t *testing.T) {
	w := newInband(t)
	c := newCourse(w, made{"dan", "evil", nil})
	w.base[trustYAML] = strings.Replace(w.trust(2, ""), protectsRoles, "", 1)
	free := c.add(made{"alice", "evil", nil}, c.head())
	if got := c.refused(c.release(c.plan(0), nil)); got != c.ids[1] {
		t.Errorf("by the file that protects: blamed %s, want %s", got, c.ids[1])
	}
	c.add(made{"dan", "evil", nil}, free)
	c.rendered = 0
	p := c.plan(0)
	p.Runs = contentOf("something else")
	if err := c.release(p, nil); err != nil || c.rendered > 0 {
		t.Errorf("%v, %d rendered", err, c.rendered)
	}
}

// A trust file that protects nothing, and none at all, let everything pass; a
// node's own roots do not protect what a repository forces.
func TestReleaseWithoutProtections(t *testing.T) {
	w := newWorld(t)
	head := w.commit(w.ann.sign, w.root)
	cfg := w.config()
	cfg.Roots, cfg.RootThreshold = w.file("roots", "ann@example.com "+w.ann.line()+"\nben@example.com "+w.ben.line()+"\n"), 2
	v, err := verify.New(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := makes(t, v, w.root, head, true, role); err != nil {
		t.Errorf("without a trust file: %v", err)
	}
	away := errors.New("it is away")
	cfg.Carried = func(context.Context) (map[string]gitops.Hash, error) { return nil, away }
	if v, err = verify.New(cfg, w); err != nil {
		t.Fatal(err)
	}
	if err := makes(t, v, w.root, head, false); err != nil {
		t.Errorf("nothing is changed, and something is read: %v", err)
	}
	if err := makes(t, v, w.root, head, false, role); !errors.Is(err, away) {
		t.Errorf("revocations cannot be read: %v", err)
	}
	cfg.Mode, cfg.Insecure = verify.ModeNone, true
	if v, err = verify.New(cfg, w); err != nil {
		t.Fatal(err)
	}
	if err := makes(t, v, w.root, head, true, role); err != nil {
		t.Errorf("mode none: %v", err)
	}
	odd := onMain(w.commitOf(nil, files{trustYAML: "nonsense: true\n"}, "", head))
	if got, err := v.Verify(t.Context(), odd, head); err != nil || got.TrustVersion() != 0 {
		t.Errorf("mode none reads no trust file: %v", err)
	}
}

// A revocation that cannot be read may be of the key that approved.
func TestReleaseWithoutARevocation(t *testing.T) {
	c := newCourse(newInband(t), made{"dan", "new", []string{"alice"}})
	blob := c.put(gitops.BlobObject, []byte(c.keys["alice"].fingerprint()+"\n"))
	for _, name := range []string{"bob", "carol"} {
		c.state(name, verify.RevocationRef(1, name), blob, gitops.BlobObject, verify.RevocationMessage(c.root, 1, blob))
	}
	if got := c.refused(c.release(c.plan(0), nil)); got != c.head() {
		t.Errorf("blamed %s, want %s", got, c.head())
	}
	c.remove(blob)
	v, err := verify.New(c.config(), c)
	if err != nil {
		t.Fatal(err)
	}
	missing, err := v.Release(t.Context(), c.plan(0))
	if err == nil || len(missing) != 1 || missing[0].ID != blob {
		t.Errorf("missing %v, %v", missing, err)
	}
}

// Whatever cannot be read or rendered, nothing is released by that, and nobody is
// blamed for it.
func TestReleaseWithReadsThatFail(t *testing.T) {
	c := newCourse(newInband(t), made{"alice", "old", nil}, made{"dan", "evil", nil}, made{"dan", "old", nil}, made{"dan", "new", []string{"bob"}}, made{"dan", "new", nil})
	topic := c.add(made{"erin", "other", nil}, c.ids[4])
	c.add(made{"dan", "other", nil}, c.ids[5], topic)
	lines := newCourse(newInband(t), made{"alice", "one", nil}, made{"dan", "one", nil})
	for _, name := range []string{"alice", "bob"} {
		lines.state(name, verify.SealRef(lines.ids[1], name), lines.ids[1], gitops.CommitObject, verify.SealMessage(lines.root, lines.ids[1], now))
	}
	own := lines.add(made{"dan", "one", nil}, lines.ids[1])
	two := lines.add(made{"alice", "two", nil}, lines.ids[1])
	merge := lines.add(made{"alice", "one", nil}, own, lines.ids[2], two)
	label := c.plan(1)
	label.Runs = verify.Content{}
	for name, s := range map[string]struct {
		*course
		plan   verify.Plan
		blamed gitops.Hash
	}{
		"a branch":      {c, c.plan(1), topic},
		"another label": {c, label, topic},
		"three lines":   {lines, lines.plan(0), merge},
	} {
		away := &gitops.Error{Reason: gitops.StoreFailed, Message: "the disk is away"}
		for n := 0; ; n++ {
			left := n
			fails := func() error {
				if left--; left == -1 {
					return away
				}
				return nil
			}
			v, err := verify.New(s.config(), unsteady{s, fails})
			if err != nil {
				t.Fatal(err)
			}
			p := s.plan
			p.Content = func(ctx context.Context, commit verify.Commit) (verify.Content, error) {
				if err := fails(); err != nil {
					return nil, err
				}
				return s.plan.Content(ctx, commit)
			}
			_, err = v.Release(t.Context(), p)
			if left >= 0 {
				if got := s.refused(err); got != s.blamed {
					t.Errorf("%s: all read: blamed %q, want %s: %v", name, got, s.blamed, err)
				}
				break
			}
			if gitops.ReasonOf(err) != gitops.StoreFailed {
				t.Errorf("%s: read or render %d fails: %v", name, n, err)
			}
		}
	}
}

// unsteady is a store whose reads may fail.
type unsteady struct {
	verify.Objects
	fails func() error
}

func (f unsteady) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	if err := f.fails(); err != nil {
		return "", nil, err
	}
	return f.Objects.Object(ctx, id)
}
