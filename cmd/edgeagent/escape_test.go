// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		"plain ümläut\n\tnew line": "plain ümläut\n\tnew line",
		"\x1b[2J":                  `\x1b[2J`,
		"a\rb\x00\x7f":             `a\x0db\x00\x7f`,
		"\u009b31m":                `\u009b31m`, // CSI in one rune
		"\u202eabc":                `\u202eabc`, // right to left
		"\u2066x\u2028":            `\u2066x\u2028`,
		"\xff\xfe":                 `\xff\xfe`,
		"\ufffd":                   `\ufffd`,
	} {
		if got := escape(text); got != want {
			t.Errorf("escape(%q) = %q, want %q", text, got, want)
		}
	}
}

// Wherever the text stands in the value, and nothing but the text changes.
func TestEscapedReachesEveryString(t *testing.T) {
	evil := func(s string) gitops.Status {
		return gitops.Status{
			Version:  s,
			Node:     gitops.NodeStatus{Labels: map[string]string{s: s}},
			Problems: []string{s},
			Sources: []gitops.SourceStatus{{
				Name: s, Cycle: 1 << 60, Applied: &gitops.At{Revision: gitops.Revision(s), At: noon},
				Conditions: []gitops.Condition{{Message: s}},
			}},
		}
	}
	got, err := escaped(evil("a\x1bb"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(evil(`a\x1bb`), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
