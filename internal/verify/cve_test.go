// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// These are replays of what befell others where this package would have had to
// hold. Not here, because nothing of this package is concerned: CVE-2025-21613,
// CVE-2025-21614 and GO-2026-4473 (requests, answers and packs: internal/pull),
// CVE-2024-32002 and CVE-2025-48384 (submodules and checkouts: there are none),
// CVE-2025-32386, CVE-2025-32387, CVE-2025-53547, CVE-2026-113708 and
// CVE-2026-113709 (Helm and Kustomize: internal/render). CVE-2022-36056 and
// CVE-2026-22703, a log entry that is of another signature, are replayed with
// the gitsign signatures. That git judges a key at the date that a commit claims
// is shown by "git: expired key and a commit dated back"; what Guix let pass, a
// head that does not descend from where trust begins, by "git: unrelated root on
// a new node".

// refusedAlone asks a node that trusts ann about one commit.
func refusedAlone(t *testing.T, w *world, raw []byte, want gitops.Reason) {
	t.Helper()
	head := w.put(gitops.CommitObject, raw)
	got, err := w.verifier(nil).Verify(t.Context(), onMain(head), "")
	if gitops.ReasonOf(err) != want || got.Valid() != (want == "") {
		t.Errorf("%v, want %q, for\n%q", err, want, raw)
	}
}

// gitsign and go-git verified a commit that they had written anew from what they
// had read: with two trees the signature covered the one, and Git used the other.
func TestCVE202644309SignatureOfTheCommitWrittenAnew(t *testing.T) {
	w := newWorld(t)
	other := w.tree(files{"evil.yaml": "evil\n"})
	text := w.unsigned(w.root)
	signed := signText(text, w.ann.sign)
	refusedAlone(t, w, []byte(signed), "")
	first, second := "tree "+string(emptyTree)+"\n", "tree "+string(other)+"\n"
	for name, trees := range map[string]string{"before": second + first, "behind": first + second} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			raw := []byte(strings.Replace(signed, first, trees, 1))
			refusedAlone(t, w, raw, gitops.MalformedCommit)
			// Nor when the signature is over the bytes as they are.
			refusedAlone(t, w, []byte(signText(strings.Replace(text, first, trees, 1), w.ann.sign)), gitops.MalformedCommit)
		})
	}
}

func TestCVE202645022HeadersThatAreReadTwoWays(t *testing.T) {
	w := newWorld(t)
	alien := w.commit(nil)
	text := w.unsigned(w.root)
	signed := signText(text, w.ann.sign)
	for name, change := range map[string][2]string{
		"parent behind the author": {"\ncommitter ", "\nparent " + string(alien) + "\ncommitter "},
		"second author":            {"\ncommitter ", "\nauthor " + person + " 1 +0000\ncommitter "},
		"second committer":         {"\ngpgsig ", "\ncommitter " + person + " 1 +0000\ngpgsig "},
		"tree behind the author":   {"\ncommitter ", "\ntree " + string(emptyTree) + "\ncommitter "},
		"header behind":            {"-----END SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\nparent " + string(alien) + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			raw := strings.Replace(signed, change[0], change[1], 1)
			if raw == signed {
				t.Fatal("nothing is changed")
			}
			refusedAlone(t, w, []byte(raw), gitops.MalformedCommit)
		})
	}
}

// gittuf let an older policy, validly signed, take the place of a newer one.
func TestCVE202644544PolicyRolledBack(t *testing.T) {
	runRules(t, []rule{
		{"older trust file, as it was signed then", gitops.TrustRollback, func(w *inband, broken bool) offer {
			second := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: w.trust(2, "")}), "", w.root)
			w.approve("bob", second, w.root)
			again := w.base.with(files{trustYAML: w.trust(either(broken, 1, 3), "")})
			head := w.commitOf(w.keys["alice"].sign, again, "", second)
			w.approve("bob", head, second)
			w.approve("dan", head, second)
			return offer{commit: onMain(head), accepted: second, blamed: head}
		}},
		{"older trust file, on a node that lost what it had accepted", gitops.TrustRollback, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head, config: remembers(verify.Remembered{TrustVersion: either(broken, 2, 1)})}
		}},
	})
}

