// SPDX-License-Identifier: Apache-2.0

// Package attest owns what people do about trust on their own machines: it
// reads a Git work tree or a bare repository there, writes the trust file and
// the files of a node, and makes the signed statements below refs/edgeagent/:
// approvals, revocations, seals and heartbeats.
//
// It signs with a key file or with ssh-agent, and runs no program. It never
// pushes, never talks to a node, and never decides: whether a statement counts
// is asked of package verify, as a node does.
package attest
