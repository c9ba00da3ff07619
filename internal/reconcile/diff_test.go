// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func (s *site) diff(want gitops.Manifests) map[string]string {
	s.t.Helper()
	req := s.req
	req.Want, req.Owned = want, s.owned
	diffs, err := s.c.Diff(s.t.Context(), req)
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range diffs {
		out[string(d.Action)+" "+d.Ref.Kind+"/"+d.Ref.Name] = d.Diff
	}
	return out
}

func TestDiffShowsWhatWouldChange(t *testing.T) {
	s := newSite(t)
	s.mustConverge(s.want(configMap("a", "1"), configMap("b", "1"), configMap("same", "1")))
	s.edit("kubectl-edit", "ConfigMap", "a", `{"data":{"key":"by hand"}}`)
	since := time.Now()
	crd := "apiVersion: v1\nkind: Namespace\nmetadata: {name: NS-new}\n"
	got := s.diff(s.want(configMap("a", "1"), configMap("c", "1"), configMap("same", "1"), crd,
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inner, namespace: NS-new}\ndata: {key: x}\n"))
	wants := map[string][]string{
		"configured ConfigMap/a":                 {"-  key: by hand", "+  key: \"1\"", "--- live/", "+++ git/"},
		"created ConfigMap/c":                    {"+  name: c"},
		"created ConfigMap/inner":                {"+  key: x"},
		"deleted ConfigMap/b":                    {"-  name: b"},
		"created Namespace/" + s.source + "-new": {"+kind: Namespace"},
	}
	for what, lines := range wants {
		for _, line := range lines {
			if !strings.Contains(got[what], line) {
				t.Errorf("%s does not show %q:\n%s", what, line, got[what])
			}
		}
	}
	if len(got) != len(wants) {
		t.Errorf("%d objects differ, want %d: %v", len(got), len(wants), got)
	}
	for what, text := range got {
		for _, noise := range []string{"managedFields", "resourceVersion", "applyset.kubernetes.io", "edgeagent.dev/digest", "creationTimestamp"} {
			if strings.Contains(text, noise) {
				t.Errorf("%s shows %s:\n%s", what, noise, text)
			}
		}
	}
	if w := s.writes(since); len(w) > 0 {
		t.Errorf("diff wrote %q", w)
	}
}

func TestDiffShowsDriftThatIsNotRepaired(t *testing.T) {
	s := newSite(t)
	s.req.Drift = gitops.DriftNotify
	want := s.want(configMap("a", "1"))
	want.Bundles[0].Drift = gitops.DriftOff
	s.mustConverge(want)
	s.edit("kubectl-edit", "ConfigMap", "a", `{"data":{"key":"by hand"}}`)
	if got := s.diff(want); len(got) != 1 || want.Bundles[0].Drift != gitops.DriftOff {
		t.Errorf("diff is %v, and the bundle's mode %q", got, want.Bundles[0].Drift)
	}
}

func TestDiffMasksSecrets(t *testing.T) {
	s := newSite(t)
	secret := func(value string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: NS}\ndata: {one: " + value + ", two: c2FtZQ==, three: c2FtZQ==}\n"
	}
	s.mustConverge(s.want(secret("b2xkLWNhbmFyeQ==")))
	text := s.diff(s.want(secret("bmV3LWNhbmFyeQ==")))["configured Secret/s"]
	for _, canary := range []string{"b2xkLWNhbmFyeQ", "bmV3LWNhbmFyeQ", "old-canary", "new-canary", "c2FtZQ"} {
		if strings.Contains(text, canary) {
			t.Fatalf("the diff shows a secret:\n%s", text)
		}
	}
	if !strings.Contains(text, "-  one: '*** (masked ") || !strings.Contains(text, "+  one: '*** (masked ") || strings.Contains(text, "-  two") {
		t.Errorf("the diff must show that one changed, and two did not:\n%s", text)
	}
}

func TestErrorAboutASecretDoesNotQuoteIt(t *testing.T) {
	s := newSite(t)
	_, err := s.converge(s.want("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: NS}\ndata: {\"canary key\": Y2FuYXJ5, good: Y2FuYXJ5}\ntype: canary-type\nimmutable: canary-value\n"))
	wantReason(t, err, gitops.Rejected, "Secret/")
	for _, canary := range []string{"canary-value", "Y2FuYXJ5"} {
		if strings.Contains(err.Error(), canary) {
			t.Errorf("the error quotes the Secret: %v", err)
		}
	}
}
