// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"io"
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
	// Accept lets a source move once to a commit that does not descend from what
	// was accepted before. Whoever signed it must be trusted all the same.
	Accept(ctx context.Context, source string, r AcceptRequest) (AcceptResponse, error)
	// AcceptIdentity goes on under the node's new name.
	AcceptIdentity(ctx context.Context) error
	// Import takes in the bundle in a file, for a source or, when it is "", for
	// the one whose repository it is of. The file goes when it returns.
	Import(ctx context.Context, source, file string) (gitops.Imported, error)
	// Export writes what a source runs as a bundle. After an error, what was
	// written is worth nothing.
	Export(ctx context.Context, source string, w io.Writer) error
	// Metrics writes the status in Prometheus' text format.
	Metrics(w io.Writer) error
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

// AcceptRequest asks to waive the ancestry of one commit.
type AcceptRequest struct {
	// Revision is the commit, or the beginning of one that the source has shown.
	Revision string `json:"revision"`
	Reason   string `json:"reason"`
	// By is who asked. The server says it, never the client.
	By string `json:"-"`
}

// AcceptResponse is the waiver that was journalled.
type AcceptResponse struct {
	Waiver gitops.Waiver `json:"waiver"`
	Ticket
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
	// stream takes the place of handle where the request or the answer is too
	// large to be held: it reads and writes by itself, unless it fails first.
	stream func(*Server, http.ResponseWriter, *http.Request) error
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
	pathAccept   = "/v1/accept"
	pathIdentity = "/v1/accept-identity"
	pathImport   = "/v1/import"
	pathExport   = "/v1/export"
	pathMetrics  = "/v1/metrics"
)

const (
	short = 30 * time.Second
	long  = 10 * time.Minute // one request to the cluster for each object
	// longest is for bundles: a whole tree may have to come over a bad link
	// first. Who stops reading or sending is cut off much earlier.
	longest = 2 * time.Hour
)

// Routes is the whole interface.
func Routes() []Route {
	return []Route{
		{Method: http.MethodGet, Path: pathStatus, Access: Read, Timeout: short, handle: (*Server).status},
		{Method: http.MethodGet, Path: pathHistory, Access: Read, Timeout: short, handle: (*Server).history},
		{Method: http.MethodGet, Path: pathShow, Access: Read, Timeout: short, handle: (*Server).show},
		{Method: http.MethodGet, Path: pathDiff, Access: Read, Timeout: long, handle: (*Server).diff},
		{Method: http.MethodGet, Path: pathVerify, Access: Read, Timeout: long, handle: (*Server).verify},
		{Method: http.MethodPost, Path: pathSync, Access: Write, Timeout: short, handle: (*Server).sync},
		{Method: http.MethodPost, Path: pathRollback, Access: Write, Timeout: short, handle: (*Server).rollback},
		{Method: http.MethodPost, Path: pathRetry, Access: Write, Timeout: short, handle: (*Server).retry},
		{Method: http.MethodPost, Path: pathResume, Access: Write, Timeout: short, handle: (*Server).resume},
		{Method: http.MethodPost, Path: pathSuspend, Access: Write, Timeout: short, handle: (*Server).suspend},
		{Method: http.MethodPost, Path: pathRemove, Access: Write, Timeout: long, handle: (*Server).remove},
		{Method: http.MethodPost, Path: pathAccept, Access: Write, Timeout: short, handle: (*Server).accept},
		{Method: http.MethodPost, Path: pathIdentity, Access: Write, Timeout: short, handle: (*Server).acceptIdentity},
		{Method: http.MethodPost, Path: pathImport, Access: Write, Timeout: longest, stream: (*Server).importBundle},
		// Not for readers: a repository may hold what they may not see.
		{Method: http.MethodPost, Path: pathExport, Access: Write, Timeout: longest, stream: (*Server).exportBundle},
		{Method: http.MethodGet, Path: pathMetrics, Access: Read, Timeout: short, stream: (*Server).metrics},
	}
}
