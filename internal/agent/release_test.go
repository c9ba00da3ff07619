// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"slices"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// What a revision answers for is what it makes other than what was applied did:
// also what a plan leaves alone, what is done with it, and nothing that the cluster
// lost or somebody edited.
func TestRevisionAnswersForItsOwnChanges(t *testing.T) {
	object := func(name, digest, bundle string) gitops.Manifest {
		return gitops.Manifest{Ref: gitops.ObjectRef{Version: "v1", Kind: "ConfigMap", Name: name}, Digest: digest, Bundle: bundle}
	}
	hook := object("hook", "sha256:1", "app")
	hook.Hook = &gitops.Hook{}
	bundles := func(other gitops.Bundle) []gitops.Bundle {
		other.Name = "other"
		return []gitops.Bundle{{Name: "app", Prune: true}, other}
	}
	before := gitops.Manifests{Bundles: bundles(gitops.Bundle{Prune: true}), Objects: []gitops.Manifest{
		object("edited", "sha256:1", "app"), object("changed", "sha256:1", "app"), object("hook", "sha256:1", "app"),
		object("gone", "sha256:1", "app"), object("kept", "sha256:1", "other"),
	}}
	for name, c := range map[string]struct {
		other gitops.Bundle
		want  []string
	}{
		"the same rules":  {gitops.Bundle{Prune: true}, []string{"changed", "hook", "new forced", "gone"}},
		"force":           {gitops.Bundle{Prune: true, Force: true}, []string{"changed", "hook", "new forced", "kept", "gone"}},
		"never pruned":    {gitops.Bundle{}, []string{"changed", "hook", "new forced", "kept", "gone"}},
		"never in repair": {gitops.Bundle{Prune: true, Drift: gitops.DriftOff}, []string{"changed", "hook", "new forced", "kept", "gone"}},
	} {
		plan := gitops.Plan{
			Apply: []gitops.Change{{Ref: object("edited", "", "").Ref}},
			Manifests: gitops.Manifests{Bundles: bundles(c.other), Objects: []gitops.Manifest{
				object("edited", "sha256:1", "app"), object("changed", "sha256:2", "app"), hook, object("new", "sha256:1", "app"), object("kept", "sha256:1", "other"),
			}},
			Forced: []gitops.ObjectKey{object("new", "", "").Ref.Key(), object("edited", "", "").Ref.Key()},
		}
		var got []string
		for _, c := range changed(before, plan) {
			name := c.Ref.Name
			if c.Forced {
				name += " forced"
			}
			got = append(got, name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: changed %v, want %v", name, got, c.want)
		}
	}
}
