// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// changed is a commit and what it holds.
type changed struct {
	id   gitops.Hash
	tree files
}

// leavesAndComesBack are two versions of the trust file after the first: one in
// which a developer is not, and one in which they are again.
func (w *inband) leavesAndComesBack(name string) (left, back changed) {
	left.tree = w.base.with(files{trustYAML: w.without(2, name)})
	left.id = w.commitOf(w.keys["alice"].sign, left.tree, "", w.root)
	back.tree = w.base.with(files{trustYAML: w.trust(3, "")})
	back.id = w.commitOf(w.keys["alice"].sign, back.tree, "", left.id)
	w.approve("bob", left.id, w.root)
	w.approve("bob", back.id, left.id)
	return left, back
}

func TestGuardsOfTheHistory(t *testing.T) {
	runRules(t, []rule{
		{"expired key, by a clock that was set back below a time that the roots signed", gitops.KeyExpired, func(w *inband, broken bool) offer {
			old := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
			head := w.commit(w.gone.sign, w.world.root)
			return offer{commit: onMain(head), blamed: head, config: both(clockAt(old), remembers(verify.Remembered{Floor: either(broken, now, old)}),
				func(c *verify.Config) { c.Introduction = string(w.world.root) })}
		}},
		{"forge merges on the main line into what nobody released", gitops.NotApproved, func(w *inband, broken bool) offer {
			// The same merge on a branch is no release to main: who merges the
			// branch answers for it.
			one := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/one.yaml": "1\n"}), "", w.root)
			two := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/two.yaml": "2\n"}), "", w.root)
			w.approve("dan", two, w.root)
			joined := w.base.with(files{"apps/one.yaml": "1\n", "apps/two.yaml": "2\n"})
			byForge := w.commitOf(w.keys["forge"].sign, joined, "", one, two)
			main := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			parents := either(broken, []gitops.Hash{byForge, main}, []gitops.Hash{main, byForge})
			head := w.commitOf(w.keys["dan"].sign, joined, w.forMain(), parents...)
			return offer{commit: onMain(head), blamed: byForge}
		}},
		{"line of its own with a trust file that the node's roots signed, as the first parent", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			w.base = w.base.with(files{"rbac/admin.yaml": ""})
			w.root = w.commitOf(nil, w.base, "")
			w.keys["ann"] = w.ann
			text := strings.Replace(w.trust(9, ""), "[alice, bob, carol], threshold: 2", "[ann], threshold: 1", 1)
			own := files{"apps/alien.yaml": "x\n"}
			if broken {
				own[trustYAML] = strings.Replace(text, "approvals: 2", "approvals: 1", 1)
			}
			alien := w.commitOf(either(broken, w.ann, w.keys["dan"]).sign, own, "")
			line := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			head := w.commitOf(w.keys["dan"].sign, w.base.with(own), w.forMain(), alien, line)
			return offer{commit: onMain(head), blamed: alien, config: func(c *verify.Config) {
				c.AllowedSigners = w.file("all", "ann@example.com "+w.ann.line()+"\ndan@example.com "+w.keys["dan"].line()+"\n")
				c.Roots, c.RootThreshold = w.file("node-roots", "ann@example.com "+w.ann.line()+"\n"), 1
			}}
		}},
		{"commit by somebody whom only the trust file below names, and it is not there yet", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			// What is new is judged by what is new: not by the accepted trust file.
			start, back := w.leavesAndComesBack("erin")
			head := w.commitOf(w.keys["erin"].sign, back.tree, w.forMain(), either(broken, start.id, back.id))
			return offer{commit: onMain(head), accepted: start.id, blamed: head}
		}},
		{"old commit merged in, whose trust file does not name who merges", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			start, back := w.leavesAndComesBack("erin")
			head := w.commitOf(w.keys["erin"].sign, back.tree, w.forMain(), back.id, either(broken, start.id, w.root))
			return offer{commit: onMain(head), accepted: start.id, blamed: head}
		}},
		{"unsigned commit below one whose trust file does not parse", gitops.Unsigned, func(w *inband, broken bool) offer {
			bad := w.commitOf(either(broken, nil, sign(w.keys["dan"].sign)), w.base, "", w.root)
			next := w.base
			if broken {
				next = w.base.with(files{trustYAML: "nonsense: true\n"})
			}
			second := w.commitOf(w.keys["dan"].sign, next, "", bad)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), second)
			return offer{commit: onMain(head), blamed: bad}
		}},
		{"more accepted commits by a stolen key than may be looked at", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			var line []gitops.Hash
			for parent := w.root; len(line) < 4; parent = line[len(line)-1] {
				line = append(line, w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), parent))
			}
			if broken {
				w.revoke(w.keys["dan"].fingerprint(), "alice", "bob")
			}
			return offer{commit: onMain(line[3]), accepted: line[3], blamed: line[2], config: func(c *verify.Config) { c.MaxCommits = 2 }}
		}},
		{"merge by somebody whom the accepted trust file does not name, of a branch that left before it", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			// The line that they come in by descends from what was accepted; the
			// branch does not, and is held to it.
			left, back := w.leavesAndComesBack("erin")
			side := w.commitOf(w.keys[either(broken, "erin", "dan")].sign, w.base, "", w.root)
			head := w.commitOf(w.keys["erin"].sign, back.tree, w.forMain(), back.id, side)
			return offer{commit: onMain(head), accepted: left.id, blamed: side}
		}},
		{"branch of somebody who was out, merged into the line where they were", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			left, back := w.leavesAndComesBack("erin")
			side := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
			parents := either(broken, []gitops.Hash{left.id, side, back.id}, []gitops.Hash{back.id, side, left.id})
			head := w.commitOf(w.keys["dan"].sign, back.tree, w.forMain(), parents...)
			return offer{commit: onMain(head), accepted: back.id, blamed: side}
		}},
		{"merge of a newer trust file, which does not name who made the line", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			// One of the same version has no say about the other line.
			ours := w.base.with(files{trustYAML: w.trust(2, "")})
			theirs := w.base.with(files{trustYAML: w.without(either(broken, 3, 2), "erin")})
			one := w.commitOf(w.keys["alice"].sign, ours, "", w.root)
			two := w.commitOf(w.keys["alice"].sign, theirs, "", w.root)
			for _, c := range []gitops.Hash{one, two} {
				w.approve("bob", c, w.root)
			}
			next := w.commitOf(w.keys["erin"].sign, ours, "", one)
			head := w.commitOf(w.keys["dan"].sign, either(broken, theirs, ours), w.forMain(), next, two)
			return offer{commit: onMain(head), blamed: next}
		}},
		{"introduction changed to another line, and a seal past the accepted commit", gitops.NotDescendant, func(w *inband, broken bool) offer {
			// That the roots sealed past what was accepted says nothing of where
			// the head comes from.
			start := w.root
			if broken {
				w.root = w.commitOf(nil, w.base.with(files{"apps/other.yaml": "x\n"}), "")
			}
			accepted := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), start)
			sealed := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), accepted)
			w.seal(sealed, now, "alice", "bob")
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), sealed)
			return offer{commit: onMain(head), accepted: accepted, blamed: head}
		}},
		{"line beside an introduction that a key signed which is revoked now", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			// The introduction stands whatever became of the key: what does not
			// descend from it is held to its trust file.
			older := w.commitOf(nil, w.base, "")
			w.root = w.commitOf(w.taken.sign, w.base.with(files{trustYAML: w.without(2, "erin")}), "", older)
			back := w.base.with(files{trustYAML: w.trust(3, "")})
			next := w.commitOf(w.keys["alice"].sign, back, "", w.root)
			w.approve("bob", next, w.root)
			side := w.commitOf(w.keys[either(broken, "erin", "dan")].sign, w.base, "", older)
			head := w.commitOf(w.keys["dan"].sign, back, w.forMain(), next, side)
			return offer{commit: onMain(head), accepted: w.root, blamed: side}
		}},
		{"fork that left longer ago than is walked", gitops.Fork, func(w *inband, broken bool) offer {
			accepted := w.root
			for range 25 {
				accepted = w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), accepted)
			}
			head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), accepted: accepted, blamed: head,
				config: both(waive(accepted, either(broken, accepted, head)), func(c *verify.Config) { c.MaxCommits = 1 })}
		}},
		{"accepted commit without a parent, by a key that is revoked now", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			head := w.commit(either(broken, w.taken.sign, w.ann.sign))
			return offer{commit: onMain(head), accepted: head, blamed: head, config: func(c *verify.Config) { c.Introduction = verify.FirstSeen }}
		}},
		{"branch beside an accepted commit by a stolen key, which the roots sealed", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			// The seal keeps it as the ground to stand on, and so its trust file.
			tree := w.base.with(files{trustYAML: w.without(2, "erin")})
			left := w.commitOf(w.keys["alice"].sign, tree, "", w.root)
			accepted := w.commitOf(w.keys["bob"].sign, tree, "", left)
			back := w.base.with(files{trustYAML: w.trust(3, "")})
			next := w.commitOf(w.keys["alice"].sign, back, "", accepted)
			w.approve("carol", next, accepted)
			w.seal(accepted, now, "alice", "carol")
			w.revoke(w.keys["bob"].fingerprint(), "alice", "carol")
			side := w.commitOf(w.keys[either(broken, "erin", "dan")].sign, w.base, "", w.root)
			head := w.commitOf(w.keys["dan"].sign, back, w.forMain(), next, side)
			return offer{commit: onMain(head), accepted: accepted, blamed: side}
		}},
		{"commit on top of a merge, by somebody who is not back yet", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			// What was merged below has no say about who comes after it.
			left, _ := w.leavesAndComesBack("erin")
			merged := w.commitOf(w.keys["dan"].sign, left.tree, "", left.id, w.commitOf(w.keys["dan"].sign, w.base, "", w.root))
			tree := w.base.with(files{trustYAML: w.trust(3, "")})
			back := w.commitOf(w.keys["alice"].sign, tree, "", merged)
			w.approve("bob", back, merged)
			head := w.commitOf(w.keys["erin"].sign, either(broken, left.tree, tree), w.forMain(), either(broken, merged, back))
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}

