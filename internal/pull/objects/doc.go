// SPDX-License-Identifier: Apache-2.0

// Package objects is the node's store of Git objects: commits, trees, blobs
// and tags in one SQLite file, shared by all sources.
//
// It is partial: of a repository it holds what this node needs. That an object
// is here says nothing about what it names; Lineage and Below walk and name what
// is missing. One thing is remembered: the commits of a source's head are
// connected, with their root trees and trust files, because Advance takes only a
// tip that Lineage has just walked. Damage takes that back.
//
// A pack is stored object by object, as it comes: each is hashed, its form is
// checked, and whatever ends the pack, what was whole stays.
//
// Nothing in it is trusted: every object is hashed again whenever it is read.
// It never speaks to a network, never writes a work tree, and never decides
// what is kept; callers name the revisions to retain.
package objects
