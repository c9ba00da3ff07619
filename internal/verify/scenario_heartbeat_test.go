// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Who stole a key may have signed the highest sequence there is. The heartbeat
// that a node remembers is judged again: one of a revoked key is as good as none,
// and one by somebody who may sign none any more goes when there is another.
func TestRememberedHeartbeats(t *testing.T) {
	revokes := func(w *inband, more string) files {
		return w.base.with(files{trustYAML: w.trust(2, more)})
	}
	for name, c := range map[string]struct {
		// change is what happened since dan's heartbeat was taken. It names the
		// head and what is accepted.
		change func(w *inband, before gitops.Hash) (head, accepted gitops.Hash)
		shown  string // whose heartbeat is shown, "" for none
		config func(*verify.Config, *inband)
		void   bool
	}{
		"nothing, and none is shown":    {},
		"nothing, and another is shown": {shown: "erin"},
		"it is shown once more":         {shown: "dan"},
		"key revoked by the node": {config: func(c *verify.Config, w *inband) {
			c.Revoked = w.file("more", w.keys["dan"].fingerprint()+"\n")
		}, void: true},
		"key revoked by the node, and another is shown": {shown: "erin", config: func(c *verify.Config, w *inband) {
			c.Revoked = w.file("more", w.keys["dan"].fingerprint()+"\n")
		}, void: true},
		"key revoked by the roots": {change: func(w *inband, before gitops.Hash) (head, accepted gitops.Hash) {
			w.revoke(w.keys["dan"].line(), "alice", "bob")
			return before, before
		}, void: true},
		"key revoked by one root": {change: func(w *inband, before gitops.Hash) (head, accepted gitops.Hash) {
			w.revoke(w.keys["dan"].line(), "alice")
			return before, before
		}},
		"key revoked by the accepted trust file": {change: func(w *inband, before gitops.Hash) (head, accepted gitops.Hash) {
			head = w.commitOf(w.keys["alice"].sign, revokes(w, "revoked: ["+w.keys["dan"].fingerprint()+"]\n"), "", before)
			return head, head
		}, void: true},
		// Else anybody who can show a head could have a node forget.
		"key revoked by the trust file of a head that nobody judged yet": {change: func(w *inband, before gitops.Hash) (head, accepted gitops.Hash) {
			return w.commitOf(nil, revokes(w, "revoked: ["+w.keys["dan"].fingerprint()+"]\n"), "", before), before
		}, shown: "erin"},
		"role lost": {change: func(w *inband, before gitops.Hash) (head, accepted gitops.Hash) {
			head = w.commitOf(w.keys["alice"].sign, revokes(w, "heartbeat: {by: [root]}\n"), "", before)
			return head, head
		}},
		"role lost, and another is shown": {change: func(w *inband, before gitops.Hash) (head, accepted gitops.Hash) {
			head = w.commitOf(w.keys["alice"].sign, revokes(w, "heartbeat: {by: [root]}\n"), "", before)
			return head, head
		}, shown: "carol", void: true},
		"role lost, and another without it is shown": {change: func(w *inband, before gitops.Hash) (head, accepted gitops.Hash) {
			head = w.commitOf(w.keys["alice"].sign, revokes(w, "heartbeat: {by: [root]}\n"), "", before)
			return head, head
		}, shown: "erin"},
		"key expired, and another is shown": {shown: "erin", config: func(c *verify.Config, _ *inband) {
			c.Now = func() time.Time { return now.AddDate(0, 2, 0) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newInband(t)
			dan := "dan: {ssh: [\"" + w.keys["dan"].line() + "\"]"
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), dan, dan+`, validBefore: "20260701"`, 1)
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), w.root)
			accepted := head
			w.beat("dan", head, 1<<62)
			known := w.published(t, onMain(head), head, nil).Heartbeat
			if known == nil || known.Signer != "dan" {
				t.Fatalf("heartbeat %+v", known)
			}
			delete(w.refs, verify.HeartbeatRef(mainRef))
			if c.change != nil {
				head, accepted = c.change(w, head)
			}
			if c.shown != "" {
				w.beat(c.shown, accepted, 1)
			}
			got := w.published(t, onMain(head), accepted, func(cfg *verify.Config) {
				remembers(verify.Remembered{Heartbeat: known})(cfg)
				if c.config != nil {
					c.config(cfg, w)
				}
			})
			if (got.Void != nil) != c.void || got.Void != nil && got.Void.Sequence != 1<<62 {
				t.Errorf("void %+v, want it: %v", got.Void, c.void)
			}
		})
	}
}

// What a node of an earlier version remembers has no signature: any other that
// counts comes after it.
func TestRememberedHeartbeatsWithoutTheirSignature(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), w.root)
	known := remembers(verify.Remembered{Heartbeat: &gitops.Heartbeat{Commit: head, Sequence: 1 << 62, Signer: "dan"}})
	if got := w.published(t, onMain(head), head, known); got.Void != nil {
		t.Errorf("void with none shown: %+v", got.Void)
	}
	w.beat("erin", head, 1)
	if got := w.published(t, onMain(head), head, known); got.Void == nil {
		t.Error("not void with another shown")
	}
}

// A heartbeat is kept with its signature, and so has to be short.
func TestLongHeartbeats(t *testing.T) {
	const most = 32 << 10
	ref := verify.HeartbeatRef(mainRef)
	for over := range 2 {
		w := newInband(t)
		head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
		tag := func(size int) string {
			text := fmt.Sprintf("object %s\ntype commit\ntag %s\ntagger %s <a@example.com> %d +0000\n\n%s", head, strings.TrimPrefix(ref, "refs/"),
				strings.Repeat("A", size), epoch, verify.HeartbeatMessage(w.root, mainRef, head, 7, now))
			return text + w.keys["dan"].sign([]byte(text))
		}
		long := tag(1 + most - len(tag(1)) + over)
		w.refs[ref] = w.put(gitops.TagObject, []byte(long))
		got := w.published(t, onMain(head), head, nil).Heartbeat
		if (got != nil) != (len(long) <= most) || got != nil && string(got.Statement) != long {
			t.Errorf("of %d bytes: %v, want one: %v", len(long), got != nil, len(long) <= most)
		}
	}
}

// Whose heartbeats count is not known while the accepted trust file is not.
func TestHeartbeatsUnderATrustFileThatCannotBeRead(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: "nothing"}), w.forMain(), w.root)
	w.beat("dan", head, 7)
	if got, err := w.verifier(t, nil).Published(t.Context(), onMain(head), head); gitops.ReasonOf(err) != gitops.TrustFileRefused || got.Heartbeat != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
