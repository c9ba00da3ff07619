// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// files are paths and contents of a tree.
type files map[string]string

// tree writes nested trees as git sorts them, and returns the root's id.
func (r *repo) tree(f files) gitops.Hash {
	type entry struct{ mode, name, id string }
	var entries []entry
	dirs := map[string]files{}
	for path, content := range f {
		if dir, rest, ok := strings.Cut(path, "/"); ok {
			if dirs[dir] == nil {
				dirs[dir] = files{}
			}
			dirs[dir][rest] = content
			continue
		}
		entries = append(entries, entry{"100644", path, string(r.put(gitops.BlobObject, []byte(content)))})
	}
	for name, below := range dirs {
		entries = append(entries, entry{"40000", name, string(r.tree(below))})
	}
	key := func(e entry) string {
		if e.mode == "40000" {
			return e.name + "/"
		}
		return e.name
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(key(a), key(b)) })
	var raw []byte
	for _, e := range entries {
		id, _ := hex.DecodeString(e.id)
		raw = append(append(raw, e.mode+" "+e.name+"\x00"...), id...)
	}
	return r.put(gitops.TreeObject, raw)
}

// commitOf makes a commit of files, signed by s. Message lines are added.
func (r *repo) commitOf(s sign, f files, message string, parents ...gitops.Hash) gitops.Hash {
	r.t.Helper()
	text := strings.Replace(r.unsigned(parents...), string(emptyTree), string(r.tree(f)), 1)
	if message != "" {
		text = strings.TrimRight(text, "\n") + "\n\n" + message + "\n"
	}
	return r.put(gitops.CommitObject, []byte(signText(text, s)))
}

// with returns the files with some changed; an empty content takes one away.
func (f files) with(change files) files {
	out := maps.Clone(f)
	for path, content := range change {
		if out[path] = content; content == "" {
			delete(out, path)
		}
	}
	return out
}

// inband is a repository with a trust file: two of alice, bob and carol are its
// roots, dan and erin develop, forge merges.
type inband struct {
	*world
	keys map[string]sshKey
	refs map[string]gitops.Hash
	root gitops.Hash // the introduction, with version 1
	base files
}

const trustYAML = ".edgeagent/trust.yaml"

func newInband(t *testing.T) *inband {
	w := &inband{world: newWorld(t), keys: map[string]sshKey{}, refs: map[string]gitops.Hash{}}
	for _, name := range []string{"alice", "bob", "carol", "dan", "erin", "forge"} {
		w.keys[name] = ed25519Key()
	}
	w.base = files{trustYAML: w.trust(1, ""), "apps/web.yaml": "a: 1\n", "clusters/n1/app.yaml": "b: 1\n", "rbac/admin.yaml": "c: 1\n"}
	w.root = w.commitOf(nil, w.base, "")
	return w
}

// trust is a trust file. More is added to it, "-role" lines replace what is said.
func (w *inband) trust(version int, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: edgeagent.dev/v1alpha1\nkind: Trust\nversion: %d\nprincipals:\n", version)
	for _, name := range slices.Sorted(maps.Keys(w.keys)) {
		fmt.Fprintf(&b, "  %s: {ssh: [%q]}\n", name, w.keys[name].line())
	}
	b.WriteString("roles:\n  root: {principals: [alice, bob, carol], threshold: 2}\n  developer: {principals: [dan, erin]}\n  merger: {principals: [forge]}\n")
	b.WriteString("protected:\n- {paths: [rbac/], approvals: 2}\n- {kinds: [ClusterRole.rbac.authorization.k8s.io], approvals: 1, by: [root]}\n")
	b.WriteString("refs: {main: [developer, merger], stable: [root]}\n")
	return b.String() + more
}

func (w *inband) config() verify.Config {
	cfg := w.world.config()
	cfg.Introduction = string(w.root)
	cfg.Carried = func(context.Context) (map[string]gitops.Hash, error) { return w.refs, nil }
	return cfg
}

// forMain is the trailer that binds a commit to main.
func (w *inband) forMain() string { return verify.RefTrailer(w.root, "refs/heads/main") }

// approve has a principal approve a commit for main.
func (w *inband) approve(name string, commit, from gitops.Hash) {
	ref := verify.ApprovalRef(commit, name)
	w.state(name, ref, commit, gitops.CommitObject, verify.ApprovalMessage(w.root, "refs/heads/main", from, commit))
}

// state has a principal sign a statement.
func (w *inband) state(name, ref string, object gitops.Hash, kind gitops.ObjectKind, message string) {
	w.stateBy(w.keys[name].sign, ref, object, kind, message)
}

