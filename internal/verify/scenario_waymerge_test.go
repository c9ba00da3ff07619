// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
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
		err := c.release(c.plan(1), nil)
		if got := c.refused(err); got != evil || !strings.Contains(err.Error(), "changes "+role.String()) {
			t.Errorf("the merge makes something else: blamed %s, want %s: %v", got, evil, err)
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
	t.Run("branches that leave it alone", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "weak", nil}, made{"alice", "hard", nil})
		main := c.head()
		branch := c.add(made{"erin", "weak", []string{"bob"}}, c.ids[1]) // approved for something else
		c.add(made{"dan", "hard", nil}, main, branch)
		for _, since := range []int{0, 1, 2, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != "" {
				t.Errorf("since %d: blamed %s", since, got)
			}
		}
		evil := c.add(made{"dan", "weak", nil}, main, branch)
		for _, since := range []int{0, 1, 2, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != evil {
				t.Errorf("since %d: blamed %s, want %s", since, got, evil)
			}
		}
	})
	t.Run("equal by another way", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "weak", nil})
		there := c.add(made{"alice", "hard", nil}, c.ids[1])
		back := c.add(made{"alice", "weak", nil}, there)
		main := c.add(made{"alice", "hard", nil}, c.ids[1])
		one := c.add(made{"dan", "hard", nil}, there, main)
		two := c.add(made{"dan", "weak", nil}, one, back)
		for _, since := range []int{0, 1, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != two {
				t.Errorf("since %d: blamed %s, want %s", since, got, two)
			}
		}
	})
	t.Run("a conflict hides what is old", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "weak", nil}, made{"alice", "hard", nil})
		stale := c.add(made{"alice", "other", nil}, c.ids[1])
		mixed := c.add(made{"dan", "hard", nil}, c.ids[2], stale)
		topic := c.add(made{"dan", "weak", nil}, c.ids[1])
		merge := c.add(made{"alice", "weak", nil}, topic, mixed)
		for _, want := range []gitops.Hash{mixed, merge} {
			for _, since := range []int{0, 1, -1} {
				if got := c.refused(c.release(c.plan(since), nil)); got != want {
					t.Errorf("since %d: blamed %s, want %s", since, got, want)
				}
			}
			c.approve("bob", mixed, c.ids[2])
		}
	})
	t.Run("dates that lie", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "evil", nil}, made{"alice", "", nil})
		honest := c.clock
		c.clock = 1_000_000_000
		z := c.add(made{"dan", "", nil}, c.ids[2])
		c.clock = honest
		runs := c.add(made{"dan", "", nil}, z)
		c.clock = honest + 400_000_000
		topic := c.add(made{"dan", "evil", nil}, c.ids[1])
		merge := c.add(made{"dan", "evil", nil}, runs, topic)
		seen := remembers(verify.Remembered{Introduction: c.root})
		for name, change := range map[string]func(*verify.Config){
			"introduced": nil,
			"first-seen": func(cfg *verify.Config) { cfg.Introduction = verify.FirstSeen; seen(cfg) },
		} {
			if got := c.refused(c.release(c.plan(4), change)); got != merge && got != topic {
				t.Errorf("%s: blamed %q, want %s", name, got, merge)
			}
		}
	})
	t.Run("approved beside what runs", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "one", nil}, made{"alice", "two", nil})
		runs := c.head()
		branch := c.add(made{"erin", "three", []string{"alice"}}, c.ids[1])
		merge := c.add(made{"dan", "three", nil}, runs, branch)
		for _, since := range []int{0, 2, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != merge {
				t.Errorf("since %d: blamed %s, want %s", since, got, merge)
			}
		}
		c.approve("bob", merge, runs)
		for _, since := range []int{0, 2, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != "" {
				t.Errorf("since %d: the merge is approved, and blamed %s", since, got)
			}
		}
	})
	t.Run("by another label", func(t *testing.T) {
		// What the label makes is judged as on a new node, and nothing else: a node
		// that begins with the same as the branch sees no conflict.
		c := newCourse(newInband(t), made{"alice", "one", nil}, made{"alice", "two", nil}, made{"alice", "one", nil})
		branch := c.add(made{"erin", "two", []string{"bob"}}, c.ids[1])
		merge := c.add(made{"dan", "two", nil}, c.ids[3], branch)
		if got := c.refused(c.release(c.plan(-1), nil)); got != merge {
			t.Errorf("on a new node: blamed %s, want %s", got, merge)
		}
		p := c.plan(3)
		labelled, content := role, p.Content
		labelled.Name = "labelled"
		p.Changed = append(p.Changed, verify.Change{Ref: labelled})
		p.Content = func(ctx context.Context, commit verify.Commit) (verify.Content, error) {
			made, err := content(ctx, commit)
			if commit.Hash() != c.root {
				made[labelled.Key()] = "approved with the first"
			}
			return made, err
		}
		if err := c.release(p, nil); err != nil {
			t.Error(err)
		}
		p.Revision = onMain(c.add(made{"dan", "evil", nil}, merge)).Revision
		if got := c.refused(c.release(p, nil)); got != c.head() {
			t.Errorf("and unapproved: blamed %s, want %s", got, c.head())
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
		c := newCourse(newInband(t), made{"alice", "weak", nil})
		release := c.add(made{"dan", "weak", nil}, c.ids[1])
		for _, name := range []string{"alice", "bob"} {
			c.state(name, verify.SealRef(release, name), release, gitops.CommitObject, verify.SealMessage(c.root, release, now))
		}
		hard := c.add(made{"alice", "hard", nil}, c.ids[1])
		merge := c.add(made{"dan", "weak", nil}, hard, release)
		for _, since := range []int{0, 1, 3, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != merge {
				t.Errorf("since %d: blamed %s, want %s", since, got, merge)
			}
		}
		c.add(made{"dan", "hard", nil}, hard, release)
		for _, since := range []int{0, 1, 3, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != "" {
				t.Errorf("since %d: blamed %s", since, got)
			}
		}
	})
	t.Run("sealed beside what was approved", func(t *testing.T) {
		c := newCourse(newInband(t), made{"alice", "weak", nil})
		release := c.add(made{"dan", "other", nil}, c.ids[1])
		for _, name := range []string{"alice", "bob"} {
			c.state(name, verify.SealRef(release, name), release, gitops.CommitObject, verify.SealMessage(c.root, release, now))
		}
		hard := c.add(made{"alice", "hard", nil}, c.ids[1])
		if got := c.refused(c.release(c.plan(0), nil)); got != "" {
			t.Errorf("beside it: blamed %s", got)
		}
		merge := c.add(made{"dan", "other", nil}, hard, release)
		for _, since := range []int{0, 1, -1} {
			if got := c.refused(c.release(c.plan(since), nil)); got != merge {
				t.Errorf("since %d: blamed %s, want %s", since, got, merge)
			}
		}
	})
	t.Run("a branch that is sealed with what it brings", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "", nil})
		runs := c.head()
		topic := c.add(made{"dan", "new", nil}, c.root)
		c.add(made{"dan", "new", nil}, runs, topic)
		for _, name := range []string{"alice", "bob"} {
			if got := c.refused(c.release(c.plan(1), nil)); got != topic {
				t.Errorf("blamed %s, want %s", got, topic)
			}
			c.state(name, verify.SealRef(topic, name), topic, gitops.CommitObject, verify.SealMessage(c.root, topic, now))
		}
		if err := c.release(c.plan(1), nil); err != nil {
			t.Error(err)
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
		merge := c.add(made{"dan", "evil", nil}, anew, c.ids[1])
		for range 2 {
			for _, since := range []int{1, -1} {
				err := c.release(c.plan(since), nil)
				if got := c.refused(err); got != merge || !strings.Contains(err.Error(), "take it back") {
					t.Errorf("since %d: blamed %s, want %s: %v", since, got, merge, err)
				}
			}
			c.approve("alice", anew, "") // of a line that compares with nothing
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
