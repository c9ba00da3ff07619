// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"slices"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// Config is one source's link.
type Config struct {
	Source  string // its name: the key of its refs and of its state
	URL     string // https, ssh; http and file only when Insecure
	Mirrors []Mirror
	Ref     Ref
	Auth    Auth
	// Insecure allows http and file URLs.
	Insecure bool
	Interval time.Duration
	// Timeout bounds a call of Commits or Objects, for each URL that is tried. What
	// came until then is kept, and the next call goes on.
	Timeout time.Duration
	// Introduction is the commit where trust begins: no commit below it is asked
	// for. Where it is not a commit id, the first head that is seen comes alone.
	Introduction string
	// BudgetPerDay is how many bytes may move in a day, UTC, 0 = any number.
	BudgetPerDay int64
	// Spent is what moved on earlier days and today, from the journal: where the
	// runtime directory was lost, a reboot must not give the budget back.
	Spent []gitops.LinkDay
	// MaxFetch is how many bytes of packs one call may bring: 512 MiB.
	MaxFetch int64
	// Carry names refs, by how they begin, that are brought with each poll and
	// kept under their names: signed statements.
	Carry []string
	// CarryNew is the same for refs that are asked for only while the head is not
	// settled: there may be many, about commits of the past.
	CarryNew []string
	// Proxy is for http and https; the environment's proxies are not used.
	Proxy string
	// RuntimeDir keeps backoff and counters over restarts, "" = nowhere.
	RuntimeDir string
	// StateDir keeps what came of a file of a static mirror, "" = a temporary
	// directory that does not survive a restart.
	StateDir string
	Now      func() time.Time
	Limits   Limits
	// Progress is called, at most once a second and never twice at once, while
	// bytes move or objects are stored: a long transfer is alive, not hung. It
	// must not block. nil = nobody asks.
	Progress func()
}

// Mirror is another place that has the same repository: a Git server (Type "git"
// or ""), or a static host with a list of bundles ("bundles").
type Mirror struct {
	URL, Type string
	// Auth is for this place alone. Without it, the source's is used on the
	// source's own origin, and nowhere else but for whom to believe.
	Auth Auth
}

// Ref says which commit is wanted. Exactly one field is set.
type Ref struct{ Branch, Tag, Semver, Commit string }

// Auth names the files that hold credentials.
type Auth = wire.Auth

// Limits are those on what a server may do.
type Limits = wire.Limits

// carried are all refs that are kept beside the head.
func (c Config) carried() []string { return slices.Concat(c.Carry, c.CarryNew) }

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = time.Minute
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxFetch <= 0 {
		c.MaxFetch = 512 << 20
	}
	c.Limits = c.Limits.WithDefaults()
	return c
}

func (r Ref) validate() error {
	set := 0
	for _, s := range []string{r.Branch, r.Tag, r.Semver, r.Commit} {
		if s != "" {
			set++
		}
	}
	if set != 1 {
		return badConfig("read the ref of a source: exactly one of branch, tag, semver and commit must be set")
	}
	if r.Commit != "" && !gitops.Hash(r.Commit).Valid() {
		return badConfig("read the ref of a source: commit %q is not a full, lower-case commit id", r.Commit)
	}
	if r.Semver != "" {
		if _, err := semver.NewConstraint(r.Semver); err != nil {
			return badConfig("read the ref of a source: semver %q: %v", r.Semver, err)
		}
	}
	return nil
}
