// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Config is everything the agent needs. All of it is used until Run returns.
type Config struct {
	Version string
	Node    gitops.NodeStatus
	Sources []SourceConfig
	Cluster Cluster
	Journal Journal
	Log     *slog.Logger
	// Watch names sources whose objects were changed by somebody, as it happens;
	// nil leaves drift to be found at every interval.
	Watch func(ctx context.Context) <-chan string
	// AcceptWriter has the cluster take what a former name of this node wrote
	// for ours; nil when the cluster knows no names.
	AcceptWriter func(name string)
	// Marked reports whether the cluster holds what this node applied of a source
	// before; nil when the cluster knows no sources.
	Marked func(ctx context.Context, source string) (bool, error)
	// Release drops the Git objects of a source that is forgotten; nil keeps them.
	Release func(ctx context.Context, source string) error
	// ImportDir is the folder whose bundles are taken in, "" for none.
	ImportDir string
	// ImportEvents says when something happens in a folder; nil asks the kernel.
	// Once a minute the folder is looked at anyway.
	ImportEvents func(ctx context.Context, dir string) <-chan struct{}
	// Replaces is the agent whose place this one takes in the same process, nil
	// for the first: whoever waits for a cycle of the old one is served by this.
	Replaces *Agent
	// Floor is a time that has certainly passed, such as that of the build.
	Floor time.Time
	// Synchronised reports whether the clock follows others; nil when it does.
	// Ages are not counted while it does not.
	Synchronised func() bool
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// SourceConfig is one source with the stages that serve it.
type SourceConfig struct {
	Name string
	URL  string // shown in the status, without credentials
	Ref  string
	// Interval is how often drift is looked for, also while Git is out of
	// reach. When Git is polled is the Source's to say.
	Interval time.Duration
	Adopt    bool
	Prune    bool
	OnRemove string // "orphan" or "prune"
	Drift    gitops.DriftMode
	Rollback RollbackMode
	Health   HealthLimits
	Guard    gitops.PruneGuard
	// Unverified is set where the trust mode is none: there is no trust to lose.
	Unverified bool
	// Statements says that signed statements count although the repository has
	// no trust file: the node's own file names roots, or wants signs of life.
	Statements bool
	// MaxStaleness is how old the newest sign of life may be, 0 for any age.
	MaxStaleness time.Duration

	Git      Source
	Verifier Verifier
	Renderer Renderer
}

// RollbackMode says whether a failed revision is rolled back by itself, and
// how many older revisions are tried.
type RollbackMode struct {
	Auto bool
	Max  int
}

// HealthLimits bound the wait for health.
type HealthLimits struct {
	Timeout time.Duration
	Stable  time.Duration
}
