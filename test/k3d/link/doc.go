// SPDX-License-Identifier: Apache-2.0

// Package link is the bad uplink of tests: a TCP proxy on loopback that cuts
// every connection after so many bytes, lets bytes drip, delays them, or takes
// them in and gives nothing back. It counts connections and bytes, and what is
// behind it can be changed while it runs.
//
// It knows nothing of what it carries, but for the outer form of TLS records
// where a handshake shall not count. It is never part of the product.
package link
