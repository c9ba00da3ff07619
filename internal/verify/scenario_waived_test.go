// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// A waiver is about ancestry: it makes up for nothing else that is said of a head
// that left the accepted one behind.
func TestWaiverOfWhatIsNoAncestry(t *testing.T) {
	runRules(t, []rule{
		{"waived fork above a malformed commit that nobody judges", gitops.MalformedCommit, func(w *inband, broken bool) offer {
			one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			mid := w.put(gitops.CommitObject, []byte(strings.Replace(w.unsigned(w.root), "Ann", either(broken, "A\x1bnn", "Ben"), 1)))
			two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), mid)
			return offer{commit: onMain(two), accepted: one, blamed: mid, config: both(headMode, waive(one, two))}
		}},
		{"fork that root lets through, where trust began with what was seen", gitops.Fork, func(w *inband, broken bool) offer {
			plain := w.base.with(files{trustYAML: ""})
			root := w.commitOf(nil, plain, "")
			one := w.commitOf(w.keys["dan"].sign, plain, "", root)
			two := w.commitOf(w.keys["erin"].sign, plain, "", root)
			return offer{commit: onMain(two), accepted: one, blamed: two, config: both(w.nodesFiles, headMode,
				waive(one, either(broken, one, two)), func(c *verify.Config) { c.Introduction = verify.FirstSeen })}
		}},
	})
}

// Nothing is waived, and nobody is blamed, while something cannot be read.
func TestWaiverAndFailures(t *testing.T) {
	w := newInband(t)
	one := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	two := w.commitOf(w.keys["erin"].sign, w.base, w.forMain(), w.root)
	cfg := w.config()
	waive(one, two)(&cfg)
	for _, name := range []string{"Verify", "Explain"} {
		ask := questions(offer{commit: onMain(two), accepted: one})[name]
		failEachRead(t, w, cfg, 10, func(v *verify.Verifier) (bool, error) { return ask(t.Context(), v) })
	}
	for _, said := range []verify.Waived{{}, {From: one, To: two}} {
		v := w.verifier(t, func(c *verify.Config) {
			c.Waived = func(context.Context) (verify.Waived, error) {
				return said, &gitops.Error{Reason: gitops.JournalFailed, Message: "disk"}
			}
		})
		if got, err := v.Verify(t.Context(), onMain(two), one); got.Valid() || gitops.ReasonOf(err) != gitops.JournalFailed {
			t.Errorf("when the journal cannot be read: %v", err)
		}
	}
}
