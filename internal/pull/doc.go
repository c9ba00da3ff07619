// SPDX-License-Identifier: Apache-2.0

// Package pull finds what a source's ref names now and brings it into the
// object store: of the commits those since trust began, of the trees and files
// those that somebody names.
//
// It owns what is asked for, of whom and when: the choice between a small pack
// of what changed and single objects by their ids, the size of a batch, mirrors,
// static ones too, backoff, the day's budget of bytes and all their counters,
// and bundle files that come and go on a stick. A poll that finds nothing new
// writes nothing to disk but in the runtime directory.
//
// It never judges what it brought (a gitops.Commit is not trusted), never makes
// a work tree, and runs no other program.
package pull
