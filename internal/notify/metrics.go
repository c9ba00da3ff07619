// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"io"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// stages are all that a source can be in, so that each has a series from the
// start.
var stages = [...]gitops.Stage{
	gitops.StageWaiting, gitops.StageFetching, gitops.StageVerifying, gitops.StageRendering, gitops.StagePrefetching,
	gitops.StageApplying, gitops.StageChecking, gitops.StagePruning, gitops.StageRollingBack, gitops.StageSuspended,
}

// Metrics writes a status in Prometheus' text format, version 0.0.4.
func Metrics(w io.Writer, s gitops.Status) error {
	return write(w, append(nodeMetrics(s), append(sourceMetrics(s.Sources), linkMetrics(s.Sources)...)...))
}

func nodeMetrics(s gitops.Status) []*family {
	build := newFamily("build_info", gauge, "The version that runs, always 1.")
	build.add(1, "version", s.Version)
	node := newFamily("node_info", gauge, "The node's name in the configuration, always 1.")
	node.add(1, "node", s.Node.Name)
	reachable := newFamily("cluster_reachable", gauge, "Whether the API server answered last time.")
	reachable.add(one(s.Cluster.Reachable))
	problems := newFamily("problems", gauge, "Problems of the node as a whole, such as a refused configuration.")
	problems.add(float64(len(s.Problems)))
	return []*family{build, node, reachable, problems}
}

func sourceMetrics(sources []gitops.SourceStatus) []*family {
	ready := newFamily("source_ready", gauge, "Whether the newest head is verified, applied and healthy.")
	phase := newFamily("source_phase", gauge, "1 for what the source is doing now.")
	condition := newFamily("condition", gauge, "1 for the status that a condition of the source has.")
	revision := newFamily("source_revision_info", gauge, "The newest revision that got so far, always 1.")
	cycles := newFamily("cycles_total", counter, "Cycles that ended since the agent started.")
	held := newFamily("source_held", gauge, "Whether a person holds the source on a revision.")
	suspended := newFamily("source_suspended", gauge, "Whether the source is suspended.")
	refused := newFamily("source_refused", gauge, "Whether the newest head was refused.")
	pending := newFamily("pending_deletions", gauge, "Deletions that wait for a person.")
	detected := newFamily("drift_detected_total", counter, "Objects found changed since the agent started.")
	corrected := newFamily("drift_corrected_total", counter, "Objects repaired since the agent started.")
	drifted := newFamily("drift_objects", gauge, "Objects that differ from Git now.")
	objects := newFamily("bundle_objects", gauge, "Objects of a bundle by their state.")
	for _, s := range sources {
		name := s.Name
		ready.add(one(s.Ready()), "source", name)
		for _, stage := range stages {
			phase.add(one(s.Phase == stage), "source", name, "phase", string(stage))
		}
		for _, c := range s.Conditions {
			for _, status := range []string{"True", "False", "Unknown"} {
				condition.add(one(c.Status == status), "source", name, "type", c.Type, "status", status)
			}
		}
		for _, step := range []struct {
			name string
			at   *gitops.At
		}{{"observed", s.Observed}, {"verified", s.Verified}, {"applied", s.Applied}, {"healthy", s.Healthy}} {
			if step.at != nil {
				revision.add(1, "source", name, "step", step.name, "revision", string(step.at.Revision))
			}
		}
		cycles.add(float64(s.Cycle), "source", name)
		held.add(one(s.Hold != nil), "source", name)
		suspended.add(one(s.Suspended != nil), "source", name)
		refused.add(one(s.Refused != nil), "source", name)
		pending.add(float64(len(s.Pending)), "source", name)
		detected.add(float64(s.Drift.Detected), "source", name)
		corrected.add(float64(s.Drift.Corrected), "source", name)
		drifted.add(float64(len(s.Drift.Objects)), "source", name)
		for _, b := range s.Bundles {
			objects.add(float64(b.Objects.Current), "source", name, "bundle", b.Name, "state", "current")
			objects.add(float64(b.Objects.InProgress), "source", name, "bundle", b.Name, "state", "in_progress")
			objects.add(float64(b.Objects.Failed), "source", name, "bundle", b.Name, "state", "failed")
		}
	}
	return []*family{ready, phase, condition, revision, cycles, held, suspended, refused, pending, detected, corrected, drifted, objects}
}

func linkMetrics(sources []gitops.SourceStatus) []*family {
	info := newFamily("link_info", gauge, "How Git is reached, always 1.")
	total := newFamily("link_bytes_total", counter, "Bytes on the wire to and from Git.")
	today := newFamily("link_bytes_today", gauge, "Of them, those since midnight UTC.")
	poll := newFamily("link_poll_bytes", gauge, "Bytes of the last poll.")
	fetch := newFamily("link_fetch_bytes", gauge, "Bytes of the last poll that brought something.")
	budget := newFamily("link_budget_bytes", gauge, "Bytes that a day may have, where there is a limit.")
	failures := newFamily("link_failures", gauge, "Polls that failed, in a row.")
	trouble := newFamily("link_trouble", gauge, "1 for why the last poll brought nothing.")
	last := newFamily("link_last_success_timestamp_seconds", gauge, "When Git last answered.")
	next := newFamily("link_next_poll_timestamp_seconds", gauge, "When Git is asked next.")
	for _, s := range sources {
		name, link := s.Name, s.Link
		kind := "origin"
		if link.Mirror {
			kind = "mirror"
		}
		if link.Client != "" {
			info.add(1, "source", name, "client", link.Client, "place", kind)
		}
		both := func(f *family, b gitops.LinkBytes) {
			f.add(float64(b.In), "source", name, "direction", "in")
			f.add(float64(b.Out), "source", name, "direction", "out")
		}
		both(total, gitops.LinkBytes{In: link.BytesIn, Out: link.BytesOut})
		both(today, link.Today.LinkBytes)
		both(poll, link.Poll)
		both(fetch, link.Fetch)
		if link.Budget > 0 {
			budget.add(float64(link.Budget), "source", name)
		}
		failures.add(float64(link.Failures), "source", name)
		if link.Reason != "" {
			trouble.add(1, "source", name, "reason", string(link.Reason))
		}
		last.at(link.LastSuccess, "source", name)
		next.at(link.NextPoll, "source", name)
	}
	return []*family{info, total, today, poll, fetch, budget, failures, trouble, last, next}
}
