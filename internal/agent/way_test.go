// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Whoever approves a head, or signs it as a root, does not stand for what somebody
// put below it: that commit is named, and waited for.
func TestApprovedHeadBringsNothingUnapproved(t *testing.T) {
	for name, onTop := range map[string]func(w *signed) gitops.Revision{
		"a root signs on top": func(w *signed) gitops.Revision { return w.pushBy("alice", content{"a": "evil", "b": "2"}) },
		"a head is approved": func(w *signed) gitops.Revision {
			below := w.remote.head
			head := w.pushBy("erin", content{"a": "evil", "b": "2"})
			w.approve("alice", head.Hash(), below)
			return head
		},
	} {
		t.Run(name, func(t *testing.T) {
			inSignedWorld(t, guarded, func(w *signed) {
				one := w.pushBy("dan", content{"a": "1"})
				w.approve("alice", one.Hash(), w.start)
				w.once()
				w.runs(one, content{"a": "1"})
				evil := w.pushBy("dan", content{"a": "evil"})
				head := onTop(w)
				w.run()
				w.sleep(3 * time.Minute)
				w.holds(content{"a": "1"})
				w.ready("False", gitops.NotApproved)
				if refused := w.state().Refused; refused == nil || refused.Revision != head || refused.Commit != evil.Hash() {
					t.Fatalf("refused = %+v, want %s blamed", refused, evil)
				}
				renders := w.renderer.renders
				w.sleep(5 * time.Minute)
				if w.renderer.renders != renders {
					t.Errorf("rendered %d times while it waits", w.renderer.renders-renders)
				}
				w.approve("bob", evil.Hash(), one.Hash())
				w.sleep(3 * time.Minute)
				w.runs(head, content{"a": "evil", "b": "2"})
				w.ready("True", gitops.IsHealthy)
			})
		})
	}
}

// What was approved once needs nothing more, however late a node comes.
func TestLateNodeNeedsNoNewApprovals(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.approve("alice", one.Hash(), w.start)
		w.pushBy("dan", content{"a": "1"})
		head := w.pushBy("erin", content{"a": "1"})
		w.once()
		w.runs(head, content{"a": "1"})
	})
}

// What cannot be rendered for now is nobody's fault: nothing is refused by it, and
// nothing let through.
func TestCommitOnTheWayThatCannotBeRenderedForNow(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.approve("alice", one.Hash(), w.start)
		w.once()
		evil := w.pushBy("dan", content{"a": "evil"})
		w.pushBy("alice", content{"a": "evil", "b": "2"})
		w.renderer.hook = func(rev gitops.Revision) error {
			if rev.Hash() == evil.Hash() {
				return failure(gitops.WorkerFailed)
			}
			return nil
		}
		w.once()
		w.holds(content{"a": "1"})
		w.ready("False", gitops.WorkerFailed)
		if refused := w.state().Refused; refused != nil {
			t.Errorf("refused = %+v", refused)
		}
		w.renderer.hook = nil
		w.once()
		w.holds(content{"a": "1"})
		if refused := w.state().Refused; refused == nil || refused.Commit != evil.Hash() {
			t.Errorf("refused = %+v, want %s blamed", refused, evil)
		}
	})
}

// Approvals of what runs may be deleted: they did their work.
func TestApprovalsThatDidTheirWork(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.approve("alice", one.Hash(), w.start)
		w.once()
		w.remote.set(func(r *remote) { clear(r.refs) })
		two := w.pushBy("dan", content{"a": "2"})
		w.approve("bob", two.Hash(), one.Hash())
		w.once()
		w.runs(two, content{"a": "2"})
	})
}

// A bundle that was not for this node when nobody approved it is not approved by
// the label that makes it so.
func TestLabelApprovesNothing(t *testing.T) {
	inSignedWorld(t, guarded, func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.approve("alice", one.Hash(), w.start)
		w.once()
		two := w.pushBy("dan", content{"a": "1", "b": "evil"})
		w.remote.contents[two.Hash()] = content{"a": "1"} // b is for other nodes
		w.once()
		w.runs(two, content{"a": "1"})
		w.remote.contents[two.Hash()] = content{"a": "1", "b": "evil"}
		head := w.pushBy("alice", content{"a": "2", "b": "evil"})
		w.restart()
		w.once()
		w.holds(content{"a": "1"})
		if refused := w.state().Refused; refused == nil || refused.Revision != head || refused.Commit != two.Hash() {
			t.Fatalf("refused = %+v, want %s blamed", refused, two)
		}
		w.approve("bob", two.Hash(), one.Hash())
		w.once()
		w.runs(head, content{"a": "2", "b": "evil"})
	})
}

// An attempt that was cut short goes on without a link, but not with an approval
// whose key was revoked meanwhile.
func TestAttemptUnderWayAndARevokedApproval(t *testing.T) {
	for _, name := range []string{"the link is away", "the link is away, and a trust file is lost", "the key is revoked"} {
		t.Run(name, func(t *testing.T) {
			revoked := name == "the key is revoked"
			inSignedWorld(t, guarded, func(w *signed) {
				one := w.pushBy("dan", content{"a": "1"})
				w.approve("alice", one.Hash(), w.start)
				w.once()
				two := w.pushBy("dan", content{"a": "2", "b": "2", "c": "2"})
				w.approve("bob", two.Hash(), one.Hash())
				w.stopAt("apply b")
				w.holds(content{"a": "2"})
				if revoked {
					w.revoke(w.fingerprint("bob")+"\n", "alice", "bob")
				} else {
					w.remote.set(func(r *remote) { clear(r.refs); r.err = failure(gitops.Unreachable) })
				}
				if name == "the link is away, and a trust file is lost" {
					w.remote.set(func(r *remote) { r.far[r.treeOf(one.Hash())] = true })
				}
				w.restart()
				w.run()
				w.sleep(3 * time.Minute)
				if !revoked {
					w.runs(two, content{"a": "2", "b": "2", "c": "2"})
					return
				}
				w.holds(content{"a": "2"})
				w.ready("False", gitops.NotApproved)
				w.approve("alice", two.Hash(), one.Hash())
				w.sleep(3 * time.Minute)
				w.runs(two, content{"a": "2", "b": "2", "c": "2"})
			})
		})
	}
}

// treeOf is what a commit's first line names.
func (r *remote) treeOf(commit gitops.Hash) gitops.Hash {
	line, _, _ := strings.Cut(string(r.objects[commit]), "\n")
	return gitops.Hash(strings.TrimPrefix(line, "tree "))
}