func (w *inband) stateBy(s sign, ref string, object gitops.Hash, kind gitops.ObjectKind, message string) {
	text := fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger %s %d +0000\n\n%s", object, kind, strings.TrimPrefix(ref, "refs/"), person, epoch, message)
	w.refs[ref] = w.put(gitops.TagObject, []byte(text+s([]byte(text))))
}

// rule is a thing that must be refused under a trust file. Build makes it twice
// in worlds of their own: sound, and broken.
type rule struct {
	name   string
	reason gitops.Reason
	build  func(w *inband, broken bool) offer
}

func runRules(t *testing.T, rules []rule) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			decide := func(broken bool) (offer, verify.Commit, error) {
				w := newInband(t)
				o := r.build(w, broken)
				cfg := w.config()
				if o.config != nil {
					o.config(&cfg)
				}
				v, err := verify.New(cfg, w)
				if err != nil {
					t.Fatal(err)
				}
				got, err := v.Verify(t.Context(), o.commit, o.accepted)
				return o, got, err
			}
			if _, got, err := decide(false); err != nil || !got.Valid() {
				t.Fatalf("the sound counterpart is refused: %v", err)
			}
			o, got, err := decide(true)
			e, _ := errors.AsType[*gitops.Error](err)
			switch {
			case e == nil || got.Valid():
				t.Fatalf("let through: %v", err)
			case e.Reason != r.reason || e.Commit != o.blamed:
				t.Fatalf("refused with %s for %s, want %s for %s\n%v", e.Reason, e.Commit.Short(), r.reason, o.blamed.Short(), err)
			case e.Remedy == "":
				t.Errorf("no remedy in %v", err)
			}
		})
	}
}

// either is a when broken, b when sound.
func either[T any](broken bool, a, b T) T {
	if broken {
		return a
	}
	return b
}

func TestTrustFile(t *testing.T) {
	runRules(t, []rule{
		{"commit by somebody without a role", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			s := either(broken, w.mallory.sign, w.keys["dan"].sign)
			head := w.commitOf(s, w.base.with(files{"apps/web.yaml": "a: 2\n"}), w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"commit by a signer of the node's files only", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			s := either(broken, w.ann.sign, w.keys["erin"].sign)
			head := w.commitOf(s, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"head that nobody released", gitops.RefUnbound, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, either(broken, "", w.forMain()), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"head for another ref", gitops.RefUnbound, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, verify.RefTrailer(w.root, either(broken, "refs/heads/dev", "refs/heads/main")), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"head for the ref of another repository", gitops.RefUnbound, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base, verify.RefTrailer(either(broken, emptyTree, w.root), "refs/heads/main"), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"release by a role that may not", gitops.RefUnbound, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["alice"].sign, w.base, w.forMain(), w.root) // a root, and main is for developers
			if !broken {
				w.approve("dan", head, w.root)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"trust file changed by one root of two", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: w.trust(2, "")}), "", w.root)
			w.approve("dan", head, w.root)
			if !broken {
				w.approve("bob", head, w.root)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"trust file approved twice by one root", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: w.trust(2, "")}), "", w.root)
			w.approve("dan", head, w.root)
			w.approve(either(broken, "alice", "carol"), head, w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"trust file taken away", gitops.TrustFileMissing, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, either(broken, w.base.with(files{trustYAML: ""}), w.base), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			w.approve("bob", head, w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"trust file changed without a new version", gitops.TrustRollback, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: w.trust(either(broken, 1, 2), "rollbackFloor: "+string(w.root)+"\n")}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			w.approve("bob", head, w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"new roots that did not agree", gitops.NotApproved, func(w *inband, broken bool) offer {
			next := strings.Replace(w.trust(2, ""), "[alice, bob, carol], threshold: 2", "[alice, dan, erin], threshold: 2", 1)
			head := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: next}), "", w.root)
			w.approve("bob", head, w.root)
			w.approve("dan", head, w.root)
			if broken {
				head = w.commitOf(w.keys["bob"].sign, w.base.with(files{trustYAML: next}), "", w.root)
				w.approve("carol", head, w.root)
				w.approve("dan", head, w.root)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"protected path with one approval of two", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			if !broken {
				w.approve("bob", head, w.root)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"protected path added", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{either(broken, "rbac/more/x.yaml", "rbacs/more/x.yaml"): "c: 2\n"}), w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"protected path taken away, with approvals of another commit", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": ""}), w.forMain(), w.root)
			of := head
			if broken {
				of = w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			}
			w.approve("alice", of, w.root)
			w.approve("bob", of, w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"another file beside the trust file", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{".edgeagent/notes": "x\n"}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			w.approve(either(broken, "dan", "bob"), head, w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"approval from another parent", gitops.NotApproved, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": ""}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			w.approve("bob", head, either(broken, head, w.root))
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}
