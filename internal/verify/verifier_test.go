// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Only this package makes a Commit: it has no field that another one can set,
// none that encoding/json can fill, and its zero value is good for nothing.
func TestCommitCannotBeMadeElsewhere(t *testing.T) {
	var zero verify.Commit
	if zero.Valid() {
		t.Error("the zero Commit is valid")
	}
	kind := reflect.TypeOf(zero)
	for i := range kind.NumField() {
		if kind.Field(i).IsExported() {
			t.Errorf("field %s can be set from outside", kind.Field(i).Name)
		}
	}
	for i := range reflect.PointerTo(kind).NumMethod() {
		// Release judges what it is given; a value receiver cannot set anything.
		if m := reflect.PointerTo(kind).Method(i); m.Type.NumIn() > 1 && !strings.HasPrefix(m.Name, "Release") {
			t.Errorf("method %s takes arguments: does it set something?", m.Name)
		}
	}
}

func TestFirstSeenPinsTheFirstVerifiedHead(t *testing.T) {
	w := newWorld(t)
	line := w.chain(3, nil, w.root)
	firstSeen := func(c *verify.Config) { c.Introduction = verify.FirstSeen }
	v := w.verifier(firstSeen)
	bad := w.commit(w.mallory.sign, line[2])
	if got, err := v.Verify(t.Context(), onMain(bad), ""); gitops.ReasonOf(err) != gitops.UnknownSigner || got.FirstSeen() {
		t.Errorf("a head by an unknown signer: %v, first seen %v", err, got.FirstSeen())
	}
	head := w.commit(w.ann.sign, line[2])
	got, err := v.Verify(t.Context(), onMain(head), "")
	if err != nil || !got.FirstSeen() || !got.Valid() {
		t.Fatalf("the first head: %v, first seen %v", err, got.FirstSeen())
	}
	// The same verifier, now that something was accepted; and the next one,
	// which is given what was pinned.
	next := w.commit(w.ann.sign, head)
	for name, v := range map[string]*verify.Verifier{
		"same": v, "pinned": w.verifier(func(c *verify.Config) { c.Introduction, c.Pinned = string(head), true }),
	} {
		if got, err := v.Verify(t.Context(), onMain(next), head); err != nil || got.FirstSeen() {
			t.Errorf("%s, next head: %v, first seen %v", name, err, got.FirstSeen())
		}
		if _, err := v.Verify(t.Context(), onMain(line[2]), head); gitops.ReasonOf(err) != gitops.RolledBack {
			t.Errorf("%s, older head: %v", name, err)
		}
		if len(v.Warnings()) != 1 || !strings.Contains(v.Warnings()[0], "first-seen") {
			t.Errorf("%s warns %q", name, v.Warnings())
		}
	}
}

func TestWarnings(t *testing.T) {
	w := newWorld(t)
	if got := w.verifier(nil).Warnings(); len(got) != 0 {
		t.Errorf("a sound source warns %q", got)
	}
	got := w.verifier(func(c *verify.Config) { c.Mode, c.Insecure = verify.ModeNone, true }).Warnings()
	if len(got) != 1 || !strings.Contains(got[0], "none") {
		t.Errorf("mode none warns %q", got)
	}
}

