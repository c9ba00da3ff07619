// SPDX-License-Identifier: Apache-2.0

// Package pull finds what a source's ref names now and brings it into the
// object store: over smart HTTP(S), SSH, or from a directory.
//
// It owns the link: redirects, credentials, limits, timeouts, mirrors, backoff
// and their counters. A poll that finds nothing new writes nothing to disk.
// It never judges what it brought (a gitops.Commit is not trusted), never makes
// a work tree, and runs no other program.
package pull
