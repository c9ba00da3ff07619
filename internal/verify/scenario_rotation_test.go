// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// nodesFiles has the node believe dan, and three roots of whom two decide.
func (w *inband) nodesFiles(c *verify.Config) {
	lines := func(names ...string) string {
		var b strings.Builder
		for _, name := range names {
			b.WriteString(name + " " + w.keys[name].line() + "\n")
		}
		return b.String()
	}
	c.AllowedSigners = w.file("nodes_signers", lines("dan", "erin"))
	c.Roots, c.RootThreshold = w.file("nodes_roots", lines("alice", "bob", "carol")), 2
}

// Who may change the trust file is asked of every line that a change builds on.
func TestRotationsInMerges(t *testing.T) {
	runRules(t, []rule{
		{"merge of a line without a trust file that changes the other's", gitops.NotApproved, func(w *inband, broken bool) offer {
			plain := w.base.with(files{trustYAML: ""})
			w.root = w.commitOf(nil, plain, "")
			file := func(version int) files {
				return plain.with(files{trustYAML: strings.Replace(w.trust(version, ""), "[alice, bob, carol], threshold: 2", "[dan, erin], threshold: 2", 1)})
			}
			ours := w.commitOf(w.keys["dan"].sign, plain, "", w.root)
			theirs := w.commitOf(w.keys["dan"].sign, file(1), "", w.root)
			for _, name := range []string{"alice", "bob", "erin"} {
				w.approve(name, theirs, w.root)
			}
			head := w.commitOf(w.keys["dan"].sign, file(2), w.forMain(), ours, theirs)
			w.approve("erin", head, ours)
			w.approve("alice", head, ours)
			if !broken {
				w.approve("bob", head, ours)
			}
			return offer{commit: onMain(head), blamed: head, config: w.nodesFiles}
		}},
		{"first trust file that the node's roots did not agree to, unlike a file beside it", gitops.NotApproved, func(w *inband, broken bool) offer {
			plain := w.base.with(files{trustYAML: ""})
			w.root = w.commitOf(nil, plain, "")
			head := w.commitOf(w.keys["dan"].sign, plain.with(files{".edgeagent/" + either(broken, "trust.yaml", "notes"): w.trust(1, "")}), "", w.root)
			return offer{commit: onMain(head), blamed: head, config: w.nodesFiles}
		}},
	})
}
