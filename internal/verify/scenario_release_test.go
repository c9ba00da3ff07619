// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// What of a cluster takes approvals: kinds as kubectl writes them, namespaces,
// and both together.
func TestReleaseGuards(t *testing.T) {
	ref := func(kind, group, namespace, name string) gitops.ObjectRef {
		return gitops.ObjectRef{Kind: kind, Group: group, Namespace: namespace, Name: name}
	}
	const rbac, webhooks = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
	for name, c := range map[string]struct {
		guard      string
		held, free []gitops.ObjectRef
	}{
		"a kind": {"kinds: [ClusterRole.rbac.authorization.k8s.io]",
			[]gitops.ObjectRef{ref("ClusterRole", rbac, "", "x")},
			[]gitops.ObjectRef{ref("ClusterRole", "example.com", "", "x"), ref("Role", rbac, "a", "x"), ref("ClusterRole", "", "", "x")}},
		"a kind of the core group": {"kinds: [Secret]",
			[]gitops.ObjectRef{ref("Secret", "", "a", "x")},
			[]gitops.ObjectRef{ref("Secret", "example.com", "a", "x"), ref("ConfigMap", "", "a", "x")}},
		"a whole group": {`kinds: ["*.admissionregistration.k8s.io"]`,
			[]gitops.ObjectRef{ref("ValidatingWebhookConfiguration", webhooks, "", "x"), ref("MutatingWebhookConfiguration", webhooks, "", "x")},
			[]gitops.ObjectRef{ref("Role", rbac, "a", "x")}},
		"a namespace": {"namespaces: [kube-system]",
			[]gitops.ObjectRef{ref("ConfigMap", "", "kube-system", "x"), ref("Namespace", "", "", "kube-system"), ref("Role", rbac, "kube-system", "x")},
			[]gitops.ObjectRef{ref("ConfigMap", "", "default", "kube-system"), ref("Namespace", "", "", "default"), ref("Namespace", "example.com", "", "kube-system"), ref("Node", "", "", "kube-system")}},
		"namespaces by a pattern": {`namespaces: ["kube-*"]`,
			[]gitops.ObjectRef{ref("ConfigMap", "", "kube-public", "x")},
			[]gitops.ObjectRef{ref("ConfigMap", "", "kub", "x")}},
		"a kind in a namespace": {"kinds: [Secret], namespaces: [prod]",
			[]gitops.ObjectRef{ref("Secret", "", "prod", "x")},
			[]gitops.ObjectRef{ref("Secret", "", "test", "x"), ref("ConfigMap", "", "prod", "x")}},
		"a path alone holds nothing back here": {"paths: [secret/]", nil, []gitops.ObjectRef{ref("Secret", "", "prod", "x")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newInband(t)
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), "kinds: [ClusterRole.rbac.authorization.k8s.io], approvals: 1, by: [root]", c.guard+", approvals: 2, by: [root]", 1)
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "a: 2\n"}), w.forMain(), w.root)
			v := w.letThrough(head)
			release := func(forced bool, refs ...gitops.ObjectRef) error {
				return makes(t, v, w.root, head, forced, refs...)
			}
			if err := release(true); err != nil {
				t.Errorf("nothing is changed: %v", err)
			}
			if err := release(false, c.free...); err != nil {
				t.Errorf("%v is held back: %v", c.free, err)
			}
			for _, held := range c.held {
				err := release(false, append(c.free, held)...)
				e, ok := errors.AsType[*gitops.Error](err)
				if !ok || e.Reason != gitops.NotApproved || e.Commit != head || !strings.Contains(e.Message, held.String()) || !strings.HasSuffix(e.Message, ": 0 of 2 signed or approved it") {
					t.Errorf("%v: %v", held, err)
				}
			}
			w.approve("alice", head, w.root)
			w.approve("dan", head, w.root) // no root
			for i, want := range []string{"1 of 2 signed or approved it: alice", ""} {
				if i == 1 {
					w.approve("bob", head, w.root)
				}
				// Force takes the roots' threshold whatever is protected.
				if err := release(true, c.free...); (err == nil) != (want == "") || err != nil && gitops.ReasonOf(err) != gitops.NotApproved {
					t.Errorf("force with %d approvals: %v", i+1, err)
				}
				err := release(false, c.held...)
				if want == "" && err != nil || want != "" && len(c.held) > 0 && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "1 more of: bob, carol")) {
					t.Errorf("with %d approvals: %v", i+1, err)
				}
			}
		})
	}
}