func TestAgain(t *testing.T) {
	w := newWorld(t)
	signed, unsigned := w.commit(w.ann.sign, w.root), w.commit(nil, w.root)
	again := func(t *testing.T, change func(*verify.Config), hash gitops.Hash) (verify.Commit, error) {
		w.t = t
		return w.verifier(change).Again(t.Context(), gitops.NewRevision("main", hash))
	}
	for name, c := range map[string]struct {
		hash   gitops.Hash
		change func(*verify.Config)
		reason gitops.Reason
		signer string
	}{
		"signed":                     {signed, nil, "", "ann@example.com,*@ann.example.com"},
		"not below the introduction": {w.commit(w.ben.sign), nil, "", "ben@example.com"},
		"key that expired since":     {w.commit(w.gone.sign, w.root), nil, "", "gone@example.com"},
		"introduction":               {w.root, nil, "", "introduction"},
		"mode none":                  {unsigned, func(c *verify.Config) { c.Mode, c.Insecure = verify.ModeNone, true }, "", ""},
		"key revoked since":          {w.commit(w.taken.sign, w.root), nil, gitops.KeyRevoked, ""},
		"key taken out since":        {w.commit(w.mallory.sign, w.root), nil, gitops.UnknownSigner, ""},
		"unsigned":                   {unsigned, nil, gitops.Unsigned, ""},
		"mode tag, object unknown":   {unsigned, tagMode, gitops.Unsigned, ""},
		"mode tag, signed itself":    {signed, tagMode, "", "ann@example.com,*@ann.example.com"},
		"missing":                    {gitops.Hash(strings.Repeat("a", 40)), nil, gitops.Incomplete, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := again(t, c.change, c.hash)
			if gitops.ReasonOf(err) != c.reason || got.Valid() != (c.reason == "") || got.Signer() != c.signer {
				t.Errorf("signer %q, valid %v, %v, want %q", got.Signer(), got.Valid(), err, c.reason)
			}
			if e, ok := errors.AsType[*gitops.Error](err); ok && e.Commit != c.hash {
				t.Errorf("blames %s", e.Commit)
			}
		})
	}
	t.Run("mode tag", func(t *testing.T) {
		tags := map[gitops.Reason]sign{"": w.ann.sign, gitops.KeyRevoked: w.taken.sign, gitops.Unsigned: nil}
		for reason, s := range tags {
			config := func(c *verify.Config) {
				tagMode(c)
				c.TagOf = func(context.Context, gitops.Revision) (gitops.Hash, error) {
					return w.tag(s, unsigned, gitops.CommitObject, "main"), nil
				}
			}
			if got, err := again(t, config, unsigned); gitops.ReasonOf(err) != reason || got.Valid() != (reason == "") {
				t.Errorf("%v, want %q", err, reason)
			}
		}
		lost := errors.New("lost")
		_, err := again(t, func(c *verify.Config) {
			tagMode(c)
			c.TagOf = func(context.Context, gitops.Revision) (gitops.Hash, error) { return "", lost }
		}, signed)
		if !errors.Is(err, lost) {
			t.Errorf("a tag that cannot be looked up: %v", err)
		}
	})
}

