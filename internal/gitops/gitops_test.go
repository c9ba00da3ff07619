// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestRevision(t *testing.T) {
	hash := gitops.Hash("0123456789abcdef0123456789abcdef01234567")
	rev := gitops.NewRevision("release/1.0", hash)
	if rev != "release/1.0@sha1:0123456789abcdef0123456789abcdef01234567" || rev.Ref() != "release/1.0" || rev.Hash() != hash || rev.Short() != "release/1.0@0123456" {
		t.Errorf("revision = %s, ref %s, hash %s, short %s", rev, rev.Ref(), rev.Hash(), rev.Short())
	}
	if gitops.Revision("").Short() != "" {
		t.Errorf("short of nothing = %q", gitops.Revision("").Short())
	}
	for hash, valid := range map[gitops.Hash]bool{hash: true, hash[:39]: false, "0123456789ABCDEF0123456789abcdef01234567": false, hash + "0": false, "": false} {
		if hash.Valid() != valid {
			t.Errorf("%q valid: %v, want %v", hash, hash.Valid(), valid)
		}
	}
}

// Every attempt ends, a healthy one never fails, and nothing leaves a closed phase.
func TestPhases(t *testing.T) {
	for _, p := range gitops.Phases() {
		for _, next := range p.Next() {
			if !p.MayMove(next) || slices.Index(gitops.Phases(), next) <= slices.Index(gitops.Phases(), p) {
				t.Errorf("%s → %s goes back, or Next and MayMove disagree", p, next)
			}
		}
		if p.Closed() != (p == gitops.PhasePruned || p == gitops.PhaseFailed) {
			t.Errorf("%s closed: %v", p, p.Closed())
		}
	}
	if gitops.PhaseHealthy.MayMove(gitops.PhaseFailed) {
		t.Error("a healthy revision may fail: its prune must not roll it back")
	}
}

func ref(name, version string) gitops.ObjectRef {
	return gitops.ObjectRef{Group: "apps", Version: version, Kind: "Deployment", Namespace: "shop", Name: name}
}

func TestVersionIsNoPartOfIdentity(t *testing.T) {
	a, b := ref("web", "v1"), ref("web", "v1beta1")
	if a.Key() != b.Key() || a.Compare(b) != 0 {
		t.Error("the same object in two versions has two identities")
	}
	if a.String() != "Deployment.apps/shop/web" || a.APIVersion() != "apps/v1" || a.GroupKind() != "Deployment.apps" {
		t.Errorf("%s, %s, %s", a, a.APIVersion(), a.GroupKind())
	}
	core := gitops.ObjectRef{Version: "v1", Kind: "Namespace", Name: "shop"}
	if core.String() != "Namespace/shop" || core.APIVersion() != "v1" {
		t.Errorf("%s, %s", core, core.APIVersion())
	}
}

func TestUnionKeepsEverythingAndWhatIsRecorded(t *testing.T) {
	inventory := func(digest string) *rapid.Generator[gitops.Inventory] {
		return rapid.Custom(func(t *rapid.T) gitops.Inventory {
			var inv gitops.Inventory
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 8, rapid.ID).Draw(t, "names") {
				inv = append(inv, gitops.Item{Ref: ref(fmt.Sprint(n), "v1"), Digest: digest})
			}
			return inv
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		recorded, announced := inventory("recorded").Draw(t, "recorded"), inventory("").Draw(t, "announced")
		union := recorded.Union(announced)
		for _, item := range slices.Concat(recorded, announced) {
			got, ok := union.Find(item.Ref.Key())
			_, was := recorded.Find(item.Ref.Key())
			if !ok || was && got.Digest != "recorded" {
				t.Fatalf("%s is lost or no longer recorded in %v", item.Ref, union)
			}
		}
		if len(union) != len(union.Index()) || !slices.IsSortedFunc(union, func(a, b gitops.Item) int { return a.Ref.Compare(b.Ref) }) {
			t.Fatalf("the union holds an object twice or is not sorted: %v", union)
		}
	})
}

func TestReasonIsFoundThroughWraps(t *testing.T) {
	err := fmt.Errorf("step: %w", &gitops.Error{Reason: gitops.CrashLoop, Message: "web crashes.", Remedy: "fix it"})
	if gitops.ReasonOf(err) != gitops.CrashLoop || gitops.ReasonOf(errors.New("other")) != "" {
		t.Errorf("reasons = %q, %q", gitops.ReasonOf(err), gitops.ReasonOf(errors.New("other")))
	}
	if err.Error() != "step: web crashes; fix it" {
		t.Errorf("text = %q", err)
	}
}

func TestHealthCountsAndBlocks(t *testing.T) {
	h := gitops.Health{Objects: []gitops.ObjectHealth{
		{Ref: ref("a", "v1"), Bundle: "one", Status: gitops.Current, Decides: true},
		{Ref: ref("b", "v1"), Bundle: "one", Status: gitops.Failed, Decides: true},
		{Ref: ref("c", "v1"), Bundle: "one", Status: gitops.NotFound},
		{Ref: ref("d", "v1"), Bundle: "two", Status: gitops.Failed},
	}}
	if got, want := h.Counts("one"), (gitops.ObjectCounts{Total: 3, Current: 1, InProgress: 1, Failed: 1}); got != want {
		t.Errorf("counts = %+v, want %+v", got, want)
	}
	if b := h.Blocking(); len(b) != 1 || b[0].Ref.Name != "b" {
		t.Errorf("blocking = %+v, want b: what does not decide blocks nothing", b)
	}
}

func TestManifestsAreOneStream(t *testing.T) {
	m := gitops.Manifests{
		Bundles: []gitops.Bundle{{Name: "one"}},
		Objects: []gitops.Manifest{{Ref: ref("a", "v1"), YAML: []byte("a: 1\n")}, {Ref: ref("b", "v1"), YAML: []byte("b: 2\n")}},
	}
	if got := string(m.Bytes()); got != "a: 1\n---\nb: 2\n" {
		t.Errorf("bytes = %q", got)
	}
	if _, ok := m.Find(ref("b", "v2").Key()); !ok {
		t.Error("b is not found")
	}
	if _, ok := m.Bundle("two"); ok {
		t.Error("bundle two is found")
	}
}
