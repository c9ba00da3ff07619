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

// pick is ann's signature, or the one that breaks the rule.
func pick(w *world, broken bool, other sign) sign {
	if broken {
		return other
	}
	return w.ann.sign
}

func TestEveryCommitOfTheHistoryIsJudged(t *testing.T) {
	w := newWorld(t)
	middle := func(other func(w *world) sign) func(*world, bool) offer {
		return func(w *world, broken bool) offer {
			bad := w.commit(pick(w, broken, other(w)), w.chain(2, w.ann.sign, w.root)[1])
			return offer{commit: onMain(w.chain(2, w.ben.sign, bad)[1]), blamed: bad}
		}
	}
	side := func(other func(w *world) sign, parents int) func(*world, bool) offer {
		return func(w *world, broken bool) offer {
			base := w.commit(w.ann.sign, w.root)
			bad := w.commit(pick(w, broken, other(w)), base)
			tips := []gitops.Hash{w.commit(w.ann.sign, base)}
			for range parents - 2 {
				tips = append(tips, w.commit(w.ben.sign, base))
			}
			tips = append(tips, w.commit(w.ann.sign, bad))
			return offer{commit: onMain(w.commit(w.ann.sign, tips...)), accepted: base, blamed: bad}
		}
	}
	nobody := func(*world) sign { return nil }
	mallory := func(w *world) sign { return w.mallory.sign }
	runScenarios(t, w, []scenario{
		{"unsigned commit in the middle", gitops.Unsigned, middle(nobody)},
		{"unknown signer in the middle", gitops.UnknownSigner, middle(mallory)},
		{"revoked key in the middle", gitops.KeyRevoked, middle(func(w *world) sign { return w.taken.sign })},
		{"expired key in the middle", gitops.KeyExpired, middle(func(w *world) sign { return w.gone.sign })},
		{"unsigned commit on a side branch", gitops.Unsigned, side(nobody, 2)},
		{"unknown signer on a side branch", gitops.UnknownSigner, side(mallory, 2)},
		{"unsigned commit behind the third parent", gitops.Unsigned, side(nobody, 3)},
		{"unsigned merge of signed commits", gitops.Unsigned, func(w *world, broken bool) offer {
			head := w.commit(pick(w, broken, nil), w.commit(w.ann.sign, w.root), w.commit(w.ben.sign, w.root))
			return offer{commit: onMain(head), blamed: head}
		}},
		{"unsigned commit with a root of its own, merged in", gitops.Unsigned, func(w *world, broken bool) offer {
			base, alien := w.commit(w.ann.sign, w.root), w.commit(pick(w, broken, nil))
			return offer{commit: onMain(w.commit(w.ann.sign, base, alien)), accepted: base, blamed: alien}
		}},
		{"unsigned side branch from before the introduction", gitops.Unsigned, func(w *world, broken bool) offer {
			before := w.commit(nil)
			start := w.commit(nil, before)
			bad := w.commit(pick(w, broken, nil), before)
			return offer{commit: onMain(w.commit(w.ann.sign, start, bad)), blamed: bad,
				config: func(c *verify.Config) { c.Introduction = string(start) }}
		}},
		{"the oldest of two bad commits is named", gitops.Unsigned, func(w *world, broken bool) offer {
			first := w.commit(pick(w, broken, nil), w.root)
			return offer{commit: onMain(w.commit(pick(w, broken, w.mallory.sign), first)), blamed: first}
		}},
		{"malformed commit in the middle", gitops.MalformedCommit, func(w *world, broken bool) offer {
			text := w.unsigned(w.root)
			if broken {
				text = strings.Replace(text, "\n\n", "\nchange-id x\n\n", 1)
			}
			bad := w.put(gitops.CommitObject, []byte(signText(text, w.ann.sign)))
			return offer{commit: onMain(w.commit(w.ann.sign, bad)), blamed: bad}
		}},
		{"parent that is no id", gitops.MalformedCommit, func(w *world, broken bool) offer {
			text := w.unsigned(w.root)
			if broken {
				text = strings.Replace(text, "parent ", "parent x", 1)
			}
			head := w.put(gitops.CommitObject, []byte(signText(text, w.ann.sign)))
			return offer{commit: onMain(head), blamed: head}
		}},
		{"parent that is a tree", gitops.MalformedCommit, func(w *world, broken bool) offer {
			parents := []gitops.Hash{w.root}
			if broken {
				parents = append(parents, emptyTree)
			}
			return offer{commit: onMain(w.commit(w.ann.sign, parents...)), blamed: emptyTree}
		}},
	})
}

