// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"bytes"
	"slices"
	"time"
)

// Learned is what signed statements told this node about a source. It is never
// unlearned: a host that stops showing a revocation takes nothing back.
type Learned struct {
	// TrustVersion is the highest version of the trust file that was accepted.
	TrustVersion int `json:"trustVersion,omitempty"`
	// Revoked are the keys that the roots revoked, one a line as in the node's
	// file of revoked keys, sorted.
	Revoked []string `json:"revoked,omitempty"`
	// Floor is the newest time that the roots signed: it has passed.
	Floor Time `json:"floor,omitzero"`
	// Heartbeat is the one with the highest sequence.
	Heartbeat *Heartbeat `json:"heartbeat,omitempty"`
	// Void is a heartbeat that was learned before and counts for nothing any more.
	// It is forgotten, and not remembered as such.
	Void *Heartbeat `json:"-"`
}

// And is what is known when more is learned. Nothing in it ever falls, but for a
// heartbeat that is void.
func (l Learned) And(more Learned) Learned {
	l.TrustVersion = max(l.TrustVersion, more.TrustVersion)
	revoked := slices.Concat(l.Revoked, more.Revoked)
	slices.Sort(revoked)
	if l.Revoked = slices.Compact(revoked); len(l.Revoked) == 0 {
		l.Revoked = nil
	}
	if floor := more.Floor.UTC().Truncate(time.Second); floor.After(l.Floor) {
		l.Floor = floor
	}
	if l.Heartbeat.same(more.Void) {
		l.Heartbeat = nil
	}
	if h := more.Heartbeat; h != nil && (l.Heartbeat == nil || h.Sequence > l.Heartbeat.Sequence) {
		seen := *h
		seen.At = seen.At.UTC().Truncate(time.Second)
		l.Heartbeat = &seen
	}
	return l
}

func (h *Heartbeat) same(other *Heartbeat) bool {
	return h != nil && other != nil && h.Sequence == other.Sequence && bytes.Equal(h.Statement, other.Statement)
}

// Waiver is root's word that a source may move from one commit to another that
// does not descend from it. It waives nothing else, and is good for once.
type Waiver struct {
	From   Hash   `json:"from"` // accepted when it was given, "" for none
	To     Hash   `json:"to"`
	Reason string `json:"reason"`
	By     string `json:"by"`
	At     Time   `json:"at"`
	// Used is when To was accepted because of it, zero while it was not.
	Used Time `json:"used,omitzero"`
}

// Waives reports whether the waiver is still to be used for this step.
func (w *Waiver) Waives(from, to Hash) bool {
	return w != nil && w.Used.IsZero() && w.From == from && w.To == to
}

// The states of a node's clock.
const (
	ClockSynchronised   = "Synchronised"
	ClockUnsynchronised = "Unsynchronised" // ages are not counted by it
	ClockBehind         = "Behind"         // a time that has certainly passed: keys are judged at that
	ClockAhead          = "Ahead"          // so far that it cannot be right: nothing new is let through by it
)

// ClockStatus is what is known about the node's clock.
type ClockStatus struct {
	State string `json:"state"`
	// Floor is a time that has certainly passed.
	Floor Time `json:"floor,omitzero"`
}
