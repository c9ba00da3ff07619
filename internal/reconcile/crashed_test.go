// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// crash carries a plan out as an attempt that is killed before it records
// anything: the journal holds what was announced.
func (s *site) crash(want gitops.Manifests) {
	s.t.Helper()
	plan := s.mustPlan(want)
	s.attempt++
	s.owned = plan.Inventory
	for i := range s.owned {
		if s.owned[i].Entered == 0 {
			s.owned[i].Entered = s.attempt
		}
	}
	if _, err := s.c.Apply(s.t.Context(), plan, nil); err != nil {
		s.t.Fatal(err)
	}
}

func TestCreatedOnlyAndNotRecordedIsRecordedOnResume(t *testing.T) {
	s := newSite(t)
	once := annotated("once", "1", "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent")
	s.crash(s.want(once))
	want := s.want(once)
	s.edit("somebody", "ConfigMap", "once", `{"data":{"key":"theirs"}}`)
	plan := s.mustPlan(want)
	changes, err := s.c.Apply(t.Context(), plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, changes, "unchanged ConfigMap/once")
	s.record(changes)
	item := s.owned[0]
	if item.UID != string(s.live("ConfigMap", "once").GetUID()) || item.Digest != want.Objects[0].Digest || item.Entered != 1 {
		t.Errorf("item is %+v", item)
	}
	if got := value(s.live("ConfigMap", "once"), "key"); got != "theirs" {
		t.Errorf("the object was overwritten: %q", got)
	}
	// What is recorded is no news, and goes when it leaves Git.
	if changes, err := s.c.Apply(t.Context(), s.mustPlan(want), nil); err != nil || len(changes) != 0 {
		t.Errorf("the next pass reports %q, %v", actions(changes), err)
	}
	wantActions(t, s.mustConverge(s.want(configMap("a", "1"))).pruned, "deleted ConfigMap/once")
}

func TestCreatedOnlyOfSomebodyElseIsNotTaken(t *testing.T) {
	s := newSite(t)
	want := s.want(annotated("once", "1", "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent"))
	s.owned = gitops.Inventory{{Ref: want.Objects[0].Ref, Bundle: "main", Entered: 1}}
	s.create(configMap("once", "theirs"))
	if changes, err := s.c.Apply(t.Context(), s.mustPlan(want), nil); err != nil || len(changes) != 0 {
		t.Errorf("changes are %q, %v", actions(changes), err)
	}
}

func TestRollbackRestoresWhatAnUnrecordedAttemptWrote(t *testing.T) {
	s := newSite(t)
	s.req.Drift = gitops.DriftNotify
	old := s.want(configMap("a", "1"))
	s.mustConverge(old)
	s.crash(s.want(configMap("a", "2")))
	r := s.rollBack(old, 2)
	wantActions(t, r.changes, "configured ConfigMap/a")
	if got := value(s.live("ConfigMap", "a"), "key"); got != "1" {
		t.Errorf("value is %q after the rollback", got)
	}
}