func TestAncestry(t *testing.T) {
	w := newWorld(t)
	line := w.chain(4, w.ann.sign, w.root)
	other := w.commit(nil)
	offered := func(good, bad gitops.Hash, accepted gitops.Hash) func(*world, bool) offer {
		return func(_ *world, broken bool) offer {
			if broken {
				return offer{commit: onMain(bad), accepted: accepted, blamed: bad}
			}
			return offer{commit: onMain(good), accepted: accepted}
		}
	}
	start := func(good, bad gitops.Hash, accepted gitops.Hash) func(*world, bool) offer {
		return func(_ *world, broken bool) offer {
			o := offer{commit: onMain(line[3]), accepted: accepted, blamed: line[3]}
			o.config = func(c *verify.Config) {
				if c.Introduction = string(good); broken {
					c.Introduction = string(bad)
				}
			}
			return o
		}
	}
	mode := func(mode string, build func(*world, bool) offer) func(*world, bool) offer {
		return func(w *world, broken bool) offer {
			o := build(w, broken)
			o.config = func(c *verify.Config) { c.Mode, c.Insecure = mode, true }
			return o
		}
	}
	fork := w.commit(w.ann.sign, line[1])
	orphan := w.commit(w.ann.sign)
	skewed := w.put(gitops.CommitObject, []byte(signText(strings.ReplaceAll(w.unsigned(line[3]), "> 17", "> 10"), w.ann.sign)))
	runScenarios(t, w, []scenario{
		{"head is the parent of the accepted commit", gitops.RolledBack, offered(line[3], line[1], line[2])},
		{"head is the introduction", gitops.RolledBack, offered(line[3], w.root, line[2])},
		{"head is older and dated later", gitops.RolledBack, offered(w.commit(w.ann.sign, skewed), line[3], skewed)},
		{"head left the accepted commit behind", gitops.Fork, offered(line[3], fork, line[2])},
		{"head is a new root", gitops.Fork, offered(line[3], orphan, line[2])},
		{"head of another repository", gitops.Fork, offered(line[3], other, line[2])},
		{"head is not below the introduction", gitops.NotDescendant, offered(line[3], orphan, "")},
		{"head is older than the introduction", gitops.NotDescendant, start(line[1], w.commit(w.ann.sign, line[3]), "")},
		{"introduction was changed to another line", gitops.NotDescendant, start(line[0], other, line[2])},
		{"introduction that does not exist", gitops.NotDescendant, start(w.root, gitops.Hash(strings.Repeat("a", 40)), "")},
		{"introduction moved past the accepted commit, on another line", gitops.Fork, func(w *world, broken bool) offer {
			o := offer{commit: onMain(line[3]), accepted: line[0], blamed: line[3]}
			if broken {
				o.accepted = w.commit(w.ann.sign, w.root)
			}
			o.config = func(c *verify.Config) { c.Introduction = string(line[2]) }
			return o
		}},
		{"too many commits at once", gitops.TooManyCommits, func(_ *world, broken bool) offer {
			return offer{commit: onMain(line[3]), blamed: line[3], config: func(c *verify.Config) {
				if c.MaxCommits = 4; broken {
					c.MaxCommits = 3
				}
			}}
		}},
		{"head is no id", gitops.MalformedCommit, func(_ *world, broken bool) offer {
			if broken {
				return offer{commit: onMain("HEAD\x1b[2J")} // no commit is to blame
			}
			return offer{commit: onMain(line[3])}
		}},
		{"head whose parents cannot be read", gitops.MalformedCommit, func(w *world, broken bool) offer {
			text := w.unsigned(line[2])
			if broken {
				text = strings.Replace(text, "parent", "tree "+string(emptyTree)+"\nparent", 1)
			}
			head := w.put(gitops.CommitObject, []byte(signText(text, w.ann.sign)))
			return offer{commit: onMain(head), accepted: line[2], blamed: head}
		}},
		{"head is a blob that holds a signed commit", gitops.MalformedCommit, func(w *world, broken bool) offer {
			kind, text := gitops.CommitObject, signText(w.unsigned(line[3]), w.ann.sign)
			if broken {
				kind = gitops.BlobObject
			}
			head := w.put(kind, []byte(text))
			return offer{commit: onMain(head), blamed: head}
		}},
		{"head is a tree", gitops.MalformedCommit, offered(line[3], emptyTree, "")},
		{"rollback in mode head", gitops.RolledBack, mode(verify.ModeHead, offered(line[3], line[1], line[2]))},
		{"fork in mode head", gitops.Fork, mode(verify.ModeHead, offered(line[3], fork, line[2]))},
		{"not a descendant in mode head", gitops.NotDescendant, mode(verify.ModeHead, offered(line[3], orphan, ""))},
		{"fork in mode none", gitops.Fork, mode(verify.ModeNone, offered(line[3], fork, line[2]))},
		{"unsigned head in mode head", gitops.Unsigned, mode(verify.ModeHead, func(w *world, broken bool) offer {
			head := w.commit(pick(w, broken, nil), w.commit(nil, w.root))
			return offer{commit: onMain(head), blamed: head}
		})},
		{"malformed head in mode none", gitops.MalformedCommit, mode(verify.ModeNone, replaced("Ann", "A\x1bnn"))},
	})
}

