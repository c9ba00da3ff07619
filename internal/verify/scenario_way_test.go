// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// role is the protected object of these scenarios: one root has to stand for it.
var role = gitops.ObjectRef{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole", Name: "x"}

// made is a commit on a line: who signed it, what it makes of the role ("" for
// nothing, broken for one that does not render), and which roots approved it.
type made struct {
	by, want string
	approved []string
}

const unrendered = "does not render"

// course is a line of commits above the introduction, which makes nothing.
type course struct {
	*inband
	ids      []gitops.Hash
	wants    map[gitops.Hash]string
	parents  map[gitops.Hash][]gitops.Hash
	rendered int
}

func newCourse(w *inband, commits ...made) *course {
	c := &course{inband: w, ids: []gitops.Hash{w.root}, wants: map[gitops.Hash]string{w.root: ""}, parents: map[gitops.Hash][]gitops.Hash{}}
	for _, m := range commits {
		c.add(m, c.head())
	}
	return c
}

func (c *course) head() gitops.Hash { return c.ids[len(c.ids)-1] }

func (c *course) add(m made, parents ...gitops.Hash) gitops.Hash {
	id := c.commitOf(c.keys[m.by].sign, c.base.with(files{"apps/web.yaml": fmt.Sprintf("a: %d\n", len(c.wants)+1)}), c.forMain(), parents...)
	for _, name := range m.approved {
		c.approve(name, id, parents[0])
	}
	c.ids, c.wants[id], c.parents[id] = append(c.ids, id), m.want, parents
	return id
}

// plan is what a node would do that runs one of the commits, -1 for none.
func (c *course) plan(since int) verify.Plan {
	p := verify.Plan{
		Revision: onMain(c.head()).Revision, Changed: []verify.Change{{Ref: role}},
		Content: func(_ context.Context, commit verify.Commit) (verify.Content, error) {
			if !commit.Valid() || commit.Tree() == "" {
				c.t.Errorf("asked to render %+v", commit)
			}
			c.rendered++
			return contentOf(c.wants[commit.Hash()]), nil
		},
	}
	if since >= 0 {
		p.Since, p.Runs = c.ids[since], contentOf(c.wants[c.ids[since]])
	}
	return p
}

func contentOf(want string) verify.Content {
	switch want {
	case unrendered:
		return nil
	case "":
		return verify.Content{}
	}
	return verify.Content{role.Key(): want}
}

func (c *course) release(p verify.Plan, change func(*verify.Config)) error {
	c.t.Helper()
	cfg := c.config()
	if change != nil {
		change(&cfg)
	}
	v, err := verify.New(cfg, c)
	if err != nil {
		c.t.Fatal(err)
	}
	missing, err := v.Release(c.t.Context(), p)
	if len(missing) > 0 {
		c.t.Errorf("missing %v", missing)
	}
	return err
}

// refused is the commit that was blamed, "" when nothing was.
func (c *course) refused(err error) gitops.Hash {
	c.t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*gitops.Error](err)
	if !ok || e.Reason != gitops.NotApproved || e.Remedy == "" || !e.Commit.Valid() {
		c.t.Fatalf("not a refusal that names a commit: %v", err)
	}
	return e.Commit
}

