// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"io"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Source brings commits and objects from Git.
type Source interface {
	Commits(ctx context.Context, r gitops.PollRequest) (gitops.Commit, error)
	Objects(ctx context.Context, missing []gitops.MissingObject) error
	// Import takes a Git bundle for an answer of the server; no network is used.
	Import(ctx context.Context, file string, known []gitops.Hash) (gitops.Commit, error)
	// Export writes a Git bundle from which a node without a link can run rev.
	Export(ctx context.Context, rev gitops.Revision, w io.Writer) error
	// Retain names the revisions whose objects must stay readable.
	Retain(ctx context.Context, revisions []gitops.Hash) error
	Link() gitops.LinkStatus
	NextPoll() time.Time
}

// Verifier decides whom to trust.
type Verifier interface {
	Verify(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (verify.Commit, error)
	Again(ctx context.Context, rev gitops.Revision) (verify.Commit, error)
	Explain(ctx context.Context, c gitops.Commit, accepted gitops.Hash) ([]gitops.Decision, error)
	// Missing names what a decision needs and the object store lacks.
	Missing(ctx context.Context, c gitops.Commit, accepted gitops.Hash) ([]gitops.MissingObject, error)
	// Published reads the signed statements that came with a head.
	Published(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (verify.Published, error)
	// Release judges what a revision would change in the cluster.
	Release(ctx context.Context, p verify.Plan) ([]gitops.MissingObject, error)
	// MayReturn refuses a target that nodes may not go back to.
	MayReturn(ctx context.Context, to, accepted gitops.Hash) error
	// Includes reports whether a commit is the head or an ancestor of it.
	Includes(ctx context.Context, head, commit gitops.Hash) (bool, error)
	Warnings() []string
	// Reload reads the key files again.
	Reload() error
}

// Renderer turns a verified tree into manifests.
type Renderer interface {
	Missing(ctx context.Context, c verify.Commit) ([]gitops.MissingObject, error)
	Render(ctx context.Context, c verify.Commit, caps gitops.Capabilities) (gitops.Manifests, error)
}

// Cluster is the API server, seen through plans.
type Cluster interface {
	Planner
	Writer
	Capabilities(ctx context.Context) (gitops.Capabilities, error)
	Wait(ctx context.Context, r gitops.HealthRequest) (gitops.Health, error)
	Health(ctx context.Context, want gitops.Manifests, owned gitops.Inventory) (gitops.Health, error)
}

// Planner looks at the cluster and writes nothing.
type Planner interface {
	Plan(ctx context.Context, r gitops.PlanRequest) (gitops.Plan, error)
	DryRun(ctx context.Context, p gitops.Plan) error
	Diff(ctx context.Context, r gitops.PlanRequest) ([]gitops.ObjectDiff, error)
}

// Writer carries plans out.
type Writer interface {
	Apply(ctx context.Context, p gitops.Plan, progress func(done, total int)) ([]gitops.Change, error)
	Prune(ctx context.Context, p gitops.Plan) ([]gitops.Change, error)
	Finish(ctx context.Context, source string, exact gitops.Inventory, accepted, healthy gitops.Revision) error
	Orphan(ctx context.Context, source string, inv gitops.Inventory) error
	Delete(ctx context.Context, source string, inv gitops.Inventory) ([]gitops.Change, error)
}

// Journal is what survives a crash.
type Journal interface {
	Attempts
	Records
	Operator
}

// Attempts moves attempts through their phases.
type Attempts interface {
	Begin(ctx context.Context, r gitops.BeginRequest) (gitops.Attempt, error)
	Advance(ctx context.Context, attempt int64, to gitops.Phase, o gitops.Outcome) error
	Resume(ctx context.Context, attempt int64) (gitops.Attempt, error)
	Attempts(ctx context.Context, source string, limit int) ([]gitops.Attempt, error)
	// Plan is what an attempt was begun with.
	Plan(ctx context.Context, attempt int64) (gitops.Plan, error)
	SetHealthLeft(ctx context.Context, attempt int64, left time.Duration) error
	FailedBefore(ctx context.Context, source string, rev gitops.Revision, digest string) (*gitops.Attempt, error)
}

// Records holds what is accepted, owned and stored.
type Records interface {
	State(ctx context.Context, source string) (gitops.SourceState, error)
	Accept(ctx context.Context, source string, at gitops.At, unchanged bool) error
	Refuse(ctx context.Context, source string, r gitops.Refusal) error
	// Learn adds what signed statements say; nothing is ever taken away.
	Learn(ctx context.Context, source string, more gitops.Learned) error
	// LoseTrust records that something was accepted once that nobody knows now.
	LoseTrust(ctx context.Context, source string) error
	Owned(ctx context.Context, source string) (gitops.Inventory, error)
	Record(ctx context.Context, source string, items []gitops.Item) error
	Manifests(ctx context.Context, source, digest string) (gitops.Manifests, error)
	Healthy(ctx context.Context, source string) ([]gitops.At, error)
	SetClusterUID(ctx context.Context, source, uid string) error
	// SetLink notes a day's bytes. It is no reason to write: they go to disk with
	// whatever is written next.
	SetLink(ctx context.Context, source string, day gitops.LinkDay) error
	PinIntroduction(ctx context.Context, source string, hash gitops.Hash) error
	Retain(ctx context.Context) error
}

// Operator holds what people asked for.
type Operator interface {
	Sources(ctx context.Context) ([]string, error)
	Configure(ctx context.Context, source, onRemove string) error
	SetHold(ctx context.Context, source string, h *gitops.Hold) error
	Suspend(ctx context.Context, source string, s *gitops.Suspension) error
	AllowPrune(ctx context.Context, source string, deletions int) error
	Waive(ctx context.Context, source string, w gitops.Waiver) error
	Waivers(ctx context.Context, source string) ([]gitops.Waiver, error)
	Forget(ctx context.Context, source string) error
	Remove(ctx context.Context, source string) error
	NodeName(ctx context.Context) (string, error)
	SetNodeName(ctx context.Context, name string) error
}
