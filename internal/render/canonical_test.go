// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
)

var awkward = `apiVersion: example.com/v1
kind: Awkward
metadata: {name: values}
spec:
  booleans: [yes, no, on, off, y, n, true, "true", "yes", "y"]
  numbers: [0, -1, 010, 0x10, 0o7, 1_000, 1e6, 1.0, 1.5, 1e-7, 1e21, 1e300, 0.1, 18446744073709551615, 12345678901234567890123]
  like numbers: ["0", "010", "0x10", "1e6", "1_000", ".5", "1:30", "2001-01-01", "~", "null", "", " ", "-", "=", "<<"]
  times: [2001-01-01, 2001-12-14t21:59:43.10-05:00, 1:30]
  nothing: [null, ~, {}, []]
  1: number as a key
  true: boolean as a key
  text: [" leading", "trailing ", "a: b", "a #b", "#", "- a", "\ttab", "line 1\nline 2", "ends\n", "ends\n\n", "æøå € 😀", "\u0000\u001b\u200b", "'", '"', "%", "@", "` + "`" + `", "{{ x }}", "!tag", "&a", "*a", "|", ">", "---", "..."]
  long: "` + longText + `"
  folded: >
    one
    two

    three
  kept: |+
    one

`

var longText = strings.Repeat("words that are folded by some writers ", 30)

// TestCanonicalBytesAreAFixedPoint: rendering what was rendered changes
// nothing, and the bytes say what the input says to kubectl's own decoder.
func TestCanonicalBytesAreAFixedPoint(t *testing.T) {
	build := func(content string) gitops.Manifest {
		t.Helper()
		s := store{}
		m, err := renderer(t, render.Config{}, s).Build(t.Context(), s.tree(map[string]string{"a.yaml": content}), cluster)
		if err != nil {
			t.Fatal(err)
		}
		return m.Objects[0]
	}
	once := build(awkward)
	if twice := build(string(once.YAML)); twice.Digest != once.Digest {
		t.Errorf("rendered again it differs:\n%s", cmp.Diff(string(once.YAML), string(twice.YAML)))
	}
	var want, got any
	if err := yaml.Unmarshal([]byte(awkward), &want); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(once.YAML, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the bytes say something else than the input (-input +bytes):\n%s", diff)
	}
	again, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(again), string(once.YAML)); diff != "" {
		t.Errorf("kubectl would write it differently:\n%s", diff)
	}
}
