// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Where only the head or its tag is signed, it is the trust file of what was
// accepted that counts, and before that the one where trust begins: what lies
// between was judged by nobody.
func TestTrustFileInModesHeadAndTag(t *testing.T) {
	head := func(c *verify.Config) { c.Mode = verify.ModeHead }
	without := func(w *inband) files {
		return w.base.with(files{trustYAML: strings.Replace(w.trust(2, ""), "[dan, erin]", "[dan]", 1)})
	}
	rotated := func(w *inband, parents ...gitops.Hash) gitops.Hash {
		c := w.commitOf(w.keys["alice"].sign, without(w), w.forMain(), parents...)
		w.approve("bob", c, first(parents))
		w.approve("dan", c, first(parents))
		return c
	}
	runRules(t, []rule{
		{"mode head: somebody whom the accepted trust file took out", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			accepted := rotated(w, w.root)
			next := w.commitOf(w.keys[either(broken, "erin", "dan")].sign, without(w), w.forMain(), accepted)
			return offer{commit: onMain(next), accepted: accepted, blamed: next, config: head}
		}},
		{"mode head: trust file changed by nobody in between", gitops.NotApproved, func(w *inband, broken bool) offer {
			between := w.commitOf(nil, w.base.with(files{trustYAML: either(broken, w.trust(2, ""), w.trust(1, ""))}), "", w.root)
			next := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: either(broken, w.trust(2, ""), w.trust(1, ""))}), w.forMain(), between)
			return offer{commit: onMain(next), accepted: w.root, blamed: next, config: head}
		}},
		{"mode head: protected path changed by nobody in between", gitops.NotApproved, func(w *inband, broken bool) offer {
			with := w.base.with(files{either(broken, "rbac/admin.yaml", "apps/web.yaml"): "2\n"})
			between := w.commitOf(nil, with, "", w.root)
			next := w.commitOf(w.keys["dan"].sign, with, w.forMain(), between)
			return offer{commit: onMain(next), blamed: next, config: head}
		}},
		{"mode head: accepted head whose signer the trust file before it did not know", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			accepted := w.commitOf(either(broken, w.mallory.sign, w.keys["dan"].sign), w.base, w.forMain(), w.root)
			return offer{commit: onMain(accepted), accepted: accepted, blamed: accepted, config: head}
		}},
		{"mode tag: tag of the introduction by a signer of the node's files", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			tag := w.tag(either(broken, w.ann.sign, w.keys["dan"].sign), w.root, gitops.CommitObject, "v1")
			return offer{commit: onTag("v1", w.root, tag), blamed: w.root, config: tagMode}
		}},
		{"mode tag: tag by somebody whom the accepted trust file took out", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			accepted := rotated(w, w.root)
			next := w.commitOf(nil, without(w), "", accepted)
			tag := w.tag(w.keys[either(broken, "erin", "dan")].sign, next, gitops.CommitObject, "v1")
			return offer{commit: onTag("v1", next, tag), accepted: accepted, blamed: next, config: tagMode}
		}},
	})
}
