// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// running is a source at rest: everything is as Git wants it.
func running() (view, gitops.SourceState) {
	a := at("main@sha1:a", "a")
	return view{stage: gitops.StageWaiting, settled: true, everPulled: true, verifiedNow: true, observed: at("main@sha1:a", "")},
		gitops.SourceState{Accepted: a, Applied: a, Healthy: a}
}

func TestReady(t *testing.T) {
	failed := &gitops.Attempt{Reason: gitops.CrashLoop, Message: "it crashes"}
	refusal := &gitops.Refusal{Revision: "main@sha1:x", Reason: gitops.Unsigned, Message: "it is not signed", At: noon.Add(time.Minute)}
	sick := gitops.Health{Objects: []gitops.ObjectHealth{{Status: gitops.InProgress, Decides: true}}}
	b := at("main@sha1:b", "b")
	cases := map[string]struct {
		change func(v *view, s *gitops.SourceState)
		status string
		reason gitops.Reason
	}{
		"at rest":                   {func(*view, *gitops.SourceState) {}, "True", gitops.IsHealthy},
		"suspended":                 {func(_ *view, s *gitops.SourceState) { s.Suspended = &gitops.Suspension{Reason: "a visit"} }, "False", gitops.IsSuspended},
		"the head is refused":       {func(v *view, s *gitops.SourceState) { refuse(v, s, refusal) }, "False", gitops.Unsigned},
		"an older head was refused": {func(_ *view, s *gitops.SourceState) { s.Refused = refusal }, "True", gitops.IsHealthy},
		"refused before this process polled": {func(v *view, s *gitops.SourceState) {
			v.observed, s.Refused = nil, refusal
		}, "False", gitops.Unsigned},
		"refused before what is accepted, and not polled yet": {func(v *view, s *gitops.SourceState) {
			old := *refusal
			old.At = noon.Add(-time.Minute)
			v.observed, s.Refused = nil, &old
		}, "True", gitops.IsHealthy},
		"the first head is refused": {func(v *view, s *gitops.SourceState) {
			*s = gitops.SourceState{}
			refuse(v, s, refusal)
		}, "False", gitops.Unsigned},
		"held":         {func(_ *view, s *gitops.SourceState) { s.Hold = &gitops.Hold{} }, "False", gitops.HeldBack},
		"rolled back":  {func(v *view, s *gitops.SourceState) { v.failed, v.behind, s.Accepted = failed, true, b }, "False", gitops.CrashLoop},
		"out of reach": {func(v *view, _ *gitops.SourceState) { v.stalled = &gitops.Error{Reason: gitops.APIUnreachable} }, "False", gitops.APIUnreachable},
		"rolled back, and the cluster is away": {func(v *view, s *gitops.SourceState) {
			v.failed, v.behind, s.Accepted = failed, true, b
			v.stalled = &gitops.Error{Reason: gitops.APIUnreachable}
		}, "False", gitops.CrashLoop},
		"an error without a reason": {func(v *view, _ *gitops.SourceState) { v.stalled = errors.New("?") }, "False", "Error"},
		"failed and left":           {func(v *view, _ *gitops.SourceState) { v.failed = failed }, "False", gitops.CrashLoop},
		"nothing was accepted":      {func(v *view, s *gitops.SourceState) { *v, *s = view{}, gitops.SourceState{} }, "Unknown", gitops.NotYet},
		"nothing was accepted and Git is away": {func(v *view, s *gitops.SourceState) {
			*v, *s = view{pullErr: &gitops.Error{Reason: gitops.Auth}}, gitops.SourceState{}
		}, "False", gitops.Auth},
		"Git is away":           {func(v *view, _ *gitops.SourceState) { v.pullErr = &gitops.Error{Reason: gitops.Auth} }, "True", gitops.IsHealthy},
		"an attempt is open":    {func(_ *view, s *gitops.SourceState) { s.Open = &gitops.Attempt{} }, "Unknown", gitops.InProgressNow},
		"not applied yet":       {func(_ *view, s *gitops.SourceState) { s.Accepted = b }, "Unknown", gitops.InProgressNow},
		"never applied":         {func(_ *view, s *gitops.SourceState) { s.Applied = nil }, "Unknown", gitops.InProgressNow},
		"applied, not healthy":  {func(_ *view, s *gitops.SourceState) { s.Accepted, s.Applied = b, b }, "Unknown", gitops.InProgressNow},
		"drifted":               {func(v *view, _ *gitops.SourceState) { v.drifted = []gitops.Change{{}} }, "False", gitops.BecauseDrift},
		"unhealthy":             {func(v *view, _ *gitops.SourceState) { v.health = sick }, "False", gitops.HealthFailed},
		"not looked at":         {func(v *view, _ *gitops.SourceState) { v.settled = false }, "Unknown", gitops.InProgressNow},
		"deletions are pending": {func(v *view, _ *gitops.SourceState) { v.pending = []gitops.Change{{}} }, "True", gitops.IsHealthy},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v, s := running()
			c.change(&v, &s)
			got := ready(v, s)
			if got.Type != gitops.ConditionReady || got.Status != c.status || got.Reason != c.reason {
				t.Errorf("Ready = %s, %s (%s); want %s, %s", got.Status, got.Reason, got.Message, c.status, c.reason)
			}
			if got.Message == "" && c.reason != gitops.HeldBack && v.stalled == nil && v.pullErr == nil {
				t.Error("it does not say why")
			}
		})
	}
}

