// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// A head whose signatures are good is not called trusted while it is refused for
// what it renders.
func TestVerifySaysWhyAHeadIsRefused(t *testing.T) {
	id := func(digit string) gitops.Hash { return gitops.Hash(strings.Repeat(digit, 40)) }
	three, two, one := gitops.Decision{Commit: id("3"), Trusted: true}, gitops.Decision{Commit: id("2"), Trusted: true}, gitops.Decision{Commit: id("1"), Trusted: true}
	refused := func(d gitops.Decision) gitops.Decision {
		d.Trusted, d.Reason, d.Message = false, gitops.NotApproved, "have it approved"
		return d
	}
	unsigned := gitops.Decision{Commit: id("2"), Reason: gitops.Unsigned}
	type list = []gitops.Decision
	for name, test := range map[string]struct {
		decisions     list
		head, culprit gitops.Hash
		verified      string
		none          bool
		want          list
	}{
		"the head":                        {list{three, two, one}, id("3"), id("3"), "False", false, list{refused(three), two, one}},
		"a commit below it":               {list{three, two, one}, id("3"), id("2"), "False", false, list{three, refused(two), one}},
		"a commit that is not listed":     {list{three}, id("3"), id("2"), "False", false, list{refused(three)}},
		"another head was":                {list{three, two}, id("2"), id("2"), "False", false, list{three, two}},
		"it was, and is approved now":     {list{three}, id("3"), id("3"), "True", false, list{three}},
		"a signature is to blame already": {list{three, unsigned}, id("3"), id("3"), "False", false, list{three, unsigned}},
		"nothing is refused":              {list{three}, "", "", "False", true, list{three}},
		"nothing is new":                  {nil, id("3"), id("3"), "False", false, nil},
	} {
		st := gitops.SourceStatus{Conditions: []gitops.Condition{{Type: gitops.ConditionVerified, Status: test.verified}}}
		if !test.none {
			st.Refused = &gitops.Refusal{Revision: gitops.NewRevision("main", test.head), Commit: test.culprit, Reason: gitops.NotApproved, Message: "have it approved"}
		}
		withRefusal(test.decisions, st)
		if diff := cmp.Diff(test.want, test.decisions); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
