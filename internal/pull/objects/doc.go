// SPDX-License-Identifier: Apache-2.0

// Package objects is the node's store of Git objects: commits, trees, blobs
// and tags in one SQLite file, shared by all sources.
//
// It owns two promises. A pack arrives whole, with the ref that needed it, or
// not at all, whatever kills the process or the power. And the file is closed
// under links: whatever an object names is in the file too, so a commit that
// is here can be read to its last blob.
//
// Nothing in it is trusted: every object is hashed again whenever it is read.
// It never speaks to a network, never writes a work tree, and never decides
// what is kept; callers name the revisions to retain.
package objects
