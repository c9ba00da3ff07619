// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

const mainRef = "refs/heads/main"

// beat has a principal say that main is alive.
func (w *inband) beat(name string, commit gitops.Hash, sequence int64) {
	w.state(name, verify.HeartbeatRef(mainRef), commit, gitops.CommitObject, verify.HeartbeatMessage(w.root, mainRef, commit, sequence, now))
}

func (w *inband) published(t *testing.T, c gitops.Commit, accepted gitops.Hash, change func(*verify.Config)) verify.Published {
	t.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
	}
	v, err := verify.New(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Published(t.Context(), c, accepted)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A heartbeat counts when it says what it has to, and nothing else.
func TestHeartbeats(t *testing.T) {
	ref := verify.HeartbeatRef(mainRef)
	message := func(w *inband, head gitops.Hash) string {
		return verify.HeartbeatMessage(w.root, mainRef, head, 7, now)
	}
	replaced := func(old, new string) func(w *inband, head gitops.Hash) {
		return func(w *inband, head gitops.Hash) {
			text := message(w, head)
			if !strings.Contains(text, old) {
				t.Fatalf("%q is not in %q", old, text)
			}
			w.state("dan", ref, head, gitops.CommitObject, strings.Replace(text, old, new, 1))
		}
	}
	for name, c := range map[string]struct {
		make   func(w *inband, head gitops.Hash)
		counts bool
	}{
		"by a developer":    {func(w *inband, head gitops.Hash) { w.beat("dan", head, 7) }, true},
		"by a root":         {func(w *inband, head gitops.Hash) { w.beat("carol", head, 7) }, true},
		"by a forge":        {func(w *inband, head gitops.Hash) { w.beat("forge", head, 7) }, false},
		"with a blank line": {replaced("Sequence: 7", "\nSequence: 7"), true},
		"of another ref":    {replaced(mainRef, "refs/heads/dev"), false},
		"of another commit": {func(w *inband, head gitops.Hash) { w.state("dan", ref, w.root, gitops.CommitObject, message(w, head)) }, false},
		"of a tree": {func(w *inband, head gitops.Hash) {
			w.state("dan", ref, emptyTree, gitops.TreeObject, strings.Replace(message(w, head), string(head), string(emptyTree), 1))
		}, false},
		"without a number":           {replaced("Sequence: 7", "Sequence: seven"), false},
		"without a time":             {replaced("Time: 2026", "Time: now"), false},
		"with a line more":           {replaced("Sequence: 7", "Sequence: 7\nNote: x"), false},
		"with a line twice":          {replaced("Sequence: 7", "Sequence: 7\nSequence: 7"), false},
		"with a line that is none":   {replaced("Sequence: 7", "Sequence 7"), false},
		"with a value that is empty": {replaced("Sequence: 7", "Sequence: "), false},
		"that is no heartbeat":       {replaced("heartbeat", "approval"), false},
		"under another name": {func(w *inband, head gitops.Hash) {
			w.beat("dan", head, 7)
			w.refs[verify.HeartbeatRef("refs/heads/main2")] = w.refs[ref]
			delete(w.refs, ref)
		}, false},
		"shown as that of another ref": {func(w *inband, head gitops.Hash) {
			other := verify.HeartbeatRef("refs/heads/dev")
			w.state("dan", other, head, gitops.CommitObject, strings.ReplaceAll(message(w, head), "heads/main", "heads/dev"))
			w.refs[ref] = w.refs[other]
		}, false},
		"of a longer ref": {func(w *inband, head gitops.Hash) {
			w.state("dan", ref+"/x", head, gitops.CommitObject, message(w, head))
		}, false},
		"that is not signed": {func(w *inband, head gitops.Hash) {
			text := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger %s %d +0000\n\n%s", head, strings.TrimPrefix(ref, "refs/"), person, epoch, message(w, head))
			w.refs[ref] = w.put(gitops.TagObject, []byte(text))
		}, false},
		"that is a commit":  {func(w *inband, head gitops.Hash) { w.refs[ref] = head }, false},
		"that is malformed": {func(w *inband, _ gitops.Hash) { w.refs[ref] = w.put(gitops.TagObject, []byte("object\n")) }, false},
		"by a key revoked now": {func(w *inband, head gitops.Hash) {
			w.beat("dan", head, 7)
			w.revoke(w.keys["dan"].fingerprint(), "alice", "bob")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newInband(t)
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			c.make(w, head)
			got := w.published(t, onMain(head), "", nil)
			if (got.Heartbeat != nil) != c.counts {
				t.Fatalf("heartbeat %+v, want one: %v", got.Heartbeat, c.counts)
			}
			if !c.counts {
				return
			}
			if h := *got.Heartbeat; h.Commit != head || h.Sequence != 7 || !h.At.Equal(now) || h.Signer == "" {
				t.Errorf("heartbeat %+v", h)
			}
			if !got.Floor.IsZero() {
				t.Error("a heartbeat moved the floor")
			}
		})
	}
}

// The trust file of what was accepted says whose heartbeats count, not that of
// the head.
func TestHeartbeatsAreThoseOfTheAcceptedTrustFile(t *testing.T) {
	w := newInband(t)
	next := w.base.with(files{trustYAML: w.trust(2, "heartbeat: {by: [root]}\n")})
	head := w.commitOf(w.keys["alice"].sign, next, w.forMain(), w.root)
	w.beat("dan", head, 1)
	if got := w.published(t, onMain(head), "", nil); got.Heartbeat == nil {
		t.Error("before the new trust file is accepted, a developer's heartbeat does not count")
	}
	if got := w.published(t, onMain(head), head, nil); got.Heartbeat != nil {
		t.Error("after the new trust file was accepted, a developer's heartbeat counts")
	}
	w.beat("carol", head, 2)
	if got := w.published(t, onMain(head), head, nil); got.Heartbeat == nil || got.Heartbeat.Signer != "carol" {
		t.Errorf("a root's heartbeat: %+v", got.Heartbeat)
	}
	if got := w.published(t, onMain(head), head, func(c *verify.Config) { c.Mode, c.Insecure = verify.ModeNone, true }); got.Heartbeat != nil {
		t.Error("a heartbeat where nothing is checked")
	}
}

// What the roots publish is told to the node, which remembers it.
func TestPublishedIsTold(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	list := "# stolen\n" + w.mallory.fingerprint() + "\n\n  " + w.files.fingerprint() + " \n" + w.mallory.fingerprint() + "\n"
	w.revoke(list, "alice", "carol")
	w.seal(head, now.Add(time.Hour), "alice", "bob")
	w.seal(w.root, now.Add(2*time.Hour), "alice") // one root is not enough
	old := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
	w.seal(old, now.Add(-time.Hour), "alice", "bob")
	got := w.published(t, onMain(head), "", nil)
	want := verify.Published{Revoked: []string{w.mallory.fingerprint(), w.files.fingerprint()}, Floor: now.Add(time.Hour)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

// Statements of the roots that do not say all they have to, or not of what they
// name, are none.
func TestSealsThatSealNothing(t *testing.T) {
	for name, message := range map[string]func(w *inband, old gitops.Hash) (gitops.Hash, gitops.ObjectKind, string){
		"of another commit": func(w *inband, old gitops.Hash) (gitops.Hash, gitops.ObjectKind, string) {
			return old, gitops.CommitObject, verify.SealMessage(w.root, w.root, now)
		},
		"without a time": func(w *inband, old gitops.Hash) (gitops.Hash, gitops.ObjectKind, string) {
			return old, gitops.CommitObject, strings.Replace(verify.SealMessage(w.root, old, now), "Time: 2026", "Time: x", 1)
		},
		"with a line more": func(w *inband, old gitops.Hash) (gitops.Hash, gitops.ObjectKind, string) {
			return old, gitops.CommitObject, verify.SealMessage(w.root, old, now) + "Note: x\n"
		},
		"of a tree": func(w *inband, _ gitops.Hash) (gitops.Hash, gitops.ObjectKind, string) {
			return emptyTree, gitops.TreeObject, verify.SealMessage(w.root, emptyTree, now)
		},
		"that is a revocation": func(w *inband, old gitops.Hash) (gitops.Hash, gitops.ObjectKind, string) {
			return old, gitops.CommitObject, strings.Replace(verify.SealMessage(w.root, old, now), "seal", "revocation", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newInband(t)
			old := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
			head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), old)
			w.revoke(w.keys["dan"].fingerprint(), "alice", "bob")
			object, kind, text := message(w, old)
			for _, who := range []string{"alice", "bob"} {
				w.state(who, verify.SealRef(object, who), object, kind, text)
			}
			v, err := verify.New(w.config(), w)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != gitops.KeyRevoked {
				t.Errorf("%v, want %s", err, gitops.KeyRevoked)
			}
			if got := w.published(t, onMain(head), "", nil); !got.Floor.IsZero() {
				t.Errorf("the floor is %v", got.Floor)
			}
		})
	}
}

// A list of revoked keys that is not what its statement names stops everything.
func TestRevocationsThatNameNoList(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	blob, other := w.put(gitops.BlobObject, []byte("# none\n")), w.put(gitops.BlobObject, []byte("# other\n"))
	for name, c := range map[string]struct {
		object gitops.Hash
		kind   gitops.ObjectKind
		text   string
		reason gitops.Reason
	}{
		"sound":            {blob, gitops.BlobObject, verify.RevocationMessage(w.root, 1, blob), ""},
		"another list":     {blob, gitops.BlobObject, verify.RevocationMessage(w.root, 1, other), gitops.TrustMissing},
		"a tree":           {emptyTree, gitops.TreeObject, verify.RevocationMessage(w.root, 1, emptyTree), gitops.TrustMissing},
		"a line more":      {blob, gitops.BlobObject, verify.RevocationMessage(w.root, 1, blob) + "Note: x\n", gitops.TrustMissing},
		"a list not there": {gitops.Hash(strings.Repeat("a", 40)), gitops.BlobObject, verify.RevocationMessage(w.root, 1, gitops.Hash(strings.Repeat("a", 40))), gitops.Incomplete},
		"another node's":   {other, gitops.BlobObject, verify.RevocationMessage(emptyTree, 1, blob), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.refs = map[string]gitops.Hash{}
			for _, who := range []string{"alice", "bob"} {
				w.state(who, verify.RevocationRef(1, who), c.object, c.kind, c.text)
			}
			v, err := verify.New(w.config(), w)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != c.reason {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

// Whoever may push refs can push any number of statements: beyond a bound nothing
// is decided, because what counts could be among those that were left out.
func TestOnlySoManyStatementsAreRead(t *testing.T) {
	for junk, want := range map[int]gitops.Reason{1022: "", 1023: gitops.TrustMissing} {
		w := newInband(t)
		head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
		for i := range junk {
			w.refs[verify.ApprovalRef(head, fmt.Sprintf("a%04d", i))] = head
		}
		w.approve("alice", head, w.root)
		w.approve("bob", head, w.root)
		v, err := verify.New(w.config(), w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != want {
			t.Errorf("beside %d others: %v, want %q", junk, err, want)
		}
	}
}

// Who cannot say which statements there are, or what was seen before, has made
// no decision.
func TestStatementsThatCannotBeListed(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	lost := errors.New("lost")
	for name, c := range map[string]struct {
		change func(*verify.Config)
		want   gitops.Reason
	}{
		"refs": {func(c *verify.Config) {
			c.Carried = func(context.Context) (map[string]gitops.Hash, error) { return nil, lost }
		}, ""},
		"memory": {func(c *verify.Config) {
			c.Remembered = func(context.Context) (verify.Remembered, error) { return verify.Remembered{}, lost }
		}, ""},
		"what was known": {remembers(verify.Remembered{Revoked: []string{"nonsense"}}), gitops.TrustMissing},
	} {
		cfg := w.config()
		c.change(&cfg)
		v, err := verify.New(cfg, w)
		if err != nil {
			t.Fatal(err)
		}
		for what, ask := range questions(offer{commit: onMain(head)}) {
			valid, err := ask(t.Context(), v)
			if valid || err == nil || c.want == "" && !errors.Is(err, lost) || c.want != "" && gitops.ReasonOf(err) != c.want {
				t.Errorf("%s, %s: valid %v, %v", name, what, valid, err)
			}
		}
	}
}

// The names of people make refs that git takes, and that hold no secrets of
// their own: who signed is decided by the key.
func TestStatementRefs(t *testing.T) {
	w := newRepo(t)
	for name, want := range map[string]string{
		"ann@example.com": "ann-example.com", "..": "principal-", "a..b": "a.b", "a....b": "a.b", ".ann.": "ann", "x.lock": "principal-x",
		"J\u00fcrg": "J-rg", "a/b": "a-b", "-x-": "x", "A_z9": "A_z9", "": "principal-",
	} {
		ref := verify.SealRef(emptyTree, name)
		if got := strings.TrimPrefix(ref, "refs/edgeagent/seals/"+string(emptyTree)+"/"); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
		w.git("check-ref-format", ref)
	}
}
