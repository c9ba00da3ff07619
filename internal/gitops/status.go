// SPDX-License-Identifier: Apache-2.0

package gitops

import "time"

// APIVersion and the kinds of what is written for people and machines.
const (
	APIVersion = "edgeagent.dev/v1alpha1"
	StatusKind = "Status"
)

// Time is a moment on the wire: RFC 3339, UTC, whole seconds.
type Time = time.Time

// Stage is what a source is doing now. It is status only; phases are what is
// journalled.
type Stage string

// The stages of a source.
const (
	StageWaiting     Stage = "Waiting"
	StageFetching    Stage = "Fetching"
	StageVerifying   Stage = "Verifying"
	StageRendering   Stage = "Rendering"
	StagePrefetching Stage = "Prefetching"
	StageApplying    Stage = "Applying"
	StageChecking    Stage = "Checking"
	StagePruning     Stage = "Pruning"
	StageRollingBack Stage = "RollingBack"
	StageSuspended   Stage = "Suspended"
)

// The condition types.
const (
	ConditionReady           = "Ready" // the newest head is verified, applied and healthy
	ConditionReconciling     = "Reconciling"
	ConditionStalled         = "Stalled"
	ConditionSourceReachable = "SourceReachable"
	ConditionVerified        = "Verified" // the newest head
	ConditionTrusted         = "Trusted"  // what runs
	ConditionHealthy         = "Healthy"
	ConditionDrifted         = "Drifted"
	ConditionPrunePending    = "PrunePending"
	ConditionStale           = "Stale"
	ConditionHeld            = "Held"
)

// Condition is a Kubernetes condition: Status is "True", "False" or "Unknown".
type Condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             Reason `json:"reason"`
	Message            string `json:"message"`
	LastTransitionTime Time   `json:"lastTransitionTime,omitzero"`
}

// Status is everything the agent knows, as one immutable value.
type Status struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Version    string         `json:"version"`
	Node       NodeStatus     `json:"node"`
	Cluster    ClusterStatus  `json:"cluster"`
	Clock      ClockStatus    `json:"clock"`
	Sources    []SourceStatus `json:"sources"`
	// Problems are of the node as a whole, e.g. a changed configuration that
	// was refused.
	Problems []string `json:"problems,omitempty"`
}

// NodeStatus names the node.
type NodeStatus struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
}

// ClusterStatus says whether the API server answered last time.
type ClusterStatus struct {
	Reachable bool   `json:"reachable"`
	Version   string `json:"version"`
	Message   string `json:"message,omitempty"`
}

// At is a revision and when it got there.
type At struct {
	Revision Revision `json:"revision"`
	Digest   string   `json:"digest,omitempty"`
	Signer   string   `json:"signer,omitempty"`
	// Tag is the signed tag's object under which the revision was accepted, ""
	// for a branch: a revision does not name it.
	Tag Hash `json:"tag,omitempty"`
	// TrustVersion is of the trust file that the revision brings, 0 for none.
	TrustVersion int `json:"trustVersion,omitempty"`
	// RefBinding says who vouches that the revision is for its ref: "trailer",
	// "approval", "tag" or "none".
	RefBinding string `json:"refBinding,omitempty"`
	At         Time   `json:"at"`
}

// Hold keeps a source on a revision that a person chose.
type Hold struct {
	Revision Revision `json:"revision"`
	Digest   string   `json:"digest"`
	// HeldBack is the accepted revision when the hold was set: a verified
	// strict descendant of it releases the hold.
	HeldBack Revision `json:"heldBack"`
	Pin      bool     `json:"pin"` // only resume releases it
	By       string   `json:"by"`  // "uid 0"
	At       Time     `json:"at"`
}

// Suspension stops a source until resume: no poll, no repair.
type Suspension struct {
	Reason string `json:"reason"`
	By     string `json:"by"`
	At     Time   `json:"at"`
}

// ObjectCounts sums the objects of a bundle up.
type ObjectCounts struct {
	Total      int `json:"total"`
	Current    int `json:"current"`
	InProgress int `json:"inProgress"`
	Failed     int `json:"failed"`
}

// BundleStatus is a bundle's worst state and its counts.
type BundleStatus struct {
	Name    string       `json:"name"`
	Health  HealthStatus `json:"health"`
	Objects ObjectCounts `json:"objects"`
}

// DriftStatus counts drift since the agent started and lists what differs now.
type DriftStatus struct {
	Detected  int         `json:"detected"`
	Corrected int         `json:"corrected"`
	Objects   []ObjectRef `json:"objects"`
}

