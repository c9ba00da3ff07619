// SPDX-License-Identifier: Apache-2.0

package localapi_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func TestSecretsAreMasked(t *testing.T) {
	const secret = `apiVersion: v1
kind: Secret
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"data":{"a":"aHVudGVyMg=="}}'
    note: kept
  name: s
data:
  a: aHVudGVyMg==
  b: 12
stringData:
  c: hunter2
`
	ref := gitops.ObjectRef{Version: "v1", Kind: "Secret", Name: "s"}
	c := &controller{status: twoSources(), manifests: gitops.Manifests{Objects: []gitops.Manifest{
		{Ref: ref, YAML: []byte(secret), Bundle: "b"},
		{Ref: gitops.ObjectRef{Version: "v1", Kind: "ConfigMap", Name: "c"}, YAML: []byte("kind: ConfigMap\n")},
	}}}
	client := localapi.NewClient(serve(t, c))
	shown, err := client.Show(t.Context(), "fleet", "", true)
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.Manifests) != 2 || shown.Manifests[1].YAML != "kind: ConfigMap\n" {
		t.Fatalf("manifests = %+v", shown.Manifests)
	}
	text := shown.Manifests[0].YAML
	for _, hidden := range []string{"hunter2", "aHVudGVyMg", "12"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s is shown in:\n%s", hidden, text)
		}
	}
	for _, kept := range []string{"a: '********'", "b: '********'", "c: '********'", "note: kept", "name: s"} {
		if !strings.Contains(text, kept) {
			t.Errorf("no %s in:\n%s", kept, text)
		}
	}
	shown, err = client.Show(t.Context(), "fleet", "", false)
	if err != nil || len(shown.Manifests) != 0 {
		t.Errorf("manifests that nobody asked for: %+v, %v", shown.Manifests, err)
	}
}

func TestSecretThatCannotBeMaskedIsNotShown(t *testing.T) {
	ref := gitops.ObjectRef{Version: "v1", Kind: "Secret", Name: "s"}
	for _, text := range []string{"data: hunter2\n", "data: [hunter2]\n", "data: {a: hunter2"} {
		got, err := localapi.Mask(gitops.Manifest{Ref: ref, YAML: []byte(text)})
		if strings.Contains(got, "hunter2") || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Mask(%q) = %q, %v", text, got, err)
		}
	}
}
