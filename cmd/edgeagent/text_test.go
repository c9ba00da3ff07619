// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

var update = flag.Bool("update", false, "write the golden files")

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func revision(digit string) gitops.Revision {
	return gitops.NewRevision("main", gitops.Hash(strings.Repeat(digit, 40)))
}

func at(digit string, ago time.Duration) *gitops.At {
	return &gitops.At{Revision: revision(digit), At: noon.Add(-ago)}
}

func condition(kind, status string, reason gitops.Reason, message string) gitops.Condition {
	return gitops.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// busyNode has one source for every state that a person may meet.
func busyNode() gitops.Status {
	web := gitops.ObjectRef{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	today := func(in, out int64) gitops.LinkDay {
		return gitops.LinkDay{Date: "2026-11-22", LinkBytes: gitops.LinkBytes{In: in, Out: out}}
	}
	link := gitops.LinkStatus{URL: "https://git.example.com/fleet.git", LastSuccess: noon.Add(-12 * time.Second), NextPoll: noon.Add(48 * time.Second), Client: "git v2, partial",
		BytesIn: 7_000_000, Poll: gitops.LinkBytes{In: 400, Out: 212}, Fetch: gitops.LinkBytes{In: 2_345, Out: 678}, Today: today(12_345, 678)}
	away := gitops.LinkStatus{LastSuccess: noon.Add(-26 * time.Hour), NextPoll: noon.Add(7 * time.Minute), Failures: 9, Reason: gitops.Unreachable, Message: "no route to host", Poll: gitops.LinkBytes{Out: 60},
		Budget: 50e6, Today: gitops.LinkDay{Date: "2026-11-21", LinkBytes: gitops.LinkBytes{In: 50e6}}}
	spent := link
	spent.NextPoll, spent.Reason, spent.Budget, spent.Today = noon.Add(12*time.Hour), gitops.BudgetSpent, 1e6, today(1e6, 100)
	spent.Message = "the day's 1.0 MB are used up; edgeagent sync polls all the same, or raise link.budgetPerDay"
	coming := link
	coming.URL, coming.Mirror, coming.NextPoll, coming.Reason, coming.Message = "https://cdn.example.com/fleet/list", true, noon, gitops.Fetching, "1.2 MB so far, 340 objects missing at least"
	coming.Budget, coming.Today = 2e6, today(1_600_000, 0)
	return gitops.Status{
		Version:  "v0.1.0",
		Node:     gitops.NodeStatus{Name: "store-0042", Labels: map[string]string{"ring": "canary", "region": "eu"}},
		Cluster:  gitops.ClusterStatus{Reachable: true, Version: "v1.36.2+k3s1"},
		Problems: []string{"the changed configuration is not used"},
		Sources: []gitops.SourceStatus{
			{Name: "fleet", Phase: gitops.StageWaiting, Applied: at("3", 5*time.Minute), Link: link,
				Conditions: []gitops.Condition{condition("Ready", "True", gitops.IsHealthy, "")},
				Bundles:    []gitops.BundleStatus{{Name: "web", Health: gitops.Current, Objects: gitops.ObjectCounts{Total: 12, Current: 12}}}},
			{Name: "base", Phase: gitops.StageApplying, Applied: at("1", 50*time.Hour), Link: away, URL: "ssh://git@h/base.git", Progress: "applied 120 of 1000 objects",
				Conditions: []gitops.Condition{condition("Ready", "False", gitops.InProgressNow, "")},
				Bundles: []gitops.BundleStatus{
					{Name: "infra", Health: gitops.InProgress, Objects: gitops.ObjectCounts{Total: 9, Current: 6, InProgress: 3}},
					{Name: "shop", Health: gitops.Failed, Objects: gitops.ObjectCounts{Total: 2, Failed: 2}}},
				Refused:  &gitops.Refusal{Revision: revision("2"), Commit: "4444444444", Reason: gitops.UnknownSigner, Message: "commit 4444444 is signed by\na stranger; add the key", At: noon.Add(-3 * time.Minute)},
				Failed:   &gitops.Attempt{Revision: revision("5"), Reason: gitops.CrashLoop, Message: "web restarts", Ended: noon.Add(-time.Hour)},
				Problems: []gitops.ObjectHealth{{Ref: web, Status: gitops.Failed, Reason: gitops.CrashLoop, Message: "back-off 5m0s"}},
				Pending:  []gitops.ObjectRef{web, web, web, web, web},
				Drift:    gitops.DriftStatus{Objects: []gitops.ObjectRef{web}},
				Warnings: []string{"the first head that is verified will be pinned"}},
			{Name: "held", Phase: gitops.StageSuspended, Link: link,
				Conditions: []gitops.Condition{condition("Ready", "Unknown", "", "")},
				Hold:       &gitops.Hold{Revision: revision("1"), HeldBack: revision("3"), By: "uid 0", At: noon.Add(-time.Minute)},
				Suspended:  &gitops.Suspension{Reason: "new disk", By: "uid 0", At: noon}},
			{Name: "pinned", Phase: gitops.StageWaiting, Link: spent, Conditions: []gitops.Condition{condition("Ready", "False", gitops.HeldBack, "on purpose")},
				Hold: &gitops.Hold{Revision: revision("1"), Pin: true, By: "uid 0", At: noon.Add(-time.Minute)}},
			{Name: "waits", Phase: gitops.StageFetching, Link: coming, Conditions: []gitops.Condition{condition("Ready", "False", gitops.KubeconfigError, "no kubeconfig; start k3s")}},
		},
	}
}

func TestTextIsGolden(t *testing.T) {
	away := gitops.Status{Node: gitops.NodeStatus{Name: "a"}, Version: "dev", Cluster: gitops.ClusterStatus{Message: "connection refused"}}
	open := gitops.Attempt{ID: 9, Source: "fleet", Revision: revision("3"), Cause: gitops.CauseUpdate, Phase: gitops.PhaseApplied, Started: noon.Add(-90 * time.Second), Resumes: 2,
		Reached: map[gitops.Phase]time.Time{gitops.PhaseIntent: noon.Add(-90 * time.Second), gitops.PhaseApplied: noon.Add(-80 * time.Second)},
		Changes: []gitops.Change{{Ref: gitops.ObjectRef{Kind: "ConfigMap", Name: "c"}, Action: gitops.Skipped, Reason: gitops.OwnedByOther, Message: "Helm has it"}}}
	undo := gitops.Attempt{ID: 8, Source: "fleet", Revision: revision("1"), Cause: gitops.CauseRollback, Phase: gitops.PhaseFailed, Undoes: 7, Started: noon.Add(-9 * time.Minute), Ended: noon.Add(-4 * time.Minute), Reason: gitops.HealthTimeout, Message: "web is not ready"}
	diffs := []gitops.ObjectDiff{{Ref: gitops.ObjectRef{Kind: "ConfigMap", Name: "c"}, Action: gitops.Configured, Diff: "--- live\n+++ desired\n@@ -1 +1 @@\n-a: 1\n+a: 2\n b: 3\n"}}
	for _, test := range []struct {
		name  string
		page  page
		print func(page, io.Writer) error
	}{
		{"status", page{now: noon}, func(p page, w io.Writer) error { return p.status(w, busyNode()) }},
		{"status-color", page{now: noon, color: true}, func(p page, w io.Writer) error { return p.status(w, busyNode()) }},
		{"status-empty", page{now: noon}, func(p page, w io.Writer) error { return p.status(w, away) }},
		{"history", page{now: noon}, func(p page, w io.Writer) error { return p.history(w, []gitops.Attempt{open, undo}) }},
		{"show-open", page{now: noon}, func(p page, w io.Writer) error { return p.show(w, localapi.Shown{Attempt: open}) }},
		{"show-undo", page{now: noon}, func(p page, w io.Writer) error { return p.show(w, localapi.Shown{Attempt: undo}) }},
		{"diff-color", page{now: noon, color: true}, func(p page, w io.Writer) error { return p.diff(w, diffs) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := test.print(test.page, &b); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata/golden", test.name+".txt")
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAges(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Hour, "0s"}, {0, "0s"}, {119 * time.Second, "119s"}, {2 * time.Minute, "2m"}, {119 * time.Minute, "119m"},
		{2 * time.Hour, "2h"}, {47 * time.Hour, "47h"}, {48 * time.Hour, "2d"}, {100 * 24 * time.Hour, "100d"},
	} {
		if got := age(test.d); got != test.want {
			t.Errorf("age(%s) = %s, want %s", test.d, got, test.want)
		}
	}
	p := page{now: noon}
	for got, want := range map[string]string{
		p.ago(time.Time{}): "never", p.in(time.Time{}): "", p.in(noon): "now", p.in(noon.Add(time.Minute)): "in 60s",
		took(90 * time.Millisecond): "0.1s", took(15 * time.Second): "15s", took(5 * time.Minute): "5m0s",
		size(999): "999 B", size(1_500): "1.5 kB", size(2_000_000): "2.0 MB", size(3_000_000_000): "3.0 GB",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
