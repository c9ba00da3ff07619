// SPDX-License-Identifier: Apache-2.0

// Package verify owns the trust decision: it turns the gitops.Commit that pull
// found, about which nothing is known, into a Commit that the node's trust rules
// let through, or into a refusal that names the rule, the commit and the remedy.
//
// It judges the raw bytes of commits and tags, under the keys in the node's own
// files, and nothing else. A key in allowed_signers or in the OpenPGP key file
// may sign for its source whatever the author and committer lines say: those are
// free text, and the signer that is reported is the principal of the key.
//
// It never fetches, never writes, never logs, never runs a program, and never
// decides by a date that stands in a commit. Keys are judged at the later of the
// node's clock and Config.Floor. A Commit cannot be made outside this package.
package verify
