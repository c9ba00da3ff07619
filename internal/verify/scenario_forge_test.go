// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// What a forge merges into was released: by its own merge, which was held to what
// a forge may do, or by people. A merge that a person made is not the forge's.
func TestForgeMergesIntoMerges(t *testing.T) {
	// onto has the forge merge into what dan merged, and wrote a file in.
	onto := func(role string) func(*inband, bool) offer {
		return func(w *inband, broken bool) offer {
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), "merger: {principals: [forge]}", role, 1)
			w.root = w.commitOf(nil, w.base, "")
			f := w.fork()
			own := f.merged.with(files{"apps/own.yaml": "o\n"})
			line := w.commitOf(w.keys["dan"].sign, own, either(broken, "", w.forMain()), f.ours, f.theirs)
			side := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/more.yaml": "m\n"}), "", w.root)
			w.approve("dan", side, w.root)
			head := w.commitOf(w.keys["forge"].sign, own.with(files{"apps/more.yaml": "m\n"}), w.forMain(), line, side)
			return offer{commit: onMain(head), blamed: head}
		}
	}
	runRules(t, []rule{
		{"merge by a person that nobody released", gitops.NotApproved, onto("merger: {principals: [forge]}")},
		{"merge by a person who has the forge's role, too", gitops.NotApproved, onto("merger: {principals: [forge, dan]}")},
	})
}

// A forge does not settle what became of a directory: not where one side took it
// away, or put a file in its place, nor does it put one there.
func TestForgeMergesOfDirectories(t *testing.T) {
	type sides struct{ base, ours, theirs, result files }
	merge := func(sound, wrong sides) func(*inband, bool) offer {
		return func(w *inband, broken bool) offer {
			s := either(broken, wrong, sound)
			start := w.commitOf(w.keys["dan"].sign, w.base.with(s.base), "", w.root)
			ours := w.commitOf(w.keys["dan"].sign, w.base.with(s.ours), w.forMain(), start)
			theirs := w.commitOf(w.keys["erin"].sign, w.base.with(s.theirs), "", start)
			w.approve("dan", theirs, start)
			head := w.commitOf(w.keys["forge"].sign, w.base.with(s.result), w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: head}
		}
	}
	dir, file := files{"new/c": "0\n"}, files{"new": "a file\n"}
	one, two := dir.with(files{"new/a": "1\n"}), dir.with(files{"new/b": "2\n"})
	both := sides{dir, one, two, one.with(two)}
	runRules(t, []rule{
		{"the first side took it away", gitops.MergerAuthored, merge(both, sides{dir, nil, two, files{"new/b": "2\n"}})},
		{"the other side took it away", gitops.MergerAuthored, merge(both, sides{dir, one, nil, files{"new/a": "1\n"}})},
		{"the first side made it a file", gitops.MergerAuthored, merge(both, sides{dir, file, two, two})},
		{"the other side made it a file", gitops.MergerAuthored, merge(both, sides{dir, one, file, one})},
		{"the forge made it a file", gitops.MergerAuthored, merge(both, sides{dir, one, two, file})},
		{"it was a file", gitops.MergerAuthored, merge(both, sides{file, one, two, one.with(two)})},
	})
}

// A forge may go on from what a node accepted, though the approval that released
// it is not shown any more.
func TestForgeMergesIntoWhatWasAccepted(t *testing.T) {
	w := newInband(t)
	f := w.fork()
	ours := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "ours\n"}), "", w.root)
	w.approve("dan", f.theirs, w.root)
	head := w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), ours, f.theirs)
	for accepted, want := range map[gitops.Hash]gitops.Reason{ours: "", w.root: gitops.NotApproved} {
		got, err := w.verifier(t, nil).Verify(t.Context(), onMain(head), accepted)
		if gitops.ReasonOf(err) != want || got.Valid() != (want == "") {
			t.Errorf("accepted %s: %v, want %q", accepted.Short(), err, want)
		}
	}
}

// A store that cannot read a directory that both sides changed has decided
// nothing: least of all that what the forge made of it is right.
func TestReadsThatFailInAForgesMerge(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	ours, theirs := files{"new/deep/a": "1\n"}, files{"new/deep/b": "2\n"}
	one := w.commitOf(w.keys["dan"].sign, w.base.with(ours), w.forMain(), w.root)
	two := w.commitOf(w.keys["erin"].sign, w.base.with(theirs), "", w.root)
	w.approve("dan", two, w.root)
	head := w.commitOf(w.keys["forge"].sign, w.base.with(ours).with(theirs), w.forMain(), one, two)
	failEachRead(t, w, w.config(), 15, func(v *verify.Verifier) (bool, error) {
		c, err := v.Verify(t.Context(), onMain(head), w.root)
		return c.Valid(), err
	})
}
