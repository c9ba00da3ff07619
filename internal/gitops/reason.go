// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"errors"
	"strings"
)

// Reason says in one CamelCase word why something failed, was refused or was
// done. Callers decide by it; people search for it.
type Reason string

// Pull.
const (
	Unreachable     Reason = "Unreachable"     // no connection
	Timeout         Reason = "Timeout"         // the time for the whole poll is over
	TooSlow         Reason = "TooSlow"         // less than the minimum throughput
	CaptivePortal   Reason = "CaptivePortal"   // HTML instead of Git
	RedirectRefused Reason = "RedirectRefused" // to another host or scheme
	TLS             Reason = "TLS"
	Auth            Reason = "Auth" // 401, 403, SSH key or host key refused
	RefMissing      Reason = "RefMissing"
	TooLarge        Reason = "TooLarge"
	Corrupt         Reason = "Corrupt" // an object is not what its id says
	NotGit          Reason = "NotGit"  // 404, or an answer that is no Git repository
	ServerError     Reason = "ServerError"
	Incomplete      Reason = "Incomplete" // an object that is needed is not there
	StoreFailed     Reason = "StoreFailed"

	ObjectExceedsLink   Reason = "ObjectExceedsLink"   // one object is larger than the link lets through at once
	UnsupportedServer   Reason = "UnsupportedServer"   // it cannot do what is needed of a Git server
	MirrorBehind        Reason = "MirrorBehind"        // it shows an ancestor of what was accepted
	BudgetSpent         Reason = "BudgetSpent"         // the day's bytes are used up
	Fetching            Reason = "Fetching"            // not a failure: bytes come, and the rest is asked for next
	UnsupportedBundle   Reason = "UnsupportedBundle"   // a kind of bundle file that is not read
	WrongRepository     Reason = "WrongRepository"     // a bundle of another repository
	PrerequisiteMissing Reason = "PrerequisiteMissing" // a bundle builds on commits that are not here
)

// Verify.
const (
	Unsigned        Reason = "Unsigned"
	UnknownSigner   Reason = "UnknownSigner"
	BadSignature    Reason = "BadSignature"
	WeakKey         Reason = "WeakKey"
	KeyExpired      Reason = "KeyExpired"
	KeyRevoked      Reason = "KeyRevoked"
	KeyNotYetValid  Reason = "KeyNotYetValid"
	MalformedCommit Reason = "MalformedCommit"
	MalformedTag    Reason = "MalformedTag"
	UnsupportedSig  Reason = "UnsupportedSignature"
	NotDescendant   Reason = "NotDescendant" // of the introduction
	RolledBack      Reason = "Rollback"      // the head is an ancestor of accepted
	Fork            Reason = "Fork"          // the head left accepted behind
	RefMismatch     Reason = "RefMismatch"   // a signed tag names another ref
	TooManyCommits  Reason = "TooManyCommits"
	TrustMissing    Reason = "TrustMissing" // key files missing or unreadable

	NotApproved      Reason = "NotApproved"      // too few approvals of something protected
	TrustFileRefused Reason = "TrustFileRefused" // a trust file that is malformed or that its roots did not sign
	TrustFileMissing Reason = "TrustFileMissing" // it was there before
	TrustRollback    Reason = "TrustRollback"    // a trust file of an older version
	RefUnbound       Reason = "RefUnbound"       // nobody who may release to the ref says that the head is for it
	MergerAuthored   Reason = "MergerAuthored"   // a merge by a forge's key that is more than a merge
	ClockUntrusted   Reason = "ClockUntrusted"   // nothing new is judged by the node's clock: it is too far ahead, or not synchronised where it has to be
	RollbackFloor    Reason = "RollbackFloor"    // the roots do not let nodes go back that far
	RefDeleted       Reason = "RefDeleted"       // the ref was there, and is gone
	Withheld         Reason = "Withheld"         // a heartbeat names a commit that the host does not show
	StaleSource      Reason = "Stale"            // nothing was heard for longer than is allowed
	TrustStateLost   Reason = "TrustStateLost"   // what was accepted before is not known any more
)

// Render.
const (
	PathMissing      Reason = "PathMissing"
	EmptyRender      Reason = "EmptyRender"
	InvalidManifest  Reason = "InvalidManifest"
	InvalidBundle    Reason = "InvalidBundle"
	UnsupportedField Reason = "UnsupportedField"
	DuplicateObject  Reason = "DuplicateObject"
	RemoteBase       Reason = "RemoteBase"
	PathOutside      Reason = "PathOutside"
	Symlink          Reason = "Symlink"
	PluginRefused    Reason = "PluginRefused"
	KustomizeFailed  Reason = "KustomizeFailed"
	HelmFailed       Reason = "HelmFailed"
	UndefinedVar     Reason = "UndefinedVariable"
	DependencyCycle  Reason = "DependencyCycle"
	TooManyObjects   Reason = "TooManyObjects"
	WorkerFailed     Reason = "WorkerFailed" // the render worker died or ran out of memory or time
)

