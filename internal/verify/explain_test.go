// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func TestExplainTellsWhoStandsForACommit(t *testing.T) {
	w := newInband(t)
	next := strings.Replace(w.trust(2, ""), "[dan, erin]", "[dan]", 1)
	changed := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: next}), "", w.root)
	w.approve("bob", changed, w.root)
	w.approve("carol", changed, changed) // says another parent
	head := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: next, "apps/web.yaml": "a: 2\n"}), w.forMain(), changed)
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Explain(t.Context(), onMain(head), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Subject = ""
	}
	want := []gitops.Decision{
		{Commit: head, Trusted: true, Signer: "dan", Key: w.keys["dan"].fingerprint(), Role: "developer", Policy: 2, RefBinding: verify.BoundTrailer,
			Rule: "history: developer by trust file version 2"},
		{Commit: changed, Trusted: true, Signer: "alice", Key: w.keys["alice"].fingerprint(), Role: "root", Policy: 1, Approvals: []string{"bob"},
			Rule: "history: root by trust file version 1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

func TestExplainAsksTheLastQuestionsToo(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
	cfg := w.config()
	for _, reason := range []gitops.Reason{gitops.RefUnbound, gitops.ClockUntrusted} {
		if reason == gitops.ClockUntrusted {
			w.approve("erin", head, w.root)
			cfg.Floor = now.AddDate(-11, 0, 0)
		}
		v, err := verify.New(cfg, w)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Explain(t.Context(), onMain(head), "")
		if err != nil || len(got) == 0 || got[0].Trusted || got[0].Reason != reason {
			t.Errorf("Explain: %+v, %v, want %s for the head", got, err, reason)
		}
		if _, err := v.Verify(t.Context(), onMain(head), ""); gitops.ReasonOf(err) != reason {
			t.Errorf("Verify: %v, want %s", err, reason)
		}
	}
}

func TestRequireCountsWhatNodesWillAsk(t *testing.T) {
	w := newInband(t)
	next := strings.Replace(w.trust(2, ""), "[alice, bob, carol], threshold: 2", "[alice, bob, carol, dan], threshold: 2", 1)
	head := w.commitOf(w.keys["erin"].sign, w.base.with(files{trustYAML: next, "rbac/admin.yaml": "c: 2\n"}), "", w.root)
	w.approve("alice", head, w.root)
	require := func(names ...string) []verify.Requirement {
		t.Helper()
		approved, got, err := verify.Require(t.Context(), w.config(), w, onMain(head))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(names, approved); diff != "" {
			t.Errorf("approved by (-want +got):\n%s", diff)
		}
		return got
	}
	want := []verify.Requirement{
		{What: "a signature by a developer or a root", Need: 1, By: []string{"erin"}},
		{What: "a release to refs/heads/main", Need: 1, Missing: []string{"dan", "erin", "forge"}},
		{What: `a change of "rbac"`, Need: 2, By: []string{"alice"}, Missing: []string{"bob", "carol"}},
		{What: "a change of ClusterRole.rbac.authorization.k8s.io", Need: 1, By: []string{"alice"}, Missing: []string{"bob", "carol"}, Rendered: true},
		{What: "a change of .edgeagent/trust.yaml, by the roots of its version 1", Need: 2, By: []string{"alice"}, Missing: []string{"bob", "carol"}},
		{What: "a change of .edgeagent/trust.yaml, by the roots of its version 2", Need: 2, By: []string{"alice"}, Missing: []string{"bob", "carol", "dan"}},
	}
	if diff := cmp.Diff(want, require("alice")); diff != "" {
		t.Errorf("requirements (-want +got):\n%s", diff)
	}
	w.approve("bob", head, w.root)
	w.approve("dan", head, w.root)
	for _, r := range require("alice", "bob", "dan") {
		if !r.Met() {
			t.Errorf("still asked: %+v", r)
		}
	}
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), onMain(head), ""); err != nil {
		t.Errorf("all is met, and a node refuses: %v", err)
	}
}

func TestCheckTrustFileReadsTheKeys(t *testing.T) {
	w := newInband(t)
	good := w.trust(1, "")
	if _, err := verify.CheckTrustFile([]byte(good)); err != nil {
		t.Errorf("a good file: %v", err)
	}
	bad := strings.Replace(good, w.keys["dan"].line(), w.keys["erin"].line(), 1)
	if _, err := verify.ParseTrustFile([]byte(bad)); err != nil {
		t.Fatalf("the form is right: %v", err)
	}
	if _, err := verify.CheckTrustFile([]byte(bad)); err == nil {
		t.Error("two principals with one key are let through")
	}
}
