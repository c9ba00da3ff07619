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

func (w *inband) verifier(t *testing.T, change func(*verify.Config)) *verify.Verifier {
	t.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
	}
	v, err := verify.New(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// By a clock that runs years ahead nothing new comes in, but what was let through
// before stands at every poll. Explain says the same, whatever else is wrong with
// the head: by such a clock nobody is blamed.
func TestFastClockKeepsWhatWasAccepted(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	unbound := w.commitOf(w.keys["dan"].sign, w.base, "", head)
	v := w.verifier(t, func(c *verify.Config) { c.Floor = now.AddDate(-11, 0, 0) })
	for name, c := range map[string]struct {
		head, accepted gitops.Hash
		want           gitops.Reason
	}{
		"new":                  {head, "", gitops.ClockUntrusted},
		"new, on top of it":    {head, w.root, gitops.ClockUntrusted},
		"accepted":             {head, head, ""},
		"new and not released": {unbound, head, gitops.ClockUntrusted},
	} {
		got, err := v.Verify(t.Context(), onMain(c.head), c.accepted)
		if gitops.ReasonOf(err) != c.want || got.Valid() != (c.want == "") {
			t.Errorf("%s: valid %v, %v, want %q", name, got.Valid(), err, c.want)
		}
		told, err := v.Explain(t.Context(), onMain(c.head), c.accepted)
		if err != nil || len(told) == 0 || told[0].Reason != c.want || told[0].Trusted != (c.want == "") {
			t.Errorf("%s: Explain: %+v, %v, want %q", name, told, err, c.want)
		}
	}
}

// Who left what was accepted behind is said of the head alone: the commits below
// it did nothing wrong.
func TestExplainBlamesTheHeadForAFork(t *testing.T) {
	w := newInband(t)
	accepted := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	below := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
	head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), below)
	told, err := w.verifier(t, nil).Explain(t.Context(), onMain(head), accepted)
	if err != nil || len(told) != 2 {
		t.Fatalf("Explain: %+v, %v", told, err)
	}
	if told[0].Commit != head || told[0].Reason != gitops.Fork || told[1].Commit != below || !told[1].Trusted {
		t.Errorf("Explain: %+v", told)
	}
}

// What is trusted without a signature says so.
func TestExplainNamesTheRule(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(nil, w.base, "", w.root)
	for want, c := range map[string]struct {
		head   gitops.Hash
		change func(*verify.Config)
	}{
		"none: nothing is checked":             {head, func(c *verify.Config) { c.Mode, c.Insecure = verify.ModeNone, true }},
		"introduction: trusted by its id":      {w.root, nil},
		"history: signed by an allowed signer": {w.commit(w.ann.sign, w.world.root), func(c *verify.Config) { c.Introduction = string(w.world.root) }},
	} {
		told, err := w.verifier(t, c.change).Explain(t.Context(), onMain(c.head), "")
		if err != nil || len(told) != 1 || told[0].Rule != want || !told[0].Trusted {
			t.Errorf("Explain: %+v, %v, want the rule %q", told, err, want)
		}
	}
}

// The introduction is trusted by its id. Its signer is named all the same, though
// the key expired since; and where only a tag could speak for it, too.
func TestIntroductionIsTrustedByItsID(t *testing.T) {
	w := newInband(t)
	start := w.commit(w.gone.sign)
	begins := func(c *verify.Config) { c.Introduction = string(start) }
	if got, err := w.verifier(t, begins).Verify(t.Context(), onMain(start), ""); err != nil || got.Signer() != "gone@example.com" {
		t.Errorf("signed by a key that expired since: by %q, %v", got.Signer(), err)
	}
	for name, mode := range map[string]string{"tag": verify.ModeTag, "history": verify.ModeHistory} {
		got, err := w.verifier(t, func(c *verify.Config) { c.Mode = mode }).Again(t.Context(), gitops.NewRevision("v1", w.root))
		if err != nil || got.Signer() != "introduction" {
			t.Errorf("mode %s, again: by %q, %v", name, got.Signer(), err)
		}
	}
}