// RAUC verified a bundle and then read it again by its path. Here the tree is
// handed on by its id, and whatever is read again is hashed again.
func TestCVE202025860BytesChangedAfterTheVerification(t *testing.T) {
	w := newWorld(t)
	head := w.commitOf(w.ann.sign, files{"a.yaml": "good\n"}, "", w.root)
	evil := w.commitOf(w.ann.sign, files{"a.yaml": "evil\n"}, "", w.root)
	_, other, err := w.Object(t.Context(), evil)
	if err != nil {
		t.Fatal(err)
	}
	swapped := false
	v, err := verify.New(w.config(), lying{w, func(k gitops.ObjectKind, raw []byte) (gitops.ObjectKind, []byte, error) {
		if swapped && k == gitops.CommitObject {
			return k, other, nil
		}
		return k, raw, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(t.Context(), onMain(head), "")
	if err != nil {
		t.Fatal(err)
	}
	if want := gitops.Hash(w.git("rev-parse", string(head)+"^{tree}")); got.Tree() != want {
		t.Errorf("tree %s, want %s", got.Tree(), want)
	}
	swapped = true
	if _, err := v.Again(t.Context(), got.Revision()); gitops.ReasonOf(err) != gitops.Corrupt {
		t.Errorf("Again: %v", err)
	}
}

// In RAUC a number that overflowed left most of a payload unsigned. Here every
// byte of a commit or a tag counts: whichever is changed, it is refused.
func TestCVE202634155EveryByteIsSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := []byte(signText(w.unsigned(w.root), w.ann.sign))
	tag := []byte(tagText(w.root, gitops.CommitObject, "v1"))
	tag = append(tag, w.ann.sign(tag)...)
	objects := memoryOf(t, &inband{world: w}, func(gitops.ObjectKind) bool { return true })
	decide := func(kind gitops.ObjectKind, raw []byte) error {
		id := hashOf(kind, raw)
		objects[id] = anything{kind, raw}
		defer delete(objects, id)
		cfg, c := w.config(), onMain(id)
		if kind == gitops.TagObject {
			cfg.Mode, c = verify.ModeTag, onTag("v1", w.root, id)
		}
		v, err := verify.New(cfg, objects)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(t.Context(), c, "")
		return err
	}
	for kind, raw := range map[gitops.ObjectKind][]byte{gitops.CommitObject: text, gitops.TagObject: tag} {
		if err := decide(kind, raw); err != nil {
			t.Fatalf("%s as it is: %v", kind, err)
		}
		for i := range raw {
			for _, bit := range []byte{0x01, 0x20} {
				changed := slices.Clone(raw)
				changed[i] ^= bit
				if err := decide(kind, changed); err == nil {
					t.Errorf("%s with byte %d changed from %q to %q is let through", kind, i, raw[i], changed[i])
				}
			}
			if err := decide(kind, slices.Delete(slices.Clone(raw), i, i+1)); err == nil && i != len(raw)-1 {
				t.Errorf("%s without byte %d (%q) is let through", kind, i, raw[i])
			}
		}
	}
}

// Trees whose entries lead elsewhere (CVE-2023-49569, GO-2026-6213, GO-2026-6214)
// are refused where a decision reads them, well signed as they may be.
func TestCVE202349569TreesThatLeadElsewhere(t *testing.T) {
	w := newWorld(t)
	blob := w.put(gitops.BlobObject, []byte("x\n"))
	entry := func(mode, name string) string {
		raw := must(hex.DecodeString(string(blob)))
		return mode + " " + name + "\x00" + string(raw)
	}
	for name, tree := range map[string]string{
		"sound":                   entry("100644", "a") + entry("100644", "b"),
		"dot dot":                 entry("100644", ".."),
		"dot":                     entry("100644", "."),
		"no name":                 entry("100644", ""),
		"path in a name":          entry("100644", "a/../../etc/passwd"),
		"git's own folder":        entry("40000", ".git"),
		"git's own, in capitals":  entry("40000", ".GIT"),
		"the same name twice":     entry("100644", "a") + entry("100644", "a"),
		"file and folder":         entry("100644", "a") + entry("40000", "a"),
		"out of order":            entry("100644", "b") + entry("100644", "a"),
		"mode that is none":       entry("777", "a"),
		"mode with a zero before": entry("040000", "a"),
		"cut short":               entry("100644", "a")[:12],
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			id := w.put(gitops.TreeObject, []byte(tree))
			text := strings.Replace(w.unsigned(w.root), string(emptyTree), string(id), 1)
			want := gitops.MalformedCommit
			if name == "sound" {
				want = ""
			}
			refusedAlone(t, w, []byte(signText(text, w.ann.sign)), want)
		})
	}
}

// An OpenPGP library passed over a revocation while the clock was before it,
// when its reason was not that the key was compromised.
func TestClockBeforeARevocationUndoesNothing(t *testing.T) {
	w := newWorld(t)
	for _, reason := range []packet.ReasonForRevocation{packet.NoReason, packet.KeySuperseded, packet.KeyCompromised, packet.KeyRetired} {
		e := newEntity(t, func(*openpgp.Entity) {})
		good := w.file("good.asc", e.file())
		head := w.commit(e.signWith(e.PrivateKey, true), w.root)
		if err := e.RevokeKey(reason, "", e.config); err != nil {
			t.Fatal(err)
		}
		bad := w.file("bad.asc", e.file())
		for years := range 6 {
			for keys, want := range map[string]gitops.Reason{good: "", bad: gitops.KeyRevoked} {
				change := both(clockAt(now.AddDate(-years, 0, 0)), func(c *verify.Config) { c.OpenPGPKeys = keys })
				if _, err := w.verifier(change).Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != want {
					t.Errorf("reason %v, clock %d years back: %v, want %q", reason, years, err, want)
				}
			}
		}
	}
}
