// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/notify"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 500e6, time.UTC)

func node() gitops.Status {
	at := func(digit string) *gitops.At {
		return &gitops.At{Revision: gitops.NewRevision("main", gitops.Hash(strings.Repeat(digit, 40)))}
	}
	return gitops.Status{
		Version: "v0.1.0", Node: gitops.NodeStatus{Name: "store-0042"}, Cluster: gitops.ClusterStatus{Reachable: true}, Problems: []string{"x"},
		Sources: []gitops.SourceStatus{
			{
				Name: "fleet", Phase: gitops.StageWaiting, Cycle: 17,
				Conditions: []gitops.Condition{{Type: "Ready", Status: "True", Reason: gitops.IsHealthy}, {Type: "Stale", Status: "Unknown"}},
				Observed:   at("3"), Healthy: at("1"),
				Drift:   gitops.DriftStatus{Detected: 9, Corrected: 7, Objects: make([]gitops.ObjectRef, 2)},
				Bundles: []gitops.BundleStatus{{Name: "web", Objects: gitops.ObjectCounts{Total: 12, Current: 9, InProgress: 2, Failed: 1}}},
				Link: gitops.LinkStatus{
					Client: "git v2, partial", Mirror: true, LastSuccess: noon, NextPoll: noon.Add(time.Minute), BytesIn: 5_000_000_000, BytesOut: 678,
					Poll: gitops.LinkBytes{In: 400, Out: 212}, Fetch: gitops.LinkBytes{In: 3000, Out: 900},
					Today: gitops.LinkDay{Date: "2026-11-22", LinkBytes: gitops.LinkBytes{In: 70, Out: 7}}, Budget: 50e6,
				},
			},
			{
				Name: "base", Phase: gitops.StageFetching, Hold: &gitops.Hold{}, Suspended: &gitops.Suspension{}, Refused: &gitops.Refusal{},
				Pending: make([]gitops.ObjectRef, 3), Link: gitops.LinkStatus{Failures: 4, Reason: gitops.Unreachable},
			},
		},
	}
}