// Nobody asks under which tag a commit was accepted where tags do not count.
func TestAgainAsksForTagsInModeTagOnly(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	for _, mode := range []string{verify.ModeHistory, verify.ModeHead} {
		v := w.verifier(t, func(c *verify.Config) {
			c.Mode = mode
			c.TagOf = func(context.Context, gitops.Revision) (gitops.Hash, error) { return "", errors.New("no tag is known") }
		})
		if got, err := v.Again(t.Context(), gitops.NewRevision("main", head)); err != nil || !got.Valid() {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
}

// Where nothing is checked, neither statements nor trust files are read: one that
// cannot be stops nobody, and no floor holds a node back.
func TestModeNoneReadsNothingSigned(t *testing.T) {
	w := newInband(t)
	v := w.verifier(t, func(c *verify.Config) {
		c.Mode, c.Insecure = verify.ModeNone, true
		c.Carried = func(context.Context) (map[string]gitops.Hash, error) { return nil, errors.New("lost") }
	})
	malformed := w.commitOf(nil, w.base.with(files{trustYAML: "nonsense: true\n"}), "", w.root)
	floor := w.commitOf(nil, w.base.with(files{trustYAML: w.trust(2, "rollbackFloor: "+string(malformed)+"\n")}), "", malformed)
	for name, accepted := range map[string]gitops.Hash{"at first": "", "on top of a malformed trust file": malformed} {
		if got, err := v.Verify(t.Context(), onMain(floor), accepted); err != nil || !got.Valid() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := v.MayReturn(t.Context(), w.root, floor); err != nil {
		t.Errorf("below a floor that nobody signed: %v", err)
	}
}

// The first head that was seen is judged by the node's own files at every later
// poll, too: what lies below it is still only what the host shows.
func TestPinnedFirstHeadIsNotJudgedByWhatLiesBelow(t *testing.T) {
	w := newInband(t)
	below := w.commitOf(nil, w.base, "")
	head := w.commitOf(w.ann.sign, files{"apps/web.yaml": "a: 1\n"}, "", below)
	pinned := func(c *verify.Config) {
		c.Introduction = verify.FirstSeen
		remembers(verify.Remembered{Introduction: head})(c)
	}
	if _, err := w.verifier(t, func(c *verify.Config) { c.Introduction = verify.FirstSeen }).Verify(t.Context(), onMain(head), ""); err != nil {
		t.Fatalf("at first: %v", err)
	}
	v := w.verifier(t, pinned)
	if got, err := v.Verify(t.Context(), onMain(head), head); err != nil || !got.Valid() {
		t.Errorf("at the next poll: %v", err)
	}
	if got, err := v.Again(t.Context(), gitops.NewRevision("main", head)); err != nil || !got.Valid() {
		t.Errorf("after a restart: %v", err)
	}
	next := w.commitOf(w.keys["dan"].sign, files{"apps/web.yaml": "a: 2\n"}, "", head)
	if got, err := v.Verify(t.Context(), onMain(next), head); got.Valid() || gitops.ReasonOf(err) != gitops.UnknownSigner {
		t.Errorf("a commit on top by somebody whom only the file below names: %v", err)
	}
}

// Mode head does not look at commits in between: not at the line either that a
// forge merges into.
func TestModeHeadLooksAtTheHeadOnly(t *testing.T) {
	w := newInband(t)
	f := w.fork()
	ours := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "ours\n"}), "", w.root)
	w.approve("dan", f.theirs, w.root)
	head := w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), ours, f.theirs)
	for mode, want := range map[string]gitops.Reason{verify.ModeHead: "", verify.ModeHistory: gitops.NotApproved} {
		got, err := w.verifier(t, func(c *verify.Config) { c.Mode = mode }).Verify(t.Context(), onMain(head), "")
		if gitops.ReasonOf(err) != want || got.Valid() != (want == "") {
			t.Errorf("mode %s: %v, want %q", mode, err, want)
		}
	}
}

// commitReads counts how often commits are read.
type commitReads struct {
	verify.Objects
	n int
}

func (c *commitReads) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	kind, raw, err := c.Objects.Object(ctx, id)
	if kind == gitops.CommitObject {
		c.n++
	}
	return kind, raw, err
}

// What two lines have in common is looked for once, however many protected paths
// a merge of them touches: whoever writes the trust file must not make each merge
// walk the history a hundred times.
func TestMergeBasesAreFoundOnce(t *testing.T) {
	w := newInband(t)
	reads := func(paths ...string) int {
		t.Helper()
		var guards strings.Builder
		for _, path := range paths {
			guards.WriteString("- {paths: [" + path + "], approvals: 1, by: [developer]}\n")
		}
		base := w.base.with(files{trustYAML: strings.Replace(w.trust(1, ""), "protected:\n", "protected:\n"+guards.String(), 1)})
		root := w.commitOf(nil, base, "")
		trailer := verify.RefTrailer(root, "refs/heads/main")
		changed := files{"apps/web.yaml": "ours\n", "clusters/n1/app.yaml": "ours\n", "more/x.yaml": "ours\n"}
		ours := w.commitOf(w.keys["dan"].sign, base.with(changed), trailer, root)
		theirs := w.commitOf(w.keys["erin"].sign, base.with(files{"apps/new.yaml": "n\n"}), "", root)
		head := w.commitOf(w.keys["dan"].sign, base.with(changed).with(files{"apps/new.yaml": "n\n"}), trailer, ours, theirs)
		store := &commitReads{Objects: w}
		cfg := w.config()
		cfg.Introduction = string(root)
		v, err := verify.New(cfg, store)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), onMain(head), ""); err != nil {
			t.Fatal(err)
		}
		return store.n
	}
	if one, three := reads("apps/"), reads("apps/", "clusters/", "more/"); one != three {
		t.Errorf("%d commits are read where one path is protected, %d where three are", one, three)
	}
}
