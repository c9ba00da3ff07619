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

// failing is a store whose nth answer is an error.
type failing struct {
	verify.Objects
	reads int
	nth   int
	last  gitops.Hash // what was asked for when it failed
	err   func() error
}

func (f *failing) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	if f.reads++; f.reads == f.nth {
		f.last = id
		return "", nil, f.err()
	}
	return f.Objects.Object(ctx, id)
}

// eventful is an offer that every rule has something to say about: a forge
// merges a branch with an approved protected change into a line with a rotation,
// there are revocations, seals and a heartbeat, and a second merge base is near.
func eventful(t *testing.T) (*inband, offer) {
	w := newInband(t)
	sealed := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
	accepted := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "a: 2\n"}), "", sealed)
	theirs := w.commitOf(w.keys["erin"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), "", sealed)
	for _, name := range []string{"alice", "bob", "dan"} {
		w.approve(name, theirs, sealed)
	}
	next := w.base.with(files{"apps/web.yaml": "a: 2\n", trustYAML: w.trust(2, "heartbeat: {by: [developer]}\n")})
	ours := w.commitOf(w.keys["alice"].sign, next, "", accepted)
	w.approve("bob", ours, accepted)
	head := w.commitOf(w.keys["forge"].sign, next.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), ours, theirs)
	w.revoke(w.mallory.fingerprint()+"\n", "alice", "bob")
	w.seal(sealed, now, "alice", "bob")
	w.state("dan", verify.HeartbeatRef("refs/heads/main"), head, gitops.CommitObject, verify.HeartbeatMessage(w.root, "refs/heads/main", head, 3, now))
	return w, offer{commit: onMain(head), accepted: accepted}
}

// questions are all that is asked of a Verifier. Each returns whether something
// was let through.
func questions(o offer) map[string]func(context.Context, *verify.Verifier) (bool, error) {
	return map[string]func(context.Context, *verify.Verifier) (bool, error){
		"Verify": func(ctx context.Context, v *verify.Verifier) (bool, error) {
			c, err := v.Verify(ctx, o.commit, o.accepted)
			return c.Valid(), err
		},
		"Verify at first": func(ctx context.Context, v *verify.Verifier) (bool, error) {
			c, err := v.Verify(ctx, o.commit, "")
			return c.Valid(), err
		},
		"Again": func(ctx context.Context, v *verify.Verifier) (bool, error) {
			c, err := v.Again(ctx, o.commit.Revision)
			return c.Valid(), err
		},
		"Published": func(ctx context.Context, v *verify.Verifier) (bool, error) {
			_, err := v.Published(ctx, o.commit, o.accepted)
			return false, err
		},
		"Explain": func(ctx context.Context, v *verify.Verifier) (bool, error) {
			_, err := v.Explain(ctx, o.commit, o.accepted)
			return false, err
		},
	}
}

// failEachRead asks as often as there are reads, and has another one fail each
// time: that is no decision. When none fails, all is well.
func failEachRead(t *testing.T, objects verify.Objects, cfg verify.Config, least int, ask func(*verify.Verifier) (bool, error)) {
	t.Helper()
	for n := 1; ; n++ {
		store := &failing{Objects: objects, nth: n, err: func() error { return errors.New("disk") }}
		v, err := verify.New(cfg, store)
		if err != nil {
			t.Fatal(err)
		}
		valid, err := ask(v)
		if store.last == "" {
			if err != nil || n < least {
				t.Fatalf("with all reads well: %v after %d reads", err, n)
			}
			return
		}
		if valid || gitops.ReasonOf(err) != gitops.StoreFailed {
			t.Errorf("read %d of %s fails: valid %v, %v", n, store.last.Short(), valid, err)
		}
	}
}

// A store that cannot read, at whatever moment, is no decision about a commit:
// neither is it let through, nor is anybody blamed.
func TestReadsThatFailAreNoDecision(t *testing.T) {
	t.Parallel()
	w, o := eventful(t)
	all := questions(o)
	head := o.commit.Revision.Hash()
	approved := w.commitOf(w.keys["erin"].sign, w.base.with(files{trustYAML: w.trust(2, "heartbeat: {by: [developer]}\n"), "apps/web.yaml": "a: 2\n", "rbac/admin.yaml": "c: 2\n"}), "", head)
	w.approve("dan", approved, head)
	released := questions(offer{commit: onMain(approved), accepted: head})
	all["Verify what an approval releases"], all["Explain what an approval releases"] = released["Verify"], released["Explain"]
	sealed := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
	w.seal(sealed, now, "alice", "bob")
	above := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), sealed)
	all["Verify what lies above a seal"] = questions(offer{commit: onMain(above), accepted: w.root})["Verify"]
	for name, ask := range all {
		t.Run(name, func(t *testing.T) {
			failEachRead(t, w, w.config(), 15, func(v *verify.Verifier) (bool, error) { return ask(t.Context(), v) })
		})
	}
}