func refuse(v *view, s *gitops.SourceState, r *gitops.Refusal) {
	v.verifiedNow, s.Refused = false, r
	v.observed = &gitops.At{Revision: r.Revision}
}

func TestOtherConditions(t *testing.T) {
	refusal := &gitops.Refusal{Revision: "main@sha1:x", Reason: gitops.Unsigned, Message: "it is not signed"}
	failed := &gitops.Attempt{Reason: gitops.ImagePull, Message: "no image"}
	sick := gitops.Health{Objects: []gitops.ObjectHealth{{Ref: gitops.ObjectRef{Kind: "ConfigMap", Name: "a"}, Status: gitops.Failed, Decides: true, Message: "it crashes"}}}
	away := &gitops.Error{Reason: gitops.Unreachable, Message: "no link"}
	cases := map[string]struct {
		change                func(v *view, s *gitops.SourceState)
		kind, status, message string
	}{
		"idle":            {func(*view, *gitops.SourceState) {}, gitops.ConditionReconciling, "False", ""},
		"busy":            {func(v *view, _ *gitops.SourceState) { v.stage = gitops.StageApplying }, gitops.ConditionReconciling, "True", "Applying"},
		"suspended":       {func(v *view, _ *gitops.SourceState) { v.stage = gitops.StageSuspended }, gitops.ConditionReconciling, "False", ""},
		"not stalled":     {func(*view, *gitops.SourceState) {}, gitops.ConditionStalled, "False", ""},
		"stalled":         {func(v *view, _ *gitops.SourceState) { v.stalled = away }, gitops.ConditionStalled, "True", "no link"},
		"failed":          {func(v *view, _ *gitops.SourceState) { v.failed = failed }, gitops.ConditionStalled, "True", "no image"},
		"tried again":     {func(v *view, _ *gitops.SourceState) { v.failed, v.target.retryAt = failed, noon }, gitops.ConditionStalled, "True", "no image; tried again at 2026-03-01T12:00:00Z"},
		"reached":         {func(*view, *gitops.SourceState) {}, gitops.ConditionSourceReachable, "True", ""},
		"not reached":     {func(v *view, _ *gitops.SourceState) { v.pullErr = away }, gitops.ConditionSourceReachable, "False", "no link"},
		"never polled":    {func(v *view, _ *gitops.SourceState) { v.everPulled = false }, gitops.ConditionSourceReachable, "Unknown", ""},
		"verified":        {func(_ *view, s *gitops.SourceState) { s.Accepted.Signer = "ann" }, gitops.ConditionVerified, "True", "signed by ann"},
		"refused":         {func(v *view, s *gitops.SourceState) { refuse(v, s, refusal) }, gitops.ConditionVerified, "False", "it is not signed"},
		"nothing seen":    {func(_ *view, s *gitops.SourceState) { s.Accepted = nil }, gitops.ConditionVerified, "Unknown", ""},
		"trusted":         {func(*view, *gitops.SourceState) {}, gitops.ConditionTrusted, "True", ""},
		"nothing runs":    {func(_ *view, s *gitops.SourceState) { s.Applied = nil }, gitops.ConditionTrusted, "Unknown", ""},
		"healthy":         {func(*view, *gitops.SourceState) {}, gitops.ConditionHealthy, "True", ""},
		"unhealthy":       {func(v *view, _ *gitops.SourceState) { v.health = sick }, gitops.ConditionHealthy, "False", "ConfigMap/a is Failed: it crashes"},
		"not healthy yet": {func(_ *view, s *gitops.SourceState) { s.Healthy = at("main@sha1:0", "0") }, gitops.ConditionHealthy, "Unknown", ""},
		"never healthy":   {func(_ *view, s *gitops.SourceState) { s.Healthy = nil }, gitops.ConditionHealthy, "Unknown", ""},
		"nothing applied": {func(v *view, s *gitops.SourceState) { v.health, s.Applied = sick, nil }, gitops.ConditionHealthy, "Unknown", ""},
		"no drift":        {func(*view, *gitops.SourceState) {}, gitops.ConditionDrifted, "False", ""},
		"drift":           {func(v *view, _ *gitops.SourceState) { v.drifted = make([]gitops.Change, 2) }, gitops.ConditionDrifted, "True", "2 objects differ from Git"},
		"no prune":        {func(*view, *gitops.SourceState) {}, gitops.ConditionPrunePending, "False", ""},
		"prune":           {func(v *view, _ *gitops.SourceState) { v.pending = make([]gitops.Change, 7) }, gitops.ConditionPrunePending, "True", "7 deletions wait for: edgeagent sync --allow-prune=7"},
		"no hold":         {func(*view, *gitops.SourceState) {}, gitops.ConditionHeld, "False", ""},
		"hold": {func(_ *view, s *gitops.SourceState) {
			s.Hold = &gitops.Hold{Revision: "main@sha1:abcdef0123", By: "uid 0"}
		},
			gitops.ConditionHeld, "True", "held at main@abcdef0 by uid 0 until a newer commit, or: edgeagent resume"},
		"pin": {func(_ *view, s *gitops.SourceState) {
			s.Hold = &gitops.Hold{Revision: "main@sha1:abcdef0123", By: "uid 0", Pin: true}
		}, gitops.ConditionHeld, "True", "pinned to main@abcdef0 by uid 0 until: edgeagent resume"},
	}
	for name, c := range cases {
		t.Run(c.kind+" "+name, func(t *testing.T) {
			v, s := running()
			c.change(&v, &s)
			got := gitops.SourceStatus{Conditions: conditions(v, s, nil, noon)}.Condition(c.kind)
			if got.Status != c.status || got.Message != c.message {
				t.Errorf("%s = %s (%s), want %s (%s)", c.kind, got.Status, got.Message, c.status, c.message)
			}
			if got.Reason == "" {
				t.Error("it has no reason")
			}
		})
	}
}

func TestTransitionTimeMovesWithTheStatusOnly(t *testing.T) {
	v, s := running()
	first := conditions(v, s, nil, noon)
	v.pullErr = &gitops.Error{Reason: gitops.Timeout}
	later := conditions(v, s, first, noon.Add(time.Hour))
	v.pullErr = &gitops.Error{Reason: gitops.TLS}
	last := conditions(v, s, later, noon.Add(2*time.Hour))
	for i, c := range last {
		want := noon
		if c.Type == gitops.ConditionSourceReachable {
			want = noon.Add(time.Hour)
		}
		if !c.LastTransitionTime.Equal(want) {
			t.Errorf("%s changed at %s, want %s", c.Type, c.LastTransitionTime, want)
		}
		if c.Type != first[i].Type {
			t.Errorf("the order of conditions changed")
		}
	}
}