func TestHeadsThatAreAccepted(t *testing.T) {
	w := newWorld(t)
	line := w.chain(3, w.ann.sign, w.root)
	gone, soon := w.commit(w.gone.sign, line[2]), w.commit(w.soon.sign, line[2])
	// A branch that was forked from below the accepted commit and merged above it.
	branch := w.commit(w.ben.sign, line[0])
	merge := w.commit(w.ann.sign, line[2], branch)
	// The same commits as before, met on another way: they are not judged again.
	early := w.commit(w.gone.sign, w.root)
	joined := w.commit(w.ann.sign, w.commit(w.ann.sign, w.root), early)
	again := w.commit(w.ann.sign, joined, w.commit(w.ann.sign, early))
	for _, c := range []struct {
		name           string
		head, accepted gitops.Hash
		signer         string
		change         func(*verify.Config)
	}{
		{"head is accepted already", line[2], line[2], "ann@example.com,*@ann.example.com", nil},
		{"head is accepted already and its key expired since", gone, gone, "gone@example.com", nil},
		{"head is accepted already and its key is not valid yet", soon, soon, "soon@example.com", nil},
		{"head is the introduction", w.root, "", "introduction", nil},
		{"head is the introduction and accepted", w.root, w.root, "introduction", nil},
		{"introduction is signed too", line[0], "", "ann@example.com,*@ann.example.com", func(c *verify.Config) { c.Introduction = string(line[0]) }},
		{"introduction moved past the accepted commit", line[2], line[0], "ann@example.com,*@ann.example.com", func(c *verify.Config) { c.Introduction = string(line[1]) }},
		{"branch from below the accepted commit", merge, line[2], "ann@example.com,*@ann.example.com", nil},
		{"commit that was accepted and met again", again, joined, "ann@example.com,*@ann.example.com", nil},
		{"mode none", w.commit(nil, line[2]), line[2], "", func(c *verify.Config) { c.Mode, c.Insecure = verify.ModeNone, true }},
		{"mode none without an introduction", w.commit(nil, line[2]), line[2], "", func(c *verify.Config) {
			c.Mode, c.Insecure, c.Introduction = verify.ModeNone, true, ""
		}},
		{"mode none at the first start", w.commit(nil, line[2]), "", "", func(c *verify.Config) {
			c.Mode, c.Insecure, c.Introduction, c.AllowedSigners = verify.ModeNone, true, "", ""
		}},
		{"mode head judges the head only", w.commit(w.ben.sign, w.commit(nil, line[2])), line[2], "ben@example.com", func(c *verify.Config) { c.Mode = verify.ModeHead }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			got, err := w.verifier(c.change).Verify(t.Context(), onMain(c.head), c.accepted)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Valid() || got.Hash() != c.head || got.Signer() != c.signer || got.FirstSeen() {
				t.Errorf("got %s by %q, first seen %v", got.Hash(), got.Signer(), got.FirstSeen())
			}
		})
	}
}

