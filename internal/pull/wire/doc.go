// SPDX-License-Identifier: Apache-2.0

// Package wire speaks Git's protocol with one place that has a repository: v2,
// and v0 where a server does not know v2, over HTTP(S), SSH, or with a directory.
//
// It owns the connection: credentials, TLS, redirects, limits, the bytes that
// are counted, and the reason of each failure. It asks only what it is told to
// ask; it never judges a ref or an object, never stores one, and runs no program.
package wire