// Who takes themselves out stays accepted where every commit is judged, too.
func TestAcceptedHeadThatTakesItsSignerOut(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["erin"].sign, w.base.with(files{trustYAML: w.without(2, "erin")}), w.forMain(), w.root)
	w.approve("alice", head, w.root)
	w.approve("bob", head, w.root)
	for name, accepted := range map[string]gitops.Hash{"new": w.root, "at the next poll": head} {
		if got, err := w.verifier(t, nil).Verify(t.Context(), onMain(head), accepted); err != nil || got.Signer() != "erin" {
			t.Errorf("%s: by %q, %v", name, got.Signer(), err)
		}
	}
}

// What lies below a seal need not be here, nor be well formed, when a branch that
// left there is merged in: whether it also comes after what was accepted is then
// not asked.
func TestSealWithNothingBelow(t *testing.T) {
	for what, below := range map[string]gitops.Hash{"a hole": gitops.Hash(strings.Repeat("a", 40)), "no id": "what"} {
		t.Run(what, func(t *testing.T) {
			testSealAbove(t, below)
		})
	}
}

func testSealAbove(t *testing.T, below gitops.Hash) {
	w := newInband(t)
	another := w.commitOf(nil, w.base, "")
	sealed := w.commitOf(nil, w.base, "", below)
	w.root = w.commitOf(nil, w.base, "", another)
	w.seal(sealed, now, "alice", "bob")
	side := w.commitOf(w.keys["erin"].sign, w.base, "", sealed)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root, side)
	w.remove(another)
	for name, accepted := range map[string]gitops.Hash{"at first": "", "later": w.root} {
		if got, err := w.verifier(t, nil).Verify(t.Context(), onMain(head), accepted); err != nil || !got.Valid() {
			t.Errorf("%s: %v", name, err)
		}
	}
}