// What is not there cannot be judged: that is for pull to mend, not a refusal.
func TestMissingCommitsAreIncomplete(t *testing.T) {
	for name, pick := range map[string]int{"parent": 0, "head": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			line := w.chain(3, w.ann.sign, w.root)
			w.remove(line[pick])
			for _, accepted := range []gitops.Hash{"", w.root} {
				_, err := w.verifier(nil).Verify(t.Context(), onMain(line[2]), accepted)
				if gitops.ReasonOf(err) != gitops.Incomplete {
					t.Errorf("accepted %q: %v", accepted, err)
				}
			}
			if _, err := w.verifier(nil).Explain(t.Context(), onMain(line[2]), ""); gitops.ReasonOf(err) != gitops.Incomplete {
				t.Errorf("Explain: %v", err)
			}
		})
	}
	t.Run("on the way from the introduction to what is accepted", func(t *testing.T) {
		w := newWorld(t)
		line := w.chain(4, w.ann.sign, w.root)
		w.remove(line[0])
		if _, err := w.verifier(nil).Verify(t.Context(), onMain(line[3]), line[2]); gitops.ReasonOf(err) != gitops.Incomplete {
			t.Errorf("Verify: %v", err)
		}
	})
	t.Run("below what is accepted nothing is needed", func(t *testing.T) {
		w := newWorld(t)
		line := w.chain(3, w.ann.sign, w.root)
		head := w.commit(w.ann.sign, line[2], w.commit(w.ann.sign, line[1]))
		w.remove(w.root)
		w.remove(line[0])
		v := w.verifier(func(c *verify.Config) { c.Introduction = string(line[1]) })
		if _, err := v.Verify(t.Context(), onMain(head), line[2]); err != nil {
			t.Error(err)
		}
	})
}

// What was proved for one accepted commit says nothing about another one.
func TestIntroductionIsProvedForEachAcceptedCommit(t *testing.T) {
	w := newWorld(t)
	v := w.verifier(nil)
	head, orphan := w.commit(w.ann.sign, w.root), w.commit(w.ann.sign)
	if _, err := v.Verify(t.Context(), onMain(head), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), onMain(orphan), orphan); gitops.ReasonOf(err) != gitops.NotDescendant {
		t.Errorf("accepted commit of another line: %v", err)
	}
}

// at does something when an object is read for the nth time.
type at struct {
	verify.Objects
	id    gitops.Hash
	reads int
	do    func() error
}

func (a *at) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	if id == a.id {
		if a.reads--; a.reads == 0 {
			if err := a.do(); err != nil {
				return "", nil, err
			}
		}
	}
	return a.Objects.Object(ctx, id)
}

// Neither a shutdown nor a broken disk is a decision about a commit.
func TestInterruptedWalkIsNoDecision(t *testing.T) {
	w := newWorld(t)
	line := w.chain(2, w.ann.sign, w.root)
	fork := w.commit(w.ann.sign, line[0])
	t.Run("shutdown while a fork is told from a rollback", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		v, err := verify.New(w.config(), &at{w, line[1], 2, func() error { cancel(); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(ctx, onMain(fork), line[1]); !errors.Is(err, context.Canceled) {
			t.Errorf("Verify: %v", err)
		}
	})
	t.Run("broken disk below the accepted commit", func(t *testing.T) {
		v, err := verify.New(w.config(), &at{w, line[0], 1, func() error { return errors.New("disk") }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), onMain(line[1]), line[0]); gitops.ReasonOf(err) != gitops.StoreFailed {
			t.Errorf("Verify: %v", err)
		}
	})
}
