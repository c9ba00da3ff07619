// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// view is what a source saw since it started: it is shown, and nothing is
// decided by it. Everything that must survive a restart is in the journal.
type view struct {
	stage    gitops.Stage
	progress string
	cycles   int64

	observed *gitops.At
	// Why the last poll failed, and why the objects of the accepted revision are
	// not here; and why either comes later although nothing failed (comesLater).
	pullErr, fetchErr     error
	pullLater, fetchLater error
	verifiedNow           bool // the observed head passed the trust rules
	everPulled            bool
	// unreleased is the accepted revision that may not change what it would.
	unreleased gitops.Revision
	undecided  error // why the observed head could not be judged, and that is the node's doing
	distrusted error // why what ran when it was judged is not trusted any more
	judged     gitops.Revision
	unproven   error // why nobody can say whether it is
	stale      error // why what the host shows is taken for old
	ageless    error // why its age cannot be told

	cluster   gitops.ClusterStatus
	clusterAt time.Time

	stalled  error // why the target is not reached, nil when it is or is on the way
	target   target
	failed   *gitops.Attempt
	pending  []gitops.Change
	drifted  []gitops.Change
	fighting []gitops.Change // drift that somebody keeps causing
	detected int
	repaired int

	want      gitops.Manifests
	health    gitops.Health
	suspended bool
	settled   bool // the cluster was found to be what the target says
	behind    bool // the accepted revision is not the target

	conditions []gitops.Condition
}

func (v *view) pullFailed(err error)  { v.pullErr, v.pullLater = err, nil }
func (v *view) fetchFailed(err error) { v.fetchErr, v.fetchLater = err, nil }

func (v *view) pullPostponed(err error) {
	v.pullLater = err
	if isFetching(err) {
		v.pullErr, v.everPulled = nil, true // bytes come
	}
}

func (v *view) fetchPostponed(err error) {
	v.fetchLater = err
	if isFetching(err) {
		v.fetchErr = nil
	}
}

func (v *view) fetched() { v.fetchErr, v.fetchLater = nil, nil }

// later is why something comes later although nothing failed, nil when nothing does.
func (v *view) later() error {
	if v.pullLater != nil {
		return v.pullLater
	}
	return v.fetchLater
}

// fetching reports whether more is on its way and asked for next.
func (v *view) fetching() bool { return isFetching(v.later()) }

func isFetching(err error) bool { return gitops.ReasonOf(err) == gitops.Fetching }

// rest shows what the source does between two cycles.
func (v *view) rest() {
	switch {
	case v.suspended:
	case v.fetching():
		v.stage, v.progress = gitops.StageFetching, v.later().Error()
	default:
		v.stage, v.progress = gitops.StageWaiting, ""
	}
}

func (v *view) pulled(c gitops.Commit, now time.Time) {
	v.pullErr, v.pullLater = nil, nil
	v.everPulled = true
	v.observe(c, now)
}

// observe notes the newest head.
func (v *view) observe(c gitops.Commit, now time.Time) {
	if v.observed == nil || v.observed.Revision != c.Revision {
		v.observed = &gitops.At{Revision: c.Revision, At: now}
	}
}

func (v *view) clusterAway(err error, now time.Time) {
	v.cluster = gitops.ClusterStatus{Version: v.cluster.Version, Message: err.Error()}
	v.clusterAt = now
}

func (v *view) clusterAnswered(caps gitops.Capabilities, now time.Time) {
	v.cluster = gitops.ClusterStatus{Reachable: true, Version: caps.KubeVersion}
	v.clusterAt = now
	v.stalled = nil
}

// stall notes why the target is not reached, and reports whether that is news.
func (v *view) stall(err error) (news bool) {
	news = v.stalled == nil || v.stalled.Error() != err.Error()
	v.stalled = err
	v.settled = false
	return news
}

func (v *view) setTarget(t target, state gitops.SourceState) {
	if v.target.revision != t.revision || v.target.course != t.course {
		v.settled = v.settled && t.course == keep
	}
	if t.course != update {
		v.fetched() // what is missing is not asked for now
	}
	v.target = t
	v.behind = state.Accepted != nil && t.revision != state.Accepted.Revision
}

func (v *view) planned(p gitops.Plan) {
	v.pending = p.Pending
	v.drifted = p.Drifted
	v.want = p.Manifests
}

// driftRepaired counts what was found to differ. An object that was sent and
// found to be as it should had not drifted.
func (v *view) driftRepaired(changes []gitops.Change) {
	for _, c := range changes {
		switch c.Action {
		case gitops.Created, gitops.Configured:
			v.detected++
			v.repaired++
		case gitops.FailedToDo:
			v.detected++
		}
	}
}

func (v *view) sawHealth(want gitops.Manifests, h gitops.Health) {
	v.want = want
	v.health = h
}

// differ is how many objects are known to differ from Git and are not repaired.
func (v *view) differ() int { return len(v.drifted) + len(v.fighting) }
