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
	// History is the newest attempts of a source, or of all when it is "".
	History(ctx context.Context, source string, limit int) ([]gitops.Attempt, error)
	// Show is the newest attempt of a revision ("" = the newest of all), with
	// what it rendered to. A revision may be given as a prefix of its commit.
	Show(ctx context.Context, source, revision string) (gitops.Attempt, gitops.Manifests, error)
	// Diff compares the cluster with what is wanted of it now.
	Diff(ctx context.Context, source string) ([]gitops.ObjectDiff, error)
	// Verify explains the trust decision about a revision ("" = the head).
	Verify(ctx context.Context, source, revision string) ([]gitops.Decision, error)
	// Sync starts a cycle now, of one source or of all when it is "".
	Sync(ctx context.Context, source string, r SyncRequest) (Ticket, error)
	Rollback(ctx context.Context, source string, r RollbackRequest) (RollbackResponse, error)
	Retry(ctx context.Context, source string) (Ticket, error)
	Resume(ctx context.Context, source string) (Ticket, error)
	Suspend(ctx context.Context, source string, r SuspendRequest) error
	Remove(ctx context.Context, source string, r RemoveRequest) ([]gitops.Change, error)
	// AcceptIdentity goes on under the node's new name.
	AcceptIdentity(ctx context.Context) error
}

// Ticket says what to wait for: a request is done when the source's Cycle, the
// number of cycles that ended, has reached the number given here. A cycle that
// was under way when the request came does not count.
type Ticket struct {
	Cycles map[string]int64 `json:"cycles"` // by source
}

// SyncRequest asks for a cycle now.
type SyncRequest struct {
	// AllowPrune is how many deletions are confirmed, 0 for none.
	AllowPrune int `json:"allowPrune,omitempty"`
}

// RollbackRequest asks to go back and stay there.
type RollbackRequest struct {
	// To is a revision or the beginning of its commit, "" for the one before.
	To  string `json:"to,omitempty"`
	Pin bool   `json:"pin,omitempty"`
	// By is who asked. The server says it, never the client.
	By string `json:"-"`
}

// RollbackResponse is the hold that was set.
type RollbackResponse struct {
	Hold gitops.Hold `json:"hold"`
	Ticket
}

// SuspendRequest asks to leave a source alone.
type SuspendRequest struct {
	Reason string `json:"reason"`
	// By is who asked. The server says it, never the client.
	By string `json:"-"`
}

// RemoveRequest asks to forget a source, with its objects when Prune is set.
type RemoveRequest struct {
	Prune bool `json:"prune,omitempty"`
	// By is who asked. The server says it, never the client.
	By string `json:"-"`
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
