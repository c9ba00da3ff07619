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
	head := w.commitOf(w.ann.sign, files{"a.yaml": "1\n"}, "", w.root)
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
	if err := makes(t, v, head, odd.Revision.Hash(), true, role); err != nil {
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
	beside := newCourse(newInband(t), made{"alice", "one", nil}, made{"dan", "one", nil}, made{"alice", "main", nil})
	main := beside.head()
	for _, name := range []string{"alice", "bob"} {
		beside.state(name, verify.SealRef(beside.ids[1], name), beside.ids[1], gitops.CommitObject, verify.SealMessage(beside.root, beside.ids[1], now))
	}
	branch := beside.add(made{"erin", "two", []string{"bob"}}, beside.ids[1])
	both := beside.add(made{"dan", "two", nil}, main, branch)
	undone := newCourse(newInband(t), made{"alice", "weak", nil}, made{"alice", "hard", nil})
	hard := undone.head()
	old := undone.add(made{"dan", "weak", nil}, undone.ids[1])
	undoing := undone.add(made{"dan", "weak", nil}, old, hard)
	liar := newCourse(newInband(t), made{"alice", "evil", nil}, made{"alice", "", nil})
	honest := liar.clock
	liar.clock = honest - 500_000_000
	slow := liar.add(made{"dan", "", nil}, liar.ids[2])
	liar.clock = honest
	runs := liar.add(made{"dan", "", nil}, slow)
	lie := liar.add(made{"dan", "evil", nil}, runs, liar.add(made{"dan", "evil", nil}, liar.ids[1]))
	label := c.plan(1)
	label.Runs = verify.Content{}
	for name, s := range map[string]struct {
		*course
		plan   verify.Plan
		blamed gitops.Hash
	}{
		"a branch":       {c, c.plan(1), topic},
		"another label":  {c, label, topic},
		"three lines":    {lines, lines.plan(0), merge},
		"two approved":   {beside, beside.plan(2), both},
		"undone":         {undone, undone.plan(2), undoing},
		"dates that lie": {liar, liar.plan(4), lie},
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