// An approval is for one commit, compared with the one before it. What others
// brought needs approvals of its own, whoever signs on top of it; and what was
// approved once needs none again, for nodes that come late or are new.
func TestApprovalsAreForOneCommit(t *testing.T) {
	root := []string{"alice"}
	for name, c := range map[string]struct {
		commits []made
		blamed  int // 0 for none
	}{
		"approved head":                                        {[]made{{"dan", "new", root}}, 0},
		"unapproved head":                                      {[]made{{"dan", "new", nil}}, 1},
		"approved by somebody who is no root":                  {[]made{{"dan", "new", []string{"erin"}}}, 1},
		"root signs on top of an unapproved change":            {[]made{{"dan", "evil", nil}, {"alice", "evil", nil}}, 1},
		"approval on top of an unapproved change":              {[]made{{"dan", "evil", nil}, {"dan", "evil", root}}, 1},
		"approved change of what nobody approved":              {[]made{{"dan", "evil", nil}, {"dan", "evil, and more", root}}, 1},
		"unapproved change far below":                          {[]made{{"dan", "", nil}, {"dan", "evil", nil}, {"dan", "evil", nil}, {"alice", "evil", nil}, {"dan", "evil", root}}, 2},
		"two unapproved changes, one on the other":             {[]made{{"dan", "evil", nil}, {"erin", "more evil", nil}, {"dan", "most evil", nil}}, 1},
		"approved later than what is on top of it":             {[]made{{"dan", "new", root}, {"dan", "new", nil}, {"dan", "new", nil}}, 0},
		"approved change among others of a root":               {[]made{{"alice", "", nil}, {"alice", "new", nil}, {"alice", "newer", nil}}, 0},
		"unapproved change that was taken back":                {[]made{{"dan", "evil", nil}, {"dan", "", nil}, {"dan", "new", root}}, 0},
		"unapproved change that a root took back":              {[]made{{"dan", "evil", nil}, {"alice", "", nil}, {"alice", "new", nil}}, 0},
		"unapproved change that a root wrote over":             {[]made{{"dan", "evil", nil}, {"alice", "new", nil}}, 1},
		"developer takes an approved change back":              {[]made{{"alice", "first", nil}, {"alice", "better", nil}, {"dan", "first", nil}}, 3},
		"developer takes an approved object away":              {[]made{{"alice", "first", nil}, {"alice", "better", nil}, {"dan", "", nil}, {"dan", "last", nil}}, 3},
		"approved on top of a commit that does not render":     {[]made{{"dan", unrendered, nil}, {"dan", "new", root}}, 1},
		"approved on top of such a commit that was approved":   {[]made{{"dan", unrendered, root}, {"dan", "new", root}}, 0},
		"mended by a developer, then approved":                 {[]made{{"dan", unrendered, nil}, {"dan", "", nil}, {"dan", "new", root}}, 0},
		"approved, and another unapproved change on top":       {[]made{{"dan", "new", root}, {"dan", "", nil}, {"dan", "evil", nil}, {"dan", "evil", nil}}, 2},
		"approved one does not render, the next makes nothing": {[]made{{"dan", unrendered, root}, {"dan", "", nil}, {"dan", "new", root}}, 2},
		"approved change, a different one, and the first one":  {[]made{{"dan", "new", root}, {"dan", "evil", nil}, {"dan", "new", nil}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := newCourse(newInband(t), c.commits...)
			want := gitops.Hash("")
			if c.blamed > 0 {
				want = line.ids[c.blamed]
			}
			what := " changes "
			if line.wants[want] == unrendered {
				what = " does not render, "
			}
			for _, since := range []int{0, -1} { // a node that runs the introduction, and one that is new
				err := line.release(line.plan(since), nil)
				if got := line.refused(err); got != want || err != nil && !strings.Contains(err.Error(), what) {
					t.Errorf("since %d: blamed %s, want %s, which%sit, of %v: %v", since, got, want, what, line.ids, err)
				}
			}
			if want == "" {
				return
			}
			line.approve("bob", want, line.ids[c.blamed-1])
			err := line.release(line.plan(0), nil)
			if got := line.refused(err); got == want {
				t.Errorf("once it is approved: %v", err)
			}
		})
	}
}

