// SPDX-License-Identifier: Apache-2.0

// Package gitops is the vocabulary of edgeagent: the values that one stage of
// the flow hands to the next, and the status that is shown to people.
//
//	pull ──▶ verify ──▶ accept ──▶ render ──▶ plan ──▶ apply ──▶ health ──▶ prune
//
// It owns words, their JSON and set operations on them. It never does I/O,
// imports only the standard library, and takes in a type only when two
// packages already exchange it.
package gitops
