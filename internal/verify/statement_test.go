// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Whatever a principal is called, git can name a ref after it.
func TestNamesInRefs(t *testing.T) {
	for name, want := range map[string]string{
		"azAZ_-09":            "azAZ_-09",
		"ann@example.com":     "ann-example.com",
		"`{[^/:@ é":           "principal-",
		"a`b{c[d@e/f:g":       "a-b-c-d-e-f-g",
		".-ann-.":             "ann",
		"a..b...c":            "a.b.c",
		"ann.lock":            "principal-ann",
		"ann.lockx":           "ann.lockx",
		"":                    "principal-",
		"CN=Ann,O=Example/OU": "CN-Ann-O-Example-OU",
	} {
		ref := verify.ApprovalRef(emptyTree, name)
		if got := strings.TrimPrefix(ref, "refs/edgeagent/approvals/"+string(emptyTree)+"/"); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		r := repo{t: t, dir: t.TempDir()}
		r.git("check-ref-format", ref)
	}
}

// What a statement says stands on lines of one form, each key once.
func TestFormOfStatements(t *testing.T) {
	w := newInband(t)
	const ref = "refs/edgeagent/approvals/x"
	for text, want := range map[string]string{
		"A: 1\nB: 2\n":  "",
		"A: 1\n\nB: 2":  "",
		"A: 1\nB 2\n":   "a line is not KEY: VALUE",
		"A: 1\nB: \n":   "a line is not KEY: VALUE",
		"A: 1\nA: 1\n":  "is there twice",
		"A: 1\n\nA: 2":  "is there twice",
		"A: 1: 2\nB: 2": "",
	} {
		raw := strings.Replace(tagText(w.root, gitops.CommitObject, strings.TrimPrefix(ref, "refs/")), "release edgeagent/approvals/x\n", text, 1)
		fields, object, err := verify.ReadStatement(ref, []byte(raw))
		if want == "" && (err != nil || object != w.root || fields["B"] != "2") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v of %s, %v, want %q", text, fields, object.Short(), err, want)
		}
	}
	if _, _, err := verify.ReadStatement(ref, []byte("object\n")); err == nil || strings.Contains(err.Error(), "signed as") {
		t.Errorf("no tag at all: %v", err)
	}
}