// LinkStatus is the link to Git.
type LinkStatus struct {
	URL         string `json:"url,omitempty"` // that answered last
	LastSuccess Time   `json:"lastSuccess,omitzero"`
	Failures    int    `json:"failures"` // in a row
	NextPoll    Time   `json:"nextPoll,omitzero"`
	BytesIn     int64  `json:"bytesIn"`
	BytesOut    int64  `json:"bytesOut"`
	Reason      Reason `json:"reason"` // of the last failure, "" after a success
	Message     string `json:"message,omitempty"`
	Client      string `json:"client,omitempty"` // which Git client is used
	// Mirror says that a mirror answered last, not the source's own URL.
	Mirror bool `json:"mirror,omitempty"`
	// Poll and Fetch are the bytes of the last poll, and of the last one that
	// brought something.
	Poll  LinkBytes `json:"poll"`
	Fetch LinkBytes `json:"fetch"`
	// Today are the bytes since midnight UTC, Budget how many there may be, 0
	// for any number.
	Today  LinkDay `json:"today"`
	Budget int64   `json:"budget,omitempty"`
}

// LinkBytes are bytes on the wire: TLS and headers included, TCP's own not.
type LinkBytes struct {
	In  int64 `json:"in"`
	Out int64 `json:"out"`
}

// LinkDay are the bytes of one day.
type LinkDay struct {
	Date string `json:"date,omitempty"` // 2006-01-02, UTC
	LinkBytes
}

// SourceStatus is one source.
type SourceStatus struct {
	Name       string         `json:"name"`
	URL        string         `json:"url"` // without credentials
	Ref        string         `json:"ref"`
	Phase      Stage          `json:"phase"`
	Conditions []Condition    `json:"conditions"`
	Observed   *At            `json:"observed"` // the newest head that was seen
	Verified   *At            `json:"verified"` // accepted
	Applied    *At            `json:"applied"`
	Healthy    *At            `json:"healthy"`
	Refused    *Refusal       `json:"refused"`
	Failed     *Attempt       `json:"failed"` // the newest failed attempt of a revision that is not retried
	Hold       *Hold          `json:"hold"`
	Suspended  *Suspension    `json:"suspended"`
	Bundles    []BundleStatus `json:"bundles"`
	// Problems are the objects that are not Current, at most 20.
	Problems []ObjectHealth `json:"problems,omitempty"`
	// Progress says what is done of how much, while something is under way.
	Progress string `json:"progress,omitempty"`
	// Pending are the deletions that wait for confirmation.
	Pending []ObjectRef `json:"pending,omitempty"`
	Drift   DriftStatus `json:"drift"`
	Link    LinkStatus  `json:"link"`
	// Waiver is the newest step that root let through although it does not descend.
	Waiver *Waiver `json:"waiver,omitempty"`
	// Heartbeat is the newest that was seen.
	Heartbeat *Heartbeat `json:"heartbeat,omitempty"`
	// TrustVersion is the newest version of the trust file that was accepted.
	TrustVersion int `json:"trustVersion,omitempty"`
	// Warnings stay for as long as their cause does, e.g. trust mode none.
	Warnings []string `json:"warnings,omitempty"`
	// Cycle counts the finished cycles of this process: sync names the one to
	// wait for.
	Cycle int64 `json:"cycle"`
}

// Condition returns the condition of a type, or a zero one with status Unknown.
func (s SourceStatus) Condition(kind string) Condition {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return Condition{Type: kind, Status: "Unknown"}
}

// Ready reports whether the newest head is verified, applied and healthy.
func (s SourceStatus) Ready() bool { return s.Condition(ConditionReady).Status == "True" }

// NothingApplied answers questions about what a source applied, before it has:
// with what it waits for, and what it does meanwhile.
func (s SourceStatus) NothingApplied() *Error {
	message := "source " + s.Name + " has applied nothing yet"
	if c := s.Condition(ConditionReady); c.Message != "" {
		message += ": " + c.Message + " (" + string(c.Reason) + ")"
	}
	if s.Phase != "" && s.Phase != StageWaiting && s.Phase != StageSuspended {
		message += "; now " + string(s.Phase)
		if s.Progress != "" {
			message += ": " + s.Progress
		}
	}
	return &Error{Reason: NoTarget, Message: message, Remedy: "edgeagent status " + s.Name + " says more; edgeagent sync " + s.Name + " --wait tries at once"}
}