// Where the way begins: at what the node runs, if it would make the same of it
// today.
func TestWayBeginsAtWhatRuns(t *testing.T) {
	evil := []made{{"dan", "evil", nil}, {"dan", "evil", nil}, {"alice", "new", nil}}
	t.Run("what runs was released before", func(t *testing.T) {
		c := newCourse(newInband(t), evil...)
		if got := c.refused(c.release(c.plan(2), nil)); got != "" {
			t.Errorf("blamed %s", got)
		}
		if c.rendered != 1 {
			t.Errorf("rendered %d commits, want the one that runs", c.rendered)
		}
	})
	t.Run("the node makes something else of it now", func(t *testing.T) {
		c := newCourse(newInband(t), evil...)
		p := c.plan(2)
		p.Runs = verify.Content{} // the bundle was not for this node, until it got another label
		if got := c.refused(c.release(p, nil)); got != c.ids[1] {
			t.Errorf("blamed %s, want %s", got, c.ids[1])
		}
		c.approve("bob", c.ids[1], c.root)
		if err := c.release(p, nil); err != nil {
			t.Errorf("once that is approved: %v", err)
		}
	})
	t.Run("what runs does not render any more", func(t *testing.T) {
		c := newCourse(newInband(t), evil...)
		c.wants[c.ids[2]] = unrendered
		if got := c.refused(c.release(c.plan(2), nil)); got != c.ids[1] {
			t.Errorf("blamed %s, want %s", got, c.ids[1])
		}
	})
	t.Run("what runs is the head itself", func(t *testing.T) {
		c := newCourse(newInband(t), made{"dan", "evil", nil})
		p := c.plan(1)
		if err := c.release(p, nil); err != nil {
			t.Errorf("repaired, and refused: %v", err)
		}
		p.Runs = verify.Content{}
		if got := c.refused(c.release(p, nil)); got != c.head() {
			t.Errorf("blamed %s, want %s", got, c.head())
		}
	})
	t.Run("the roots sealed a commit", func(t *testing.T) {
		c := newCourse(newInband(t), evil...)
		for _, name := range []string{"alice", "bob"} {
			if got := c.refused(c.release(c.plan(0), nil)); got != c.ids[1] {
				t.Errorf("blamed %s, want %s", got, c.ids[1])
			}
			c.state(name, verify.SealRef(c.ids[2], name), c.ids[2], gitops.CommitObject, verify.SealMessage(c.root, c.ids[2], now))
		}
		if err := c.release(c.plan(0), nil); err != nil {
			t.Errorf("sealed by two roots: %v", err)
		}
	})
	t.Run("nothing was protected yet", func(t *testing.T) {
		w := newInband(t)
		text := w.trust(1, "")
		w.base[trustYAML] = strings.Replace(text, protectsRoles, "", 1)
		w.root = w.commitOf(nil, w.base, "")
		c := newCourse(w, made{"dan", "old", nil})
		w.base[trustYAML] = strings.Replace(text, "version: 1", "version: 2", 1)
		c.add(made{"alice", "old", nil}, c.head())
		c.add(made{"dan", "old", nil}, c.head())
		if err := c.release(c.plan(-1), nil); err != nil {
			t.Errorf("from before the protection: %v", err)
		}
		late := c.add(made{"dan", "evil", nil}, c.head())
		if got := c.refused(c.release(c.plan(-1), nil)); got != late {
			t.Errorf("blamed %s, want %s", got, late)
		}
	})
}

// Where only heads are signed, a head's approval is for all that came since.
func TestApprovalsOfHeads(t *testing.T) {
	headMode := func(c *verify.Config) { c.Mode = verify.ModeHead }
	c := newCourse(newInband(t), made{"dan", "new", nil}, made{"erin", "new", nil}, made{"dan", "new", nil})
	for _, since := range []int{0, 1, 3, -1} {
		p := c.plan(since)
		p.Runs = verify.Content{}
		if got := c.refused(c.release(p, headMode)); got != c.head() {
			t.Errorf("since %d: blamed %s, want %s", since, got, c.head())
		}
	}
	c.approve("alice", c.head(), c.ids[2])
	for _, since := range []int{0, 1, -1} {
		if err := c.release(c.plan(since), headMode); err != nil {
			t.Errorf("since %d, approved: %v", since, err)
		}
	}
}

// Who stands for a change is counted when it is made: not by a key that expired
// since the commit was let through, unless the change is under way already.
func TestApprovalsThatCameToNothing(t *testing.T) {
	w := newInband(t)
	w.base[trustYAML] = strings.Replace(w.trust(1, ""), "  alice: {", `  alice: {validBefore: "20260701", `, 1)
	w.root = w.commitOf(nil, w.base, "")
	c := newCourse(w, made{"dan", "new", []string{"alice"}})
	later := func(c *verify.Config) { c.Now = func() time.Time { return now.AddDate(0, 2, 0) } }
	revoked := remembers(verify.Remembered{Revoked: []string{w.keys["alice"].fingerprint()}})
	hidden := func(c *verify.Config) { c.Carried = nil }
	for _, s := range []struct {
		name   string
		change func(*verify.Config)
		again  bool
		held   bool
	}{
		{"in time", nil, false, false},
		{"expired", later, false, true},
		{"expired, and under way", later, true, false},
		{"revoked", revoked, false, true},
		{"revoked, and under way", revoked, true, true},
		{"not shown any more", hidden, false, true},
		{"not shown any more, and under way", hidden, true, false},
	} {
		p := c.plan(0)
		p.Again = s.again
		if got := c.refused(c.release(p, s.change)); (got != "") != s.held {
			t.Errorf("%s: blamed %q", s.name, got)
		}
	}
	// A root's own signature is an approval like others.
	signed := newCourse(newInband(t), made{"alice", "new", nil})
	revoked = remembers(verify.Remembered{Revoked: []string{signed.keys["alice"].fingerprint()}})
	p := signed.plan(0)
	p.Again = true
	for name, change := range map[string]func(*verify.Config){"": nil, "revoked": revoked} {
		if got := signed.refused(signed.release(p, change)); (got != "") != (name == "revoked") {
			t.Errorf("signed by a root, %s: blamed %q", name, got)
		}
	}
}

