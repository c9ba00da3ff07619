// SPDX-License-Identifier: Apache-2.0

// Package gitserver is the forge of tests: real git served over smart HTTP on
// loopback, by `git http-backend`, and repositories with commits that the real
// git and ssh-keygen sign. It can be stopped, restarted on the same address, and
// told to misbehave; it counts requests and bytes on the wire.
//
// No configuration of the user or the machine reaches the git it runs. It is
// never part of the product.
package gitserver
