// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"net/http"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Controller is what the daemon does for a request. Errors that a person can
// decide by are *gitops.Error; their Reason chooses the HTTP status.
type Controller interface {
	// Status is everything the daemon knows, as one immutable value.
	Status() gitops.Status
	// History is the newest attempts of a source, newest first.
	History(ctx context.Context, source string, limit int) ([]gitops.Attempt, error)
	// Show is the newest attempt of a revision ("" = the newest of all), with
	// what it rendered to. A revision may be given as a prefix of its commit.
	Show(ctx context.Context, source, revision string) (gitops.Attempt, gitops.Manifests, error)
	// Diff compares the cluster with what is wanted of it now.
	Diff(ctx context.Context, source string) ([]gitops.ObjectDiff, error)
	// Verify explains the trust decision about a revision ("" = the head).
	Verify(ctx context.Context, source, revision string) ([]gitops.Decision, error)
	// Sync starts a cycle of a source now. It returns the number that the
	// source's Cycle will have when that one has ended; a cycle that was under
	// way already does not count.
	Sync(ctx context.Context, source string, allowPrune int) (cycle int64, err error)
	// Rollback goes back to a revision, given by a prefix of its commit, or to
	// the one before ("") and stays there.
	Rollback(ctx context.Context, source, to string, pin bool, by string) (gitops.Hold, error)
	// Retry tries a revision again that failed.
	Retry(ctx context.Context, source string) error
	// Resume releases a hold or a suspension.
	Resume(ctx context.Context, source string) error
	// Suspend leaves a source alone until Resume.
	Suspend(ctx context.Context, source, reason, by string) error
	// Remove forgets a source, with its objects when prune is set.
	Remove(ctx context.Context, source string, prune bool, by string) error
	// AcceptIdentity goes on under the node's new name.
	AcceptIdentity(ctx context.Context) error
}

// SyncRequest asks for a cycle now, of one source or of all.
type SyncRequest struct {
	// AllowPrune is how many deletions are confirmed, 0 for none.
	AllowPrune int `json:"allowPrune,omitempty"`
}

// SyncResponse says what to wait for: a source has synced when its Cycle has
// reached the number given here.
type SyncResponse struct {
	Cycles map[string]int64 `json:"cycles"` // by source
}

// RollbackRequest asks to go back and stay there.
type RollbackRequest struct {
	// To is a revision or the beginning of its commit, "" for the one before.
	To  string `json:"to,omitempty"`
	Pin bool   `json:"pin,omitempty"`
}

// SuspendRequest asks to leave a source alone.
type SuspendRequest struct {
	Reason string `json:"reason"`
}

// RemoveRequest asks to forget a source, with its objects when Prune is set.
type RemoveRequest struct {
	Prune bool `json:"prune,omitempty"`
}

// Shown is one attempt and its manifests, in which the data of Secrets is
// masked.
type Shown struct {
	Attempt   gitops.Attempt `json:"attempt"`
	Manifests []Document     `json:"manifests"`
}

// Document is one rendered object.
type Document struct {
	Ref    gitops.ObjectRef `json:"ref"`
	Bundle string           `json:"bundle"`
	YAML   string           `json:"yaml"`
}

// Access is who may use a route.
type Access string

// Who may use a route.
const (
	Read  Access = "read"  // whoever may open the socket
	Write Access = "write" // root and the daemon's own user
)

// Route is one thing that the socket can be asked for.
type Route struct {
	Method string
	Path   string
	Access Access
	// Timeout bounds the work behind it.
	Timeout time.Duration
	handle  func(*Server, *http.Request) (any, error)
}

// The paths. Sources and revisions are parameters: both may hold slashes.
const (
	pathStatus   = "/v1/status"
	pathHistory  = "/v1/history"
	pathShow     = "/v1/show"
	pathDiff     = "/v1/diff"
	pathVerify   = "/v1/verify"
	pathSync     = "/v1/sync"
	pathRollback = "/v1/rollback"
	pathRetry    = "/v1/retry"
	pathResume   = "/v1/resume"
	pathSuspend  = "/v1/suspend"
	pathRemove   = "/v1/remove"
	pathAccept   = "/v1/accept-identity"
)

const (
	short = 30 * time.Second
	long  = 10 * time.Minute // one request to the cluster for each object
)

// Routes is the whole interface.
func Routes() []Route {
	return []Route{
		{http.MethodGet, pathStatus, Read, short, (*Server).status},
		{http.MethodGet, pathHistory, Read, short, (*Server).history},
		{http.MethodGet, pathShow, Read, short, (*Server).show},
		{http.MethodGet, pathDiff, Read, long, (*Server).diff},
		{http.MethodGet, pathVerify, Read, long, (*Server).verify},
		{http.MethodPost, pathSync, Write, short, (*Server).sync},
		{http.MethodPost, pathRollback, Write, short, (*Server).rollback},
		{http.MethodPost, pathRetry, Write, short, (*Server).retry},
		{http.MethodPost, pathResume, Write, short, (*Server).resume},
		{http.MethodPost, pathSuspend, Write, short, (*Server).suspend},
		{http.MethodPost, pathRemove, Write, long, (*Server).remove},
		{http.MethodPost, pathAccept, Write, short, (*Server).accept},
	}
}
