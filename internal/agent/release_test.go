// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// What the cluster lost, or somebody edited, is not what a revision changes: a
// pod that breaks something protected must not hold an update up.
func TestRevisionAnswersForItsOwnChangesOnly(t *testing.T) {
	named := func(name string) gitops.ObjectRef {
		return gitops.ObjectRef{Version: "v1", Kind: "ConfigMap", Name: name}
	}
	owned := gitops.Inventory{
		{Ref: named("edited"), Digest: "sha256:1"}, {Ref: named("changed"), Digest: "sha256:1"},
		{Ref: named("gone"), Digest: "sha256:1"}, {Ref: named("announced")},
	}
	plan := gitops.Plan{
		Apply: []gitops.Change{{Ref: named("edited")}, {Ref: named("changed")}, {Ref: named("new")}, {Ref: named("announced")}},
		Prune: []gitops.Change{{Ref: named("gone")}}, DeleteFirst: []gitops.Change{{Ref: named("first")}}, Pending: []gitops.Change{{Ref: named("held")}},
	}
	for name, digest := range map[string]string{"edited": "sha256:1", "changed": "sha256:2", "new": "sha256:1", "announced": ""} {
		plan.Manifests.Objects = append(plan.Manifests.Objects, gitops.Manifest{Ref: named(name), Digest: digest})
	}
	var got []string
	for _, c := range changedBy(plan, owned) {
		got = append(got, c.Ref.Name)
	}
	if want := []string{"changed", "new", "announced", "first", "gone", "held"}; !slices.Equal(got, want) {
		t.Errorf("changed %v, want %v", got, want)
	}
}
