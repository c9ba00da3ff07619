// SPDX-License-Identifier: Apache-2.0

// Package bundle owns Git's bundle files (gitformat-bundle, versions 2 and 3)
// and bundle lists (Git's bundle-uri): it reads and writes both, publishes a
// repository as a directory that any static host can serve, and polls and
// downloads such a place, resumed to the byte.
//
// It never stores an object, never decides which ref is wanted, and trusts
// nothing: what a bundle holds is judged like what a Git server sends.
package bundle
