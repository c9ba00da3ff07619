// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"slices"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestCompletedJobIsNotRunAgain(t *testing.T) {
	s := newSite(t)
	one := s.want(configMap("a", "1"), job("migrate", "migrate:1"))
	s.mustConverge(one)
	item, _ := s.owned.Find(one.Objects[1].Ref.Key())
	if item.Completed != one.Objects[1].Digest {
		t.Fatalf("the Job's item is %+v, want it completed", item)
	}
	s.delete("Job", "migrate") // as its TTL does
	if plan := s.mustPlan(one); !plan.Empty() {
		t.Errorf("the absence of a completed Job counts as drift: %+v", plan.Apply)
	}
	// A new digest runs it.
	two := s.want(configMap("a", "2"), job("migrate", "migrate:2"))
	r := s.mustConverge(two)
	wantActions(t, r.changes, "configured ConfigMap/a", "created Job/migrate")
	// A rollback does not run the old one again, and nothing does later.
	r = s.rollBack(one, 2)
	if slices.Contains(actions(r.changes), "created Job/migrate") || len(r.plan.Apply) != 1 {
		t.Errorf("the rollback writes %q", actions(r.plan.Apply))
	}
	if plan := s.mustPlan(one); !plan.Empty() {
		t.Errorf("after the rollback the Job would run again: %+v", plan.Apply)
	}
}

func TestJobIsHealthyOnlyWhenItCompleted(t *testing.T) {
	s := newSite(t)
	r := s.mustConverge(s.want(job("work", "slow-2")))
	if r.health.Objects[0].Status != gitops.Current || !r.health.Objects[0].Completed {
		t.Errorf("health is %+v", r.health.Objects)
	}
	if got := s.live("Job", "work"); got == nil || !conditionTrue(got, "Complete") {
		t.Error("the wait ended before the Job completed")
	}
}

func TestFailedJobFailsTheRevision(t *testing.T) {
	s := newSite(t)
	_, err := s.converge(s.want(job("work", "broken")))
	wantReason(t, err, gitops.JobFailed, "Job.batch/"+s.ns+"/work")
}

// hookManifests is a bundle with a hook before and one after its objects.
func (s *site) hookManifests(image string, events ...string) gitops.Manifests {
	m := s.want(job("before", image), configMap("a", image), job("after", image))
	m.Objects[0].Wave, m.Objects[2].Wave = -1, 1
	for _, i := range []int{0, 2} {
		m.Objects[i].Hook = &gitops.Hook{Events: events}
	}
	return m
}

func TestHooksRunInTheirWaveAndOnce(t *testing.T) {
	s := newSite(t)
	one := s.hookManifests("work:1", "pre-install", "post-install", "pre-upgrade", "post-upgrade")
	since := time.Now()
	s.mustConverge(one)
	before, a, after := s.live("Job", "before"), s.live("ConfigMap", "a"), s.live("Job", "after")
	done := completedAt(t, before)
	if a.GetCreationTimestamp().Time.Before(done) || after.GetCreationTimestamp().Time.Before(a.GetCreationTimestamp().Time) {
		t.Errorf("order is wrong: before completed at %s, a made at %s, after made at %s; writes %q",
			done, a.GetCreationTimestamp(), after.GetCreationTimestamp(), s.writes(since))
	}
	if plan := s.mustPlan(one); !plan.Empty() {
		t.Errorf("hooks would run again: %+v", plan.Apply)
	}
	s.delete("Job", "before")
	if plan := s.mustPlan(one); !plan.Empty() {
		t.Errorf("a deleted hook counts as drift: %+v", plan.Apply)
	}
	// The next version replaces what is left of the old run.
	r := s.mustConverge(s.hookManifests("work:2", "pre-install", "post-install", "pre-upgrade", "post-upgrade"))
	wantActions(t, r.changes, "created Job/before", "configured ConfigMap/a", "created Job/after")
}

func TestHookOfAnotherEventIsNotRun(t *testing.T) {
	s := newSite(t)
	r := s.mustConverge(s.hookManifests("work:1", "pre-upgrade"))
	wantActions(t, r.plan.Skipped, "skipped Job/before", "skipped Job/after")
	wantActions(t, r.changes, "created ConfigMap/a")
	r = s.mustConverge(s.hookManifests("work:2", "pre-upgrade"))
	wantActions(t, r.changes, "created Job/before", "configured ConfigMap/a", "created Job/after")
	r = s.mustConverge(s.hookManifests("work:3", "pre-install"))
	wantActions(t, r.changes, "configured ConfigMap/a")
}

func TestFailedHookStopsItsBundle(t *testing.T) {
	s := newSite(t)
	want := s.hookManifests("work:1", "pre-install")
	want.Objects[0] = s.hookManifests("broken", "pre-install").Objects[0]
	other := s.want(configMap("other", "1")).Objects[0]
	other.Bundle = "other"
	want.Bundles = append(want.Bundles, gitops.Bundle{Name: "other", Prune: true})
	want.Objects = append(want.Objects, other)
	r, err := s.converge(want)
	wantReason(t, err, gitops.JobFailed, "before")
	wantActions(t, r.changes, "created Job/before", "skipped ConfigMap/a", "skipped Job/after", "created ConfigMap/other")
	// It did not complete, so the same revision runs it again.
	want.Objects[0] = s.hookManifests("work:1", "pre-install").Objects[0]
	s.mustConverge(want)
}

func TestHookIsDeletedWhenItsPolicySaysSo(t *testing.T) {
	s := newSite(t)
	want := s.hookManifests("work:1", "pre-install")
	want.Objects[0].Hook.DeletePolicy = []string{"hook-succeeded"}
	want.Objects = want.Objects[:2]
	s.mustConverge(want)
	eventually(t, "the hook is deleted", func() bool { return s.live("Job", "before") == nil })
	if plan := s.mustPlan(want); !plan.Empty() {
		t.Errorf("the deleted hook would run again: %+v", plan.Apply)
	}
}
