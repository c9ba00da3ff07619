// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const someID = "aaaaaaaaaaaaaaaaaaaa"

// lines is a tree object of "MODE NAME" entries.
func lines(entries ...string) string {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e + "\x00" + someID)
	}
	return b.String()
}

func TestTreesAreReadInOneWayOnly(t *testing.T) {
	for name, c := range map[string]struct {
		tree string
		bad  string // "" = it is read
	}{
		"empty":                        {"", ""},
		"every mode":                   {lines("100644 a", "100755 b", "100664 c", "120000 d", "40000 e", "160000 f"), ""},
		"directory after a like file":  {lines("100644 a", "100644 a.b", "40000 b"), ""},
		"file between":                 {lines("100644 a-b", "40000 a", "100644 a0"), ""},
		"no mode":                      {"100644", "without a mode"},
		"cut in the id":                {lines("100644 a")[:20], "cut short"},
		"no NUL":                       {"100644 a", "cut short"},
		"unknown mode":                 {lines("100640 a"), "mode"},
		"padded mode":                  {lines("040000 a"), "mode"},
		"no name":                      {lines("100644 "), "named"},
		"dot":                          {lines("40000 ."), "named"},
		"dot dot":                      {lines("40000 .."), "named"},
		"git directory":                {lines("40000 .git"), "named"},
		"git directory in capitals":    {lines("40000 .GiT"), "named"},
		"slash":                        {lines("100644 a/b"), "named"},
		"very long name":               {lines("100644 " + strings.Repeat("a", 4097)), "4097 bytes"},
		"twice":                        {lines("100644 a", "100644 a"), "out of order or the same"},
		"out of order":                 {lines("100644 b", "100644 a"), "out of order or the same"},
		"directory sorted as a file":   {lines("40000 a", "100644 a-b"), "out of order or the same"},
		"file and directory":           {lines("100644 a", "40000 a"), "the same"},
		"file and directory, far away": {lines("100644 a", "100644 a.b", "40000 a"), "two entries"},
	} {
		entries, err := gitops.ParseTree([]byte(c.tree))
		switch {
		case c.bad == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.bad == "" && len(entries) != strings.Count(c.tree, someID):
			t.Errorf("%s: %d entries", name, len(entries))
		case c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)):
			t.Errorf("%s: %v, want it to say %q", name, err, c.bad)
		}
	}
}
