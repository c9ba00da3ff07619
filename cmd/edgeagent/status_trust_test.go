// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestClockIsNamedOnlyWhenItIsWrong(t *testing.T) {
	for state, want := range map[string]string{
		gitops.ClockSynchronised: "", gitops.ClockUnsynchronised: "ages are not counted",
		gitops.ClockBehind: "behind 2026-01-01T00:00:00Z", gitops.ClockAhead: "nothing new is let through",
	} {
		got := clockTrouble(gitops.ClockStatus{State: state, Floor: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
		if !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q in it", state, got, want)
		}
	}
}

func TestTrustTroubleIsShown(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	a, b := gitops.Hash(strings.Repeat("a", 40)), gitops.Hash(strings.Repeat("b", 40))
	at := func(id gitops.Hash) *gitops.At { return &gitops.At{Revision: gitops.NewRevision("main", id)} }
	waiver := gitops.Waiver{From: a, To: b, By: "uid 0", Reason: "a restored host", At: now.Add(-time.Hour)}
	used := waiver
	used.Used = now.Add(-time.Minute)
	condition := func(kind, status string, reason gitops.Reason) []gitops.Condition {
		return []gitops.Condition{{Type: kind, Status: status, Reason: reason, Message: "the message"}}
	}
	for name, c := range map[string]struct {
		status gitops.SourceStatus
		want   string
	}{
		"nothing":                {gitops.SourceStatus{Verified: at(a)}, ""},
		"trusted":                {gitops.SourceStatus{Conditions: condition(gitops.ConditionTrusted, "True", "")}, ""},
		"not trusted any more":   {gitops.SourceStatus{Conditions: condition(gitops.ConditionTrusted, "False", gitops.KeyRevoked)}, "KeyRevoked: the message; the cluster is left"},
		"withheld":               {gitops.SourceStatus{Conditions: condition(gitops.ConditionStale, "True", gitops.Withheld)}, "Withheld: the message"},
		"an open waiver":         {gitops.SourceStatus{Verified: at(a), Waiver: &waiver}, "may follow bbbbbbb although it does not descend: uid 0 said so"},
		"a void waiver":          {gitops.SourceStatus{Verified: at(b), Waiver: &waiver}, ""},
		"a used waiver":          {gitops.SourceStatus{Verified: at(b), Waiver: &used}, "came to bbbbbbb"},
		"a waiver of times past": {gitops.SourceStatus{Verified: at(a), Waiver: &used}, ""},
	} {
		rows := page{now: now}.trustTrouble(c.status)
		got := ""
		for _, r := range rows {
			got += r.text
		}
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q in it", name, got, c.want)
		}
	}
}