// The same where the tag is signed, by somebody who may or who has left since.
func TestReadsThatFailInModeTagAreNoDecision(t *testing.T) {
	t.Parallel()
	w := newInband(t)
	head := w.commitOf(nil, w.base, "", w.root)
	c := onTag("v1", head, w.tag(w.keys["dan"].sign, head, gitops.CommitObject, "v1"))
	leaves := w.leaving(verify.ModeTag, w.root)
	for name, o := range map[string]offer{
		"new": {commit: c, accepted: w.root}, "accepted": {commit: leaves, accepted: leaves.Revision.Hash()},
	} {
		cfg := w.config()
		both(tagMode, acceptedAs(o.commit))(&cfg)
		for question, ask := range questions(o) {
			t.Run(name+", "+question, func(t *testing.T) {
				failEachRead(t, w, cfg, 5, func(v *verify.Verifier) (bool, error) { return ask(t.Context(), v) })
			})
		}
	}
}

// Dates that lie can make an old commit look new, and whether it is shows only
// below what was accepted. A store that cannot read there has decided nothing:
// an old commit is not refused for it.
func TestReadsThatFailWhileItIsSettledWhatIsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := memory{}
	root := m.commit(nil, 1000)
	older := m.commit(nil, 1500, root)
	old := m.commit(nil, 2000, older)
	accepted := m.commit(w.ann.sign, 10, m.commit(w.ann.sign, 9, old))
	o := offer{commit: onMain(m.commit(w.ann.sign, 3000, accepted, old)), accepted: accepted}
	cfg := w.config()
	cfg.Introduction = string(root)
	for name, ask := range questions(o) {
		if name == "Verify at first" { // then the old ones are new, and unsigned
			continue
		}
		t.Run(name, func(t *testing.T) {
			failEachRead(t, m, cfg, 3, func(v *verify.Verifier) (bool, error) { return ask(t.Context(), v) })
		})
	}
}

// An agent that is stopped, at whatever moment, has not decided.
func TestContextEndsEveryQuestion(t *testing.T) {
	t.Parallel()
	w, o := eventful(t)
	for name, ask := range questions(o) {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				ctx, cancel := context.WithCancel(t.Context())
				store := &failing{Objects: w, nth: n, err: func() error { cancel(); return ctx.Err() }}
				v, err := verify.New(w.config(), store)
				if err != nil {
					t.Fatal(err)
				}
				valid, err := ask(ctx, v)
				cancel()
				if store.last == "" {
					break
				}
				if valid || !errors.Is(err, context.Canceled) {
					t.Errorf("stopped at read %d: valid %v, %v", n, valid, err)
				}
			}
		})
	}
}

// What must be refused is not let through because an object was missing for a
// moment, whichever it was.
func TestReadsThatFailLetNothingThrough(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func(w *inband) offer{
		"key that the offered trust file revokes": func(w *inband) offer {
			bad := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
			next := w.base.with(files{trustYAML: w.trust(2, "revoked: ["+w.keys["dan"].fingerprint()+"]\n")})
			tip := w.commitOf(w.keys["erin"].sign, next, w.forMain(), bad)
			w.approve("alice", tip, bad)
			w.approve("bob", tip, bad)
			return offer{commit: onMain(tip)}
		},
		"key that the roots revoked": func(w *inband) offer {
			w.revoke(w.keys["dan"].fingerprint()+"\n", "alice", "bob")
			bad := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
			return offer{commit: onMain(w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), bad))}
		},
		"branch of somebody who lost the role": func(w *inband) offer {
			next := w.base.with(files{trustYAML: strings.Replace(w.trust(2, ""), "[dan, erin]", "[dan]", 1)})
			ours := w.commitOf(w.keys["alice"].sign, next, "", w.root)
			w.approve("bob", ours, w.root)
			theirs := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
			return offer{commit: onMain(w.commitOf(w.keys["dan"].sign, next, w.forMain(), ours, theirs))}
		},
		"protected change": func(w *inband) offer {
			return offer{commit: onMain(w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root))}
		},
		"head below the accepted commit": func(w *inband) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), accepted: w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), head)}
		},
		"head on top of a revoked accepted commit": func(w *inband) offer {
			bad := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			w.revoke(w.keys["dan"].fingerprint()+"\n", "alice", "bob")
			return offer{commit: onMain(w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), bad)), accepted: bad}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInband(t)
			o := build(w)
			for _, reason := range []gitops.Reason{gitops.Incomplete, gitops.StoreFailed, gitops.Corrupt} {
				for n := 1; ; n++ {
					store := &failing{Objects: w, nth: n, err: func() error { return &gitops.Error{Reason: reason, Message: "for a moment"} }}
					v, err := verify.New(w.config(), store)
					if err != nil {
						t.Fatal(err)
					}
					got, err := v.Verify(t.Context(), o.commit, o.accepted)
					if err == nil || got.Valid() {
						t.Errorf("let through when read %d of %s is %s", n, store.last.Short(), reason)
					}
					if store.last == "" {
						break
					}
				}
			}
		})
	}
}