// makes asks about a head that makes objects which nothing made before it.
func makes(t *testing.T, v *verify.Verifier, since, head gitops.Hash, forced bool, refs ...gitops.ObjectRef) error {
	t.Helper()
	p := verify.Plan{Revision: onMain(head).Revision, Since: since}
	made := verify.Content{}
	for _, ref := range refs {
		p.Changed = append(p.Changed, verify.Change{Ref: ref, Forced: forced})
		made[ref.Key()] = "sha256:2"
	}
	p.Content = func(_ context.Context, c verify.Commit) (verify.Content, error) {
		if c.Hash() == head {
			return made, nil
		}
		return verify.Content{}, nil
	}
	missing, err := v.Release(t.Context(), p)
	if len(missing) > 0 {
		t.Errorf("missing %v", missing)
	}
	return err
}

// letThrough is a verifier that has let a head of the branch main through.
func (w *inband) letThrough(head gitops.Hash) *verify.Verifier {
	w.t.Helper()
	v, err := verify.New(w.config(), w)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := v.Verify(w.t.Context(), onMain(head), ""); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// manyFiles is a tree with n files of one content, and more of it behind them.
func (w *inband) manyFiles(n int, content string, more ...string) gitops.Hash {
	blob := must(hex.DecodeString(string(w.put(gitops.BlobObject, []byte(content)))))
	var raw []byte
	for i := range n {
		raw = append(append(raw, fmt.Sprintf("100644 f%06d\x00", i)...), blob...)
	}
	for _, name := range more {
		raw = append(append(raw, "100644 "+name+"\x00"...), blob...)
	}
	return w.put(gitops.TreeObject, raw)
}

// withDirectory is a tree like that of files, with a directory in it.
func (w *inband) withDirectory(f files, name string, tree gitops.Hash) gitops.Hash {
	placeholder := w.tree(files{"x": "placeholder\n"})
	_, raw, err := w.Object(w.t.Context(), w.tree(f.with(files{name + "/x": "placeholder\n"})))
	if err != nil {
		w.t.Fatal(err)
	}
	old, id := must(hex.DecodeString(string(placeholder))), must(hex.DecodeString(string(tree)))
	return w.put(gitops.TreeObject, []byte(strings.Replace(string(raw), string(old), string(id), 1)))
}

func (w *inband) commitTree(s sign, tree gitops.Hash, message string, parents ...gitops.Hash) gitops.Hash {
	text := strings.Replace(w.unsigned(parents...), string(emptyTree), string(tree), 1)
	if message != "" {
		text = strings.TrimRight(text, "\n") + "\n\n" + message + "\n"
	}
	return w.put(gitops.CommitObject, []byte(signText(text, s)))
}

// What is too much to compare cannot be told, and is refused.
func TestChangesTooManyToTell(t *testing.T) {
	guarded := func(w *inband) {
		w.base[trustYAML] = strings.Replace(w.trust(1, ""), "paths: [rbac/]", `paths: ["many/*/deep"]`, 1)
		w.root = w.commitOf(nil, w.base, "")
	}
	runRules(t, []rule{
		{"twenty thousand files changed at once", gitops.NotApproved, func(w *inband, broken bool) offer {
			guarded(w)
			tree := w.withDirectory(w.base, "many", w.manyFiles(either(broken, 20_000, 19_999), "x\n"))
			head := w.commitTree(w.keys["dan"].sign, tree, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges twenty thousand files and one", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			// Each side adds a file of its own to a directory of many; five are
			// beside it. The merge is right, and one of them too much to compare.
			many := func(more ...string) gitops.Hash {
				return w.withDirectory(w.base, "many", w.manyFiles(either(broken, 19_994, 19_993), "x\n", more...))
			}
			base := w.commitTree(w.keys["dan"].sign, many(), "", w.root)
			ours := w.commitTree(w.keys["dan"].sign, many("g"), w.forMain(), base)
			two, both := many("h"), many("g", "h")
			theirs := w.commitTree(w.keys["erin"].sign, two, "", base)
			w.approve("dan", theirs, base)
			head := w.commitTree(w.keys["forge"].sign, both, w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}

// Merges by a forge where a name is a file on one side and a directory on the
// other, where a side takes something away, and where their common ancestor is
// far.
func TestForgeMergesOfAllShapes(t *testing.T) {
	merge := func(ours, theirs, base files, result func(broken bool) files) func(*inband, bool) offer {
		return func(w *inband, broken bool) offer {
			start := w.commitOf(w.keys["dan"].sign, w.base.with(base), "", w.root)
			a := w.commitOf(w.keys["dan"].sign, w.base.with(base).with(ours), w.forMain(), start)
			b := w.commitOf(w.keys["erin"].sign, w.base.with(base).with(theirs), "", start)
			w.approve("dan", b, start)
			head := w.commitOf(w.keys["forge"].sign, w.base.with(base).with(result(broken)), w.forMain(), a, b)
			return offer{commit: onMain(head), blamed: head}
		}
	}
	runRules(t, []rule{
		{"forge keeps what one side took away", gitops.MergerAuthored, merge(files{"apps/web.yaml": ""}, files{"clusters/n1/app.yaml": "2\n"}, nil,
			func(broken bool) files {
				return files{"apps/web.yaml": either(broken, "a: 1\n", ""), "clusters/n1/app.yaml": "2\n"}
			})},
		{"forge merges what both made", gitops.MergerAuthored, merge(files{"new/a": "1\n"}, files{"new/b": "2\n"}, nil,
			func(broken bool) files { return files{"new/a": "1\n", "new/b": either(broken, "3\n", "2\n")} })},
		{"forge drops a directory that both changed", gitops.MergerAuthored, merge(files{"new/a": "1\n"}, files{"new/b": "2\n"}, files{"new/c": "0\n"},
			func(broken bool) files {
				if broken {
					return files{"new/c": ""}
				}
				return files{"new/a": "1\n", "new/b": "2\n"}
			})},
		{"forge makes a file of a directory", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			start := w.commitOf(w.keys["dan"].sign, w.base.with(files{"new/c": "0\n"}), "", w.root)
			a := w.commitOf(w.keys["dan"].sign, w.base.with(files{"new/c": "0\n", "new/a": "1\n"}), w.forMain(), start)
			b := w.commitOf(w.keys["erin"].sign, either(broken, w.base.with(files{"new": "a file\n"}), w.base.with(files{"new/c": "0\n", "new/b": "2\n"})), "", start)
			w.approve("dan", b, start)
			result := either(broken, w.base.with(files{"new": "a file\n"}), w.base.with(files{"new/c": "0\n", "new/a": "1\n", "new/b": "2\n"}))
			head := w.commitOf(w.keys["forge"].sign, result, w.forMain(), a, b)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges where both made a directory of a file", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			start := w.commitOf(w.keys["dan"].sign, w.base.with(either(broken, files{"new": "a file\n"}, nil)), "", w.root)
			a := w.commitOf(w.keys["dan"].sign, w.base.with(files{"new/a": "1\n"}), w.forMain(), start)
			b := w.commitOf(w.keys["erin"].sign, w.base.with(files{"new/b": "2\n"}), "", start)
			w.approve("dan", b, start)
			head := w.commitOf(w.keys["forge"].sign, w.base.with(files{"new/a": "1\n", "new/b": "2\n"}), w.forMain(), a, b)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges lines that are unrelated", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			a := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			parents := []gitops.Hash{w.root}
			if broken {
				parents = nil
			}
			// A commit without parents is judged by the node's files, too.
			signers := w.file("erin_signers", "erin "+w.keys["erin"].line()+"\n")
			b := w.commitOf(w.keys["erin"].sign, either(broken, files{"new/b": "2\n"}, w.base.with(files{"new/b": "2\n"})), "", parents...)
			w.approve("dan", b, first(parents))
			head := w.commitOf(w.keys["forge"].sign, w.base.with(either(broken, nil, files{"new/b": "2\n"})), w.forMain(), a, b)
			return offer{commit: onMain(head), blamed: head, config: func(c *verify.Config) { c.AllowedSigners = signers }}
		}},
	})
}

func first(ids []gitops.Hash) gitops.Hash {
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}
