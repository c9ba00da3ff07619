// SPDX-License-Identifier: Apache-2.0

package verify

import "github.com/edgeagent/edgeagent/internal/gitops"

// Commit is a commit that the trust rules let through. Only this package can
// make one; the zero value is not valid and nothing may be rendered from it.
type Commit struct {
	revision  gitops.Revision
	tree      gitops.Hash
	signer    signer
	firstSeen bool
	valid     bool
	// trustVersion is of the trust file in the tree, 0 when there is none.
	trustVersion int
	binding      string
}

// Valid reports whether c came out of a Verifier.
func (c Commit) Valid() bool { return c.valid }

// Revision is the ref and the commit.
func (c Commit) Revision() gitops.Revision { return c.revision }

// Hash is the commit's id.
func (c Commit) Hash() gitops.Hash { return c.revision.Hash() }

// Tree is the tree that was signed: the one that is rendered, by id.
func (c Commit) Tree() gitops.Hash { return c.tree }

// Signer names who signed: the principals of an SSH key, the user id of an
// OpenPGP key, "introduction" for the commit where trust begins, or "" when the
// mode checks no signature.
func (c Commit) Signer() string { return c.signer.name }

// Key is the fingerprint of the key that signed, "" where Signer is no key's.
func (c Commit) Key() string { return c.signer.key }

// FirstSeen reports that trust begins with this commit because it was the first
// verified one: the caller pins it.
func (c Commit) FirstSeen() bool { return c.firstSeen }

// TrustVersion is the version of the trust file that the commit brings, 0 when
// it has none.
func (c Commit) TrustVersion() int { return c.trustVersion }

// RefBinding says who vouches that the commit is for its ref: BoundNone while
// the repository has no trust file.
func (c Commit) RefBinding() string { return c.binding }

// signer is who signed, and the full fingerprint of the key.
type signer struct {
	name, key string
	role      string // in which it signed
}
