// SPDX-License-Identifier: Apache-2.0

// Package verify owns the trust decision: it turns the gitops.Commit that pull
// found, about which nothing is known, into a Commit that the node's trust rules
// let through, or into a refusal that names the rule, the commit and the remedy.
//
// It judges the raw bytes of commits and tags, under the keys in the node's own
// files and, where the repository has one, in its trust file, which only its roots
// change. Whoever has a key may sign whatever the author and committer lines say:
// those are free text, and the signer that is reported is the principal of the key.
//
// Read it in the order in which a head is judged:
//
//	decisions   verifier, decide, examine, missing, refusal, commit
//	bytes       object, header, rawcommit, rawtag, armor, tree
//	keys        trust, allowedsigners, ssh, certificate, openpgp*, sigstore,
//	            revoked, krl*, moment
//	trust file  trustfile, policy, rotation, authority
//	head        ancestry, waiver, history, enter, merger, mergebase, protected,
//	            binding, head
//	statements  statement, published, require, unproven
//	cluster     release, steps, way, content, blames
//	rollback    return
//
// It never fetches, never writes, never logs, never runs a program, and never
// decides by a date that stands in a commit. Keys are judged at the later of the
// node's clock and Config.Floor. A Commit cannot be made outside this package.
package verify
