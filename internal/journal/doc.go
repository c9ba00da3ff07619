// SPDX-License-Identifier: Apache-2.0

// Package journal is the agent's memory across crashes: what was in flight,
// what was accepted, applied and last healthy, what was refused or failed, which
// objects a source owns, and the manifests to go back to without a network.
//
// It owns one directory: journal.db (SQLite), journal.key (the node's key, which
// the manifests are encrypted under) and lock (held by the one process that may
// open them).
//
// Rules that everything here keeps:
//
//   - A call that changes something is one transaction. When it returned nil, the
//     change survives a power cut; when the process dies inside it, nothing of it
//     is there. Only what was returned as done may be told to anybody.
//   - Bytes on the wire are counted in memory and go along with the next write.
//   - Reading never writes, and a write that would change nothing is not made:
//     an idle node leaves its flash alone.
//   - The inventory only grows, from the first announcement of an object until an
//     attempt reaches Pruned with an exact set. So no crash, failure or restart in
//     between can make an object of ours forgotten.
//   - Phases move as gitops.Phase.MayMove allows, in Advance and nowhere else.
//
// It never decides anything, never talks to Git or a cluster, and is never a
// root of trust: a revision that is taken from here is verified again.
package journal