// Nobody renders more than it takes, and there is a bound.
func TestRenderedOnTheWay(t *testing.T) {
	w := newInband(t)
	var roots, both []made
	for i := range 300 {
		m := made{by: "alice", want: fmt.Sprint(i / 2)}
		if roots = append(roots, m); i%2 == 1 {
			m.by = "dan"
		}
		both = append(both, m)
	}
	c := newCourse(w, roots[:50]...)
	if err := c.release(c.plan(-1), nil); err != nil || c.rendered != 0 {
		t.Errorf("all by a root: %v, %d rendered", err, c.rendered)
	}
	c = newCourse(w, both[:100]...)
	p := c.plan(-1)
	p.Changed = append(p.Changed, verify.Change{Ref: gitops.ObjectRef{Group: role.Group, Kind: role.Kind, Name: "another"}})
	if err := c.release(p, nil); err != nil || c.rendered > 100 {
		t.Errorf("every other one by a root: %v, %d rendered", err, c.rendered)
	}
	c = newCourse(w, both...)
	err := c.release(c.plan(-1), nil)
	if got := c.refused(err); got != c.head() || !strings.Contains(err.Error(), "edgeagent trust seal") || c.rendered != 256 {
		t.Errorf("too many: %v, %d rendered", err, c.rendered)
	}
	few := func(c *verify.Config) { c.MaxCommits = 100 }
	if err := c.release(c.plan(-1), few); gitops.ReasonOf(err) != gitops.TooManyCommits || !strings.Contains(err.Error(), "100 commits") {
		t.Errorf("too long: %v", err)
	}
	if err := c.release(c.plan(200), few); err != nil {
		t.Errorf("what runs is 100 below: %v", err)
	}
}

// What a store does not hold is named, all at once, and nothing is released
// without it. Nor is it when a commit could not be rendered for now.
func TestReleaseWithoutAllThatItNeeds(t *testing.T) {
	c := newCourse(newInband(t), made{"dan", "new", nil}, made{"dan", "new", nil}, made{"alice", "new", nil})
	v, err := verify.New(c.config(), &lacking{Objects: c, without: c.ids[:3]})
	if err != nil {
		t.Fatal(err)
	}
	missing, err := v.Release(t.Context(), c.plan(-1))
	if gitops.ReasonOf(err) != gitops.Incomplete || !slices.ContainsFunc(missing, func(m gitops.MissingObject) bool { return m.ID == c.ids[2] }) {
		t.Errorf("without commits: %v, missing %v", err, missing)
	}
	var trees []gitops.Hash
	for _, id := range c.ids[:3] {
		_, raw, err := c.Object(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		tree, _, _ := strings.Cut(strings.TrimPrefix(string(raw), "tree "), "\n")
		trees = append(trees, gitops.Hash(tree))
	}
	if v, err = verify.New(c.config(), &lacking{Objects: c, without: trees}); err != nil {
		t.Fatal(err)
	}
	missing, err = v.Release(t.Context(), c.plan(-1))
	var ids []gitops.Hash
	for _, m := range missing {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	slices.Sort(trees)
	if gitops.ReasonOf(err) != gitops.Incomplete || !slices.Equal(ids, trees) {
		t.Errorf("without trees: %v, missing %v, want %v", err, ids, trees)
	}
	p := c.plan(0)
	away := errors.New("the link is down")
	p.Content = func(context.Context, verify.Commit) (verify.Content, error) { return nil, away }
	if err := c.release(p, nil); !errors.Is(err, away) {
		t.Errorf("nothing can be rendered: %v", err)
	}
	broken := func(c *verify.Config) {
		c.Carried = func(context.Context) (map[string]gitops.Hash, error) { return nil, away }
	}
	if err := c.release(c.plan(0), broken); !errors.Is(err, away) {
		t.Errorf("no statement can be read: %v", err)
	}
}

// lacking is a store without some objects.
type lacking struct {
	verify.Objects
	without []gitops.Hash
}

func (l *lacking) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	if slices.Contains(l.without, id) {
		return "", nil, &gitops.Error{Reason: gitops.Incomplete, Message: "it is not here"}
	}
	return l.Objects.Object(ctx, id)
}