func TestExplainTellsOfEveryCommit(t *testing.T) {
	w := newWorld(t)
	first := w.commit(nil, w.root)
	second := w.commit(w.ann.sign, first)
	third := w.put(gitops.CommitObject, []byte(signText(strings.Replace(w.unsigned(second), "change", "\x1b[31mch\u202eange", 1), w.mallory.sign)))
	decisions, err := w.verifier(nil).Explain(t.Context(), onMain(third), "")
	if err != nil {
		t.Fatal(err)
	}
	type short struct {
		Commit  gitops.Hash
		Trusted bool
		Signer  string
		Reason  gitops.Reason
	}
	var got []short
	for _, d := range decisions {
		got = append(got, short{d.Commit, d.Trusted, d.Signer, d.Reason})
	}
	want := []short{
		{third, false, "", gitops.UnknownSigner},
		{second, true, "ann@example.com,*@ann.example.com", ""},
		{first, false, "", gitops.Unsigned},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if s := decisions[0].Subject; !strings.HasPrefix(s, `\x1b[31mch\u202eange`) {
		t.Errorf("subject %q is not escaped", s)
	}
	if decisions[1].Key != w.ann.fingerprint() || decisions[1].Rule != "history: signed by an allowed signer" {
		t.Errorf("decision %+v", decisions[1])
	}
	if !strings.Contains(decisions[0].Message, w.mallory.fingerprint()) || !strings.Contains(decisions[0].Message, w.dir+"/allowed_signers") {
		t.Errorf("message %q names neither key nor file", decisions[0].Message)
	}
}

func TestExplainOfAcceptedHeadAndOfTooMuch(t *testing.T) {
	w := newWorld(t)
	line := w.chain(3, w.ann.sign, w.root)
	decisions, err := w.verifier(nil).Explain(t.Context(), onMain(line[2]), line[2])
	if err != nil || len(decisions) != 1 || !decisions[0].Trusted {
		t.Errorf("accepted head: %+v, %v", decisions, err)
	}
	decisions, err = w.verifier(func(c *verify.Config) { c.MaxCommits = 1 }).Explain(t.Context(), onMain(line[2]), "")
	if err != nil || len(decisions) != 1 || decisions[0].Reason != gitops.TooManyCommits {
		t.Errorf("too many commits: %+v, %v", decisions, err)
	}
}

func TestReload(t *testing.T) {
	w := newWorld(t)
	v := w.verifier(nil)
	ann, mallory := w.commit(w.ann.sign, w.root), w.commit(w.mallory.sign, w.root)
	check := func(step string, head gitops.Hash, want gitops.Reason) {
		t.Helper()
		if _, err := v.Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != want {
			t.Errorf("%s: %v, want %q", step, err, want)
		}
	}
	reload := func(step string, want gitops.Reason) {
		t.Helper()
		if err := v.Reload(); gitops.ReasonOf(err) != want {
			t.Errorf("%s: Reload: %v, want %q", step, err, want)
		}
	}
	check("at first", ann, "")
	check("at first", mallory, gitops.UnknownSigner)

	w.file("allowed_signers", "mallory@x "+w.mallory.line())
	check("before the reload", mallory, gitops.UnknownSigner)
	reload("another key", "")
	check("another key", mallory, "")
	check("another key", ann, gitops.UnknownSigner)

	w.file("allowed_signers", "ann")
	reload("keys do not parse", gitops.TrustMissing)
	check("keys do not parse: the old ones stay", mallory, "")

	w.file("revoked", w.mallory.fingerprint())
	reload("keys do not parse, one is revoked", gitops.TrustMissing)
	check("a revocation counts although the keys do not parse", mallory, gitops.KeyRevoked)

	w.file("allowed_signers", "mallory@x "+w.mallory.line()+"\nann@x "+w.ann.line())
	w.file("revoked", "what")
	reload("revoked does not parse", gitops.TrustMissing)
	check("revoked does not parse: nothing is let through", ann, gitops.TrustMissing)
	if _, err := v.Again(t.Context(), gitops.NewRevision("main", ann)); gitops.ReasonOf(err) != gitops.TrustMissing {
		t.Errorf("Again without the revoked keys: %v", err)
	}
	if _, err := v.Explain(t.Context(), onMain(ann), ""); gitops.ReasonOf(err) != gitops.TrustMissing {
		t.Errorf("Explain without the revoked keys: %v", err)
	}
	if err := os.Remove(w.dir + "/revoked"); err != nil {
		t.Fatal(err)
	}
	reload("revoked is away", gitops.TrustMissing)
	check("revoked is away", ann, gitops.TrustMissing)

	w.file("revoked", "")
	reload("all is well", "")
	check("all is well", ann, "")
}

// lying gives other bytes, another error or another kind than was asked for.
type lying struct {
	verify.Objects
	change func(kind gitops.ObjectKind, raw []byte) (gitops.ObjectKind, []byte, error)
}

func (l lying) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	kind, raw, err := l.Objects.Object(ctx, id)
	if err != nil {
		return kind, raw, err
	}
	return l.change(kind, raw)
}

