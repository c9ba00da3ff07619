// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

// thing is an object for ordering: "bundle/wave/Kind.group/name dep,dep".
func thing(t *testing.T, text string) gitops.Manifest {
	t.Helper()
	fields := strings.Fields(text)
	var bundle, kind, name string
	var wave int
	if _, err := fmt.Sscanf(strings.ReplaceAll(fields[0], "/", " "), "%s %d %s %s", &bundle, &wave, &kind, &name); err != nil {
		t.Fatal(err)
	}
	kind, group, _ := strings.Cut(kind, ".")
	api := "v1"
	if group != "" {
		api = group + "/v1"
	}
	doc := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", api, kind, name)
	if len(fields) > 1 {
		doc += "  annotations: {config.kubernetes.io/depends-on: \"" + fields[1] + "\"}\n"
	}
	m := manifest(t, doc)
	m.Bundle, m.Wave = bundle, wave
	return m
}

func TestOrder(t *testing.T) {
	tests := map[string]struct {
		bundles []gitops.Bundle
		things  []string
		want    string // steps, members sorted
	}{
		"kinds": {
			things: []string{
				"a/0/ValidatingWebhookConfiguration.admissionregistration.k8s.io/hook", "a/0/Camera.example.com/cam", "a/0/Ingress.networking.k8s.io/ing",
				"a/0/Deployment.apps/web", "a/0/Service/svc", "a/0/ConfigMap/cfg", "a/0/ResourceQuota/quota", "a/0/ClusterRole.rbac.authorization.k8s.io/role",
				"a/0/PriorityClass.scheduling.k8s.io/prio", "a/0/Namespace/ns", "a/0/CustomResourceDefinition.apiextensions.k8s.io/crd",
			},
			want: "crd+ns > prio > role > quota > cfg > svc > web > ing > cam > hook",
		},
		"a custom kind named like a built-in one is custom": {
			things: []string{"a/0/Service.serving.example.dev/kn", "a/0/Deployment.apps/web"},
			want:   "web > kn",
		},
		"waves before kinds": {
			things: []string{"a/1/ConfigMap/late", "a/0/Deployment.apps/web", "a/-1/Job.batch/first"},
			want:   "first > web > late",
		},
		"definitions of all bundles first": {
			bundles: []gitops.Bundle{{Name: "a"}, {Name: "b", DependsOn: []string{"a"}}},
			things:  []string{"a/0/ConfigMap/one", "b/0/Namespace/ns", "b/0/ConfigMap/two"},
			want:    "ns > one > two",
		},
		"bundles wait for those they depend on": {
			bundles: []gitops.Bundle{{Name: "b", DependsOn: []string{"a"}}, {Name: "a"}},
			things:  []string{"b/0/ConfigMap/two", "a/0/ValidatingWebhookConfiguration.admissionregistration.k8s.io/one"},
			want:    "one > two",
		},
		"through a bundle with nothing to do": {
			bundles: []gitops.Bundle{{Name: "a"}, {Name: "b", DependsOn: []string{"a"}}, {Name: "c", DependsOn: []string{"b"}}},
			things:  []string{"c/0/ConfigMap/three", "a/0/Deployment.apps/one"},
			want:    "one > three",
		},
		"depends-on inside a bundle beats kinds": {
			things: []string{"a/0/ConfigMap/cfg apps/Deployment/web", "a/0/Deployment.apps/web"},
			want:   "web > cfg",
		},
		"depends-on between bundles": {
			things: []string{"a/0/ConfigMap/one /ConfigMap/two", "b/0/ConfigMap/two"},
			want:   "two > one",
		},
		"depends-on of something that is not written": {
			things: []string{"a/0/ConfigMap/one /ConfigMap/none"},
			want:   "one",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := gitops.Manifests{Bundles: test.bundles}
			for _, text := range test.things {
				want.Objects = append(want.Objects, thing(t, text))
			}
			members, after, err := reconcile.Steps(want)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, names := range members {
				slices.Sort(names)
				got = append(got, strings.Join(names, "+"))
				if i > 0 && !slices.Contains(after[i], i-1) {
					t.Errorf("step %v does not wait for %v", names, members[i-1])
				}
			}
			if line := strings.Join(got, " > "); line != test.want {
				t.Errorf("order is %s, want %s", line, test.want)
			}
		})
	}
}

func TestIndependentBundlesDoNotWaitForEachOther(t *testing.T) {
	_, after, err := reconcile.Steps(gitops.Manifests{Objects: []gitops.Manifest{thing(t, "a/0/ConfigMap/one"), thing(t, "b/0/ConfigMap/two")}})
	if err != nil || len(after[0])+len(after[1]) != 0 {
		t.Errorf("steps wait for %v, %v", after, err)
	}
}

func TestCirclesAreRefused(t *testing.T) {
	tests := map[string][]string{
		"two objects":     {"a/0/ConfigMap/one /ConfigMap/two", "a/0/ConfigMap/two /ConfigMap/one"},
		"itself":          {"a/0/ConfigMap/one /ConfigMap/one"},
		"between bundles": {"a/0/ConfigMap/one /ConfigMap/two", "b/0/ConfigMap/two /ConfigMap/one"},
	}
	for name, things := range tests {
		t.Run(name, func(t *testing.T) {
			var want gitops.Manifests
			for _, text := range things {
				want.Objects = append(want.Objects, thing(t, text))
			}
			_, _, err := reconcile.Steps(want)
			wantReason(t, err, gitops.DependencyCycle)
		})
	}
}

func TestUnreadableDependsOnIsRefused(t *testing.T) {
	_, _, err := reconcile.Steps(gitops.Manifests{Objects: []gitops.Manifest{thing(t, "a/0/ConfigMap/one web")}})
	wantReason(t, err, gitops.InvalidManifest, `"web"`, "group/Kind/name")
}