// Reconcile.
const (
	APIUnreachable  Reason = "APIUnreachable"
	APIUnauthorized Reason = "APIUnauthorized"
	KubeconfigError Reason = "KubeconfigError"
	UnknownKind     Reason = "UnknownKind"
	Rejected        Reason = "Rejected" // the API server refused an object
	ApplyFailed     Reason = "ApplyFailed"
	OwnedByOther    Reason = "OwnedByOther"
	ForeignWriter   Reason = "ForeignWriter"
	PrunePending    Reason = "PrunePending"
	PruneFailed     Reason = "PruneFailed"
	HealthTimeout   Reason = "HealthTimeout"
	HealthFailed    Reason = "HealthFailed"
	CrashLoop       Reason = "CrashLoop"
	ImageName       Reason = "ImageName"
	ImagePull       Reason = "ImagePull"
	Unschedulable   Reason = "Unschedulable"
	JobFailed       Reason = "JobFailed"
	NodePressure    Reason = "NodePressure"
	Superseded      Reason = "Superseded" // a newer commit cancelled the health wait
)

// Agent, journal and the local API.
const (
	Interrupted     Reason = "Interrupted"     // the agent was stopped: never a failure
	ResumedTooOften Reason = "ResumedTooOften" // it may be what crashes the node
	FailedBefore    Reason = "FailedBefore"    // this revision failed and is not tried again
	HeldBack        Reason = "Held"
	IsSuspended     Reason = "Suspended"
	NoTarget        Reason = "NoTarget" // nothing was ever applied or healthy
	IdentityChanged Reason = "IdentityChanged"
	JournalFailed   Reason = "JournalFailed"
	JournalLocked   Reason = "JournalLocked"
	NotFoundHere    Reason = "NotFound"
	Forbidden       Reason = "Forbidden"
	BadRequest      Reason = "BadRequest"
	Conflict        Reason = "Conflict"
	NoAnswer        Reason = "NoAnswer" // the daemon is not there
	Internal        Reason = "Internal" // a failure without a better word
	IsHealthy       Reason = "Healthy"
	InProgressNow   Reason = "Progressing"
	NotYet          Reason = "NotYet"
)

// Error is a failure that somebody decides by: the loop by its Reason, a
// person by its Message and Remedy. It never holds a secret.
type Error struct {
	Reason Reason `json:"reason"`
	// Message says what was tried, on what, and what went wrong.
	Message string `json:"message"`
	// Remedy says what a person can do about it, "" when there is nothing.
	Remedy string `json:"remedy,omitempty"`
	// Commit is the commit that is to blame, where there is one.
	Commit Hash `json:"commit,omitempty"`
	// Object is the Kubernetes object that is to blame, where there is one.
	Object *ObjectRef `json:"object,omitempty"`
	// Err is the cause, for errors.Is and errors.As. Its text is not printed.
	Err error `json:"-"`
}

// Error prints the message, and the remedy after a semicolon.
func (e *Error) Error() string {
	if e.Remedy == "" {
		return e.Message
	}
	return strings.TrimSuffix(e.Message, ".") + "; " + e.Remedy
}

func (e *Error) Unwrap() error { return e.Err }

// ReasonOf is the reason of the first Error in err's tree, or "" when there is none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// Refusal is a revision that the trust rules turned down.
type Refusal struct {
	// Revision is the head that was offered.
	Revision Revision `json:"revision"`
	// Commit is the commit that broke a rule: the head or one on the way to it.
	Commit Hash   `json:"commit,omitempty"`
	Reason Reason `json:"reason"`
	// Message carries the remedy too.
	Message string `json:"message"`
	At      Time   `json:"at"`
}

// Decision is what the trust rules say about one commit.
type Decision struct {
	Commit Hash `json:"commit"`
	// Subject is the first line of the message, escaped for terminals.
	Subject string `json:"subject"`
	Trusted bool   `json:"trusted"`
	Signer  string `json:"signer,omitempty"`
	Key     string `json:"key,omitempty"`  // fingerprint
	Rule    string `json:"rule,omitempty"` // e.g. "history: signed by an allowed signer"
	// Role is the one in which the signer signed.
	Role string `json:"role,omitempty"`
	// Policy is the version of the trust file that the commit is judged by, 0
	// for the node's own files.
	Policy int `json:"policy,omitempty"`
	// Approvals are who approved the commit, apart from its signature.
	Approvals []string `json:"approvals,omitempty"`
	// RefBinding says of the head who vouches that it is for its ref: "trailer",
	// "approval", "tag" or "none".
	RefBinding string `json:"refBinding,omitempty"`
	Reason     Reason `json:"reason,omitempty"`
	Message    string `json:"message,omitempty"`
}
