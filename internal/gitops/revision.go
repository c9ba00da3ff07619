// SPDX-License-Identifier: Apache-2.0

package gitops

import "strings"

// Hash is a Git object id: 40 lower-case hexadecimal digits (SHA-1).
type Hash string

// Short is the hash as people read it, seven digits.
func (h Hash) Short() string {
	if len(h) < 7 {
		return string(h)
	}
	return string(h[:7])
}

// Valid reports whether h is a full, lower-case SHA-1 object id.
func (h Hash) Valid() bool {
	if len(h) != 40 {
		return false
	}
	return strings.Trim(string(h), "0123456789abcdef") == ""
}

// ObjectKind is the type of a Git object.
type ObjectKind string

// The four kinds of objects that Git stores.
const (
	CommitObject ObjectKind = "commit"
	TreeObject   ObjectKind = "tree"
	BlobObject   ObjectKind = "blob"
	TagObject    ObjectKind = "tag"
)

// Revision names a commit and the ref it was found under, as Flux writes it:
// "main@sha1:3f2a…". The ref is short (without refs/heads/ or refs/tags/).
type Revision string

// NewRevision puts a revision together.
func NewRevision(ref string, hash Hash) Revision {
	return Revision(ref + "@sha1:" + string(hash))
}

// Ref is the part before "@sha1:".
func (r Revision) Ref() string {
	ref, _, _ := strings.Cut(string(r), "@sha1:")
	return ref
}

// Hash is the commit's id, or "" when r is not a revision.
func (r Revision) Hash() Hash {
	_, hash, _ := strings.Cut(string(r), "@sha1:")
	return Hash(hash)
}

// Short is the revision as people read it: "main@3f2a1bc".
func (r Revision) Short() string {
	if r == "" {
		return ""
	}
	return r.Ref() + "@" + r.Hash().Short()
}

// Commit is what pull found under a source's ref. Nothing about it is trusted.
type Commit struct {
	// Revision is the ref and the commit it names now.
	Revision Revision
	// FullRef is the ref as the server names it, e.g. "refs/heads/main"; "" when
	// the source names a commit id.
	FullRef string
	// Tag is the id of the annotated tag object that the ref names, "" for a
	// branch or a lightweight tag. The commit in Revision is its target.
	Tag Hash
	// URL is the remote that answered, without credentials.
	URL string
}

// PollRequest asks for what a ref names now.
type PollRequest struct {
	// Known are commits that this node has used, the accepted one first: Git
	// sends only what is not below them.
	Known []Hash
	// Forced says that a person asked: the day's budget does not hold it back.
	Forced bool
	// Settled says that nothing more is to be found out about the first of Known:
	// statements about it are not asked for again.
	Settled bool
	// Unstated says that statements can decide nothing about what the node uses:
	// they are asked for with a new head only, not with each poll.
	Unstated bool
}

// MissingObject is an object that is needed and not in the store.
type MissingObject struct {
	ID   Hash
	Kind ObjectKind // "" where it is not known
	Path string     // in the tree, for people
	// Depth is how much is wanted: 1 the object alone, 2 a tree with the files
	// and directories that it lists (of these only their lists), 0 everything below.
	Depth int
}

// Heartbeat is a signed sign of life of a ref: it says what the ref names at
// some time, so that a host that shows an older commit is seen.
type Heartbeat struct {
	Commit   Hash   `json:"commit"`
	Sequence int64  `json:"sequence"` // rises
	At       Time   `json:"at"`
	Signer   string `json:"signer"`
	// Statement is the signed tag that says all this. It is kept so that it can
	// be judged again: who stole a key may have written any sequence.
	Statement []byte `json:"statement,omitempty"`
}
