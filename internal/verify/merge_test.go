// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// forked is two lines from the introduction: ours changes one file, theirs
// another.
type forked struct {
	ours, theirs gitops.Hash
	merged       files // what a merge by whole files holds
}

func (w *inband) fork() forked {
	f := forked{merged: w.base.with(files{"apps/web.yaml": "ours\n", "clusters/n1/app.yaml": "theirs\n"})}
	f.ours = w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "ours\n"}), w.forMain(), w.root)
	f.theirs = w.commitOf(w.keys["erin"].sign, w.base.with(files{"clusters/n1/app.yaml": "theirs\n"}), "", w.root)
	return f
}

func TestMerges(t *testing.T) {
	runRules(t, []rule{
		{"forge merges what nobody approved", gitops.NotApproved, func(w *inband, broken bool) offer {
			f := w.fork()
			if !broken {
				w.approve("dan", f.theirs, w.root)
			}
			head := w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), f.ours, f.theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges into what nobody released", gitops.NotApproved, func(w *inband, broken bool) offer {
			f := w.fork()
			ours := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "ours\n"}), "", w.root)
			w.approve(either(broken, "forge", "erin"), ours, w.root)
			w.approve("dan", f.theirs, w.root)
			head := w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), ours, f.theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges into its own merge of what nobody approved", gitops.NotApproved, func(w *inband, broken bool) offer {
			f := w.fork()
			if !broken {
				w.approve("dan", f.theirs, w.root)
			}
			one := w.commitOf(w.keys["forge"].sign, f.merged, "", f.ours, f.theirs)
			more := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/more.yaml": "m\n"}), "", w.root)
			w.approve("dan", more, w.root)
			head := w.commitOf(w.keys["forge"].sign, f.merged.with(files{"apps/more.yaml": "m\n"}), w.forMain(), one, more)
			return offer{commit: onMain(head), blamed: one}
		}},
		{"forge merges what another forge key approved", gitops.NotApproved, func(w *inband, broken bool) offer {
			f := w.fork()
			w.approve(either(broken, "forge", "erin"), f.theirs, w.root)
			head := w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), f.ours, f.theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge adds a file", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			f := w.fork()
			w.approve("dan", f.theirs, w.root)
			head := w.commitOf(w.keys["forge"].sign, either(broken, f.merged.with(files{"apps/evil.yaml": "x\n"}), f.merged), w.forMain(), f.ours, f.theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge changes a file that one side changed", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			f := w.fork()
			w.approve("dan", f.theirs, w.root)
			head := w.commitOf(w.keys["forge"].sign, f.merged.with(files{"apps/web.yaml": either(broken, "evil\n", "ours\n")}), w.forMain(), f.ours, f.theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge takes a change back", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			f := w.fork()
			w.approve("dan", f.theirs, w.root)
			head := w.commitOf(w.keys["forge"].sign, f.merged.with(files{"clusters/n1/app.yaml": either(broken, "b: 1\n", "theirs\n")}), w.forMain(), f.ours, f.theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges a file that both sides changed", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			ours := w.commitOf(w.keys["dan"].sign, w.base.with(files{"apps/web.yaml": "ours\n"}), w.forMain(), w.root)
			theirs := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/web.yaml": either(broken, "theirs\n", "ours\n")}), "", w.root)
			w.approve("dan", theirs, w.root)
			head := w.commitOf(w.keys["forge"].sign, w.base.with(files{"apps/web.yaml": "ours\n"}), w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge makes an ordinary commit", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			head := w.commitOf(w.keys[either(broken, "forge", "dan")].sign, w.base.with(files{"apps/web.yaml": "2\n"}), w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges three lines", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			f := w.fork()
			third := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
			w.approve("dan", f.theirs, w.root)
			parents := []gitops.Hash{f.ours, f.theirs, third}
			head := w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), parents[:either(broken, 3, 2)]...)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"forge merges a criss-cross", gitops.MergerAuthored, func(w *inband, broken bool) offer {
			f := w.fork()
			a := w.commitOf(w.keys["dan"].sign, f.merged, w.forMain(), f.ours, f.theirs)
			b := w.commitOf(w.keys["erin"].sign, f.merged, "", f.theirs, f.ours)
			if !broken {
				b = w.commitOf(w.keys["erin"].sign, w.base.with(files{"clusters/n1/app.yaml": "theirs\n"}), "", f.theirs)
			}
			w.approve("dan", b, f.theirs)
			head := w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), a, b)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"merge brings a commit of somebody who lost the role", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			without := strings.Replace(w.trust(2, ""), "developer: {principals: [dan, erin]}", "developer: {principals: [dan]}", 1)
			next := w.base.with(files{trustYAML: either(broken, without, w.trust(2, ""))})
			ours := w.commitOf(w.keys["alice"].sign, next, "", w.root)
			w.approve("bob", ours, w.root)
			theirs := w.commitOf(w.keys["erin"].sign, w.base.with(files{"clusters/n1/app.yaml": "theirs\n"}), "", w.root)
			head := w.commitOf(w.keys["dan"].sign, next.with(files{"clusters/n1/app.yaml": "theirs\n"}), w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: theirs}
		}},
		{"merge brings a trust file of roots that were replaced", gitops.NotApproved, func(w *inband, broken bool) offer {
			fresh := strings.Replace(w.trust(2, ""), "[alice, bob, carol], threshold: 2", "[dan, erin], threshold: 2", 1)
			next := w.base.with(files{trustYAML: either(broken, fresh, w.trust(2, ""))})
			ours := w.commitOf(w.keys["alice"].sign, next, "", w.root)
			for _, name := range []string{"bob", "dan", "erin"} {
				w.approve(name, ours, w.root)
			}
			old := w.base.with(files{trustYAML: w.trust(3, "")})
			theirs := w.commitOf(w.keys["dan"].sign, old, "", w.root)
			for _, name := range []string{"alice", "bob"} {
				w.approve(name, theirs, w.root)
			}
			head := w.commitOf(w.keys["dan"].sign, old, w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: theirs}
		}},
		{"merge that makes a trust file without the other parent's roots", gitops.NotApproved, func(w *inband, broken bool) offer {
			roots := func(version int) string {
				return strings.Replace(w.trust(version, ""), "[alice, bob, carol], threshold: 2", "[dan, erin], threshold: 2", 1)
			}
			ours := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
			theirs := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: roots(2)}), "", w.root)
			for _, name := range []string{"bob", "dan", "erin"} {
				w.approve(name, theirs, w.root)
			}
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: roots(3)}), w.forMain(), ours, theirs)
			w.approve("erin", head, ours)
			if !broken {
				w.approve("alice", head, ours)
				w.approve("bob", head, ours)
			}
			return offer{commit: onMain(head), blamed: head}
		}},
		{"merge goes back to the older trust file", gitops.TrustRollback, func(w *inband, broken bool) offer {
			next := w.base.with(files{trustYAML: w.trust(2, "")})
			ours := w.commitOf(w.keys["alice"].sign, next, "", w.root)
			w.approve("bob", ours, w.root)
			theirs := w.commitOf(w.keys["erin"].sign, w.base, "", w.root)
			head := w.commitOf(w.keys["dan"].sign, either(broken, w.base, next), w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"merge changes a protected path on its own", gitops.NotApproved, func(w *inband, broken bool) offer {
			f := w.fork()
			head := w.commitOf(w.keys["dan"].sign, f.merged.with(files{"rbac/admin.yaml": either(broken, "c: 9\n", "c: 1\n")}), w.forMain(), f.ours, f.theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}