func scrape(t *testing.T, s gitops.Status) exposition {
	t.Helper()
	var b strings.Builder
	if err := notify.Metrics(&b, s); err != nil {
		t.Fatal(err)
	}
	e, err := parse(b.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return e
}

func TestMetricsSayWhatTheStatusSays(t *testing.T) {
	e := scrape(t, node())
	for key, want := range map[string]float64{
		"edgeagent_build_info{version=v0.1.0}":                                                                          1,
		"edgeagent_node_info{node=store-0042}":                                                                          1,
		"edgeagent_cluster_reachable":                                                                                   1,
		"edgeagent_problems":                                                                                            1,
		"edgeagent_source_ready{source=fleet}":                                                                          1,
		"edgeagent_source_ready{source=base}":                                                                           0,
		"edgeagent_source_phase{source=fleet,phase=Waiting}":                                                            1,
		"edgeagent_source_phase{source=fleet,phase=Fetching}":                                                           0,
		"edgeagent_source_phase{source=base,phase=Fetching}":                                                            1,
		"edgeagent_condition{source=fleet,type=Ready,status=True}":                                                      1,
		"edgeagent_condition{source=fleet,type=Ready,status=False}":                                                     0,
		"edgeagent_condition{source=fleet,type=Stale,status=Unknown}":                                                   1,
		"edgeagent_cycles_total{source=fleet}":                                                                          17,
		"edgeagent_source_held{source=base}":                                                                            1,
		"edgeagent_source_held{source=fleet}":                                                                           0,
		"edgeagent_source_suspended{source=base}":                                                                       1,
		"edgeagent_source_refused{source=base}":                                                                         1,
		"edgeagent_pending_deletions{source=base}":                                                                      3,
		"edgeagent_drift_detected_total{source=fleet}":                                                                  9,
		"edgeagent_drift_corrected_total{source=fleet}":                                                                 7,
		"edgeagent_drift_objects{source=fleet}":                                                                         2,
		"edgeagent_bundle_objects{source=fleet,bundle=web,state=current}":                                               9,
		"edgeagent_bundle_objects{source=fleet,bundle=web,state=in_progress}":                                           2,
		"edgeagent_bundle_objects{source=fleet,bundle=web,state=failed}":                                                1,
		"edgeagent_link_info{source=fleet,client=git v2, partial,place=mirror}":                                         1,
		"edgeagent_link_bytes_total{source=fleet,direction=in}":                                                         5_000_000_000,
		"edgeagent_link_bytes_total{source=fleet,direction=out}":                                                        678,
		"edgeagent_link_bytes_today{source=fleet,direction=in}":                                                         70,
		"edgeagent_link_bytes_today{source=fleet,direction=out}":                                                        7,
		"edgeagent_link_poll_bytes{source=fleet,direction=in}":                                                          400,
		"edgeagent_link_fetch_bytes{source=fleet,direction=out}":                                                        900,
		"edgeagent_link_budget_bytes{source=fleet}":                                                                     50e6,
		"edgeagent_link_failures{source=base}":                                                                          4,
		"edgeagent_link_trouble{source=base,reason=Unreachable}":                                                        1,
		"edgeagent_link_last_success_timestamp_seconds{source=fleet}":                                                   1795348800.5,
		"edgeagent_link_next_poll_timestamp_seconds{source=fleet}":                                                      1795348860.5,
		"edgeagent_source_revision_info{source=fleet,step=observed,revision=main@sha1:" + strings.Repeat("3", 40) + "}": 1,
		"edgeagent_source_revision_info{source=fleet,step=healthy,revision=main@sha1:" + strings.Repeat("1", 40) + "}":  1,
	} {
		if got, ok := e.values[key]; !ok || got != want {
			t.Errorf("%s = %v, %t; want %v", key, got, ok, want)
		}
	}
	for _, key := range []string{
		"edgeagent_link_budget_bytes{source=base}", // there is none: 0 would be one that is spent
		"edgeagent_link_last_success_timestamp_seconds{source=base}",
		"edgeagent_link_next_poll_timestamp_seconds{source=base}",
		"edgeagent_link_trouble{source=fleet,reason=}",
		"edgeagent_source_revision_info{source=fleet,step=applied,revision=}",
	} {
		if got, ok := e.values[key]; ok {
			t.Errorf("%s = %v, and there is no such thing", key, got)
		}
	}
}

// A source is in exactly one phase, and a condition has exactly one status.
func TestStatesExcludeEachOther(t *testing.T) {
	sums := map[string]float64{}
	for key, value := range scrape(t, node()).values {
		for _, state := range []string{"edgeagent_source_phase{", "edgeagent_condition{"} {
			if strings.HasPrefix(key, state) {
				sums[key[:strings.LastIndex(key, ",")]] += value
			}
		}
	}
	want := map[string]float64{
		"edgeagent_source_phase{source=fleet": 1, "edgeagent_source_phase{source=base": 1,
		"edgeagent_condition{source=fleet,type=Ready": 1, "edgeagent_condition{source=fleet,type=Stale": 1,
	}
	if diff := cmp.Diff(want, sums); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLabelsCannotBreakOut(t *testing.T) {
	for _, name := range []string{"a\"} 1\nevil{x=\"", "back\\slash", "new\nline", "\\n", "bad \xff byte", "ü", ""} {
		e := scrape(t, gitops.Status{Version: name})
		key := "edgeagent_build_info{version=" + name + "}"
		if !utf8.ValidString(name) {
			key = "edgeagent_build_info{version=bad \uFFFD byte}"
		}
		if e.values[key] != 1 || len(e.values) != 4 {
			t.Errorf("%q: %v", name, slices.Sorted(maps.Keys(e.values)))
		}
	}
}

func TestANodeWithoutSourcesHasMetrics(t *testing.T) {
	if e := scrape(t, gitops.Status{}); len(e.types) != 4 {
		t.Errorf("%v", e.types)
	}
}

type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAWriterThatFailsIsNoticed(t *testing.T) {
	if err := notify.Metrics(full{}, node()); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

// The parser of these tests finds what it is there to find.
func TestParserRefuses(t *testing.T) {
	head := "# HELP a_total x\n# TYPE a_total counter\n"
	for name, text := range map[string]string{
		"no end":             head + "a_total 1",
		"no type":            "a 1\n",
		"no help":            "# TYPE a_total counter\n",
		"a type twice":       head + "# TYPE a_total counter\n",
		"another metric":     head + "b_total 1\n",
		"apart":              head + "a_total 1\n# HELP b x\n# TYPE b gauge\nb 1\na_total{x=\"1\"} 1\n",
		"twice":              head + "a_total 1\na_total 1\n",
		"a bad counter":      "# HELP a x\n# TYPE a counter\n",
		"a bad gauge":        "# HELP a_total x\n# TYPE a_total gauge\n",
		"no value":           head + "a_total\n",
		"no number":          head + "a_total one\n",
		"an open label":      head + "a_total{x=\"1} 1\n",
		"an open brace":      head + "a_total{x=\"1\" 1\n",
		"a label twice":      head + "a_total{x=\"1\",x=\"2\"} 1\n",
		"a bad label":        head + "a_total{X=\"1\"} 1\n",
		"an unknown escape":  head + "a_total{x=\"\\t\"} 1\n",
		"an empty line":      head + "\na_total 1\n",
		"a value and more":   head + "a_total 1 x\n",
		"empty help":         "# HELP a_total \n",
		"a name in capitals": "# HELP A x\n# TYPE A gauge\n",
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