func TestObjectsAreHashedAgain(t *testing.T) {
	w := newWorld(t)
	head := w.commit(w.ann.sign, w.root)
	broken := errors.New("disk")
	for name, c := range map[string]struct {
		change func(gitops.ObjectKind, []byte) (gitops.ObjectKind, []byte, error)
		reason gitops.Reason
	}{
		"another time": {func(k gitops.ObjectKind, raw []byte) (gitops.ObjectKind, []byte, error) {
			return k, append(slices.Clone(raw), '\n'), nil
		}, gitops.Corrupt},
		"another kind": {func(_ gitops.ObjectKind, raw []byte) (gitops.ObjectKind, []byte, error) {
			return gitops.TagObject, raw, nil
		}, gitops.Corrupt},
		"no bytes": {func(gitops.ObjectKind, []byte) (gitops.ObjectKind, []byte, error) { return "", nil, broken }, gitops.StoreFailed},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := verify.New(w.config(), lying{w, c.change})
			if err != nil {
				t.Fatal(err)
			}
			for _, accepted := range []gitops.Hash{"", head} {
				got, err := v.Verify(t.Context(), onMain(head), accepted)
				if gitops.ReasonOf(err) != c.reason || got.Valid() {
					t.Errorf("accepted %q: %v, want %s", accepted, err, c.reason)
				}
			}
		})
	}
}

// The two PDFs of the SHAttered attack begin with these bytes: half of a
// collision, which the hash must see before it is used as an id.
func TestCollisionsAreSeen(t *testing.T) {
	if verify.Collides([]byte(strings.Repeat("an honest object", 40))) {
		t.Error("an honest object collides")
	}
	data, err := os.ReadFile("testdata/shattered")
	if err != nil {
		t.Fatal(err)
	}
	if !verify.Collides(data) {
		t.Error("half of the SHAttered collision is not seen")
	}
	// Nobody has made two commits that collide, so the rest is shown by hand.
	for collision, want := range map[bool]gitops.Reason{false: "", true: gitops.MalformedCommit} {
		if err := verify.CheckObject(emptyTree, emptyTree, collision); gitops.ReasonOf(err) != want {
			t.Errorf("collision %v: %v, want %q", collision, err, want)
		}
	}
}

func TestContextEndsTheWalk(t *testing.T) {
	w := newWorld(t)
	head := w.chain(3, w.ann.sign, w.root)[2]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.verifier(nil).Verify(ctx, onMain(head), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: %v", err)
	}
}

func TestAcceptedMustBeACommitID(t *testing.T) {
	w := newWorld(t)
	head := w.commit(w.ann.sign, w.root)
	if _, err := w.verifier(nil).Verify(t.Context(), onMain(head), "main"); gitops.ReasonOf(err) != gitops.TrustMissing {
		t.Errorf("Verify: %v", err)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                  "plain",
		"a\x1b[2J\r\nb\u202ec":   `a\x1b[2J\r\nb\u202ec`,
		"J\xfcrg 'x' \"y\"":      "J\uFFFDrg 'x' \"y\"",
		strings.Repeat("x", 500): strings.Repeat("x", 120) + "…",
	} {
		if got := verify.Printable(text); got != want {
			t.Errorf("Printable(%.20q) = %q, want %q", text, got, want)
		}
	}
}

func TestObjectLostOnTheWayIsNoDecision(t *testing.T) {
	w := newWorld(t)
	gone := func() error { return &gitops.Error{Reason: gitops.Incomplete, Message: "gone"} }
	line := w.chain(3, w.ann.sign, w.root)
	v, err := verify.New(w.config(), &at{w, line[1], 2, gone})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), onMain(line[2]), ""); gitops.ReasonOf(err) != gitops.Incomplete {
		t.Errorf("Verify: %v", err)
	}
	if v, err = verify.New(w.config(), &at{w, line[1], 2, gone}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Explain(t.Context(), onMain(line[2]), ""); gitops.ReasonOf(err) != gitops.Incomplete {
		t.Errorf("Explain: %+v, %v", got, err)
	}
}
