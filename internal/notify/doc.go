// SPDX-License-Identifier: Apache-2.0

// Package notify is what leaves the node about the agent: metrics. It owns their
// names and their text. It says what a Status says and nothing else; it never
// asks the cluster, Git or the journal, and never serves or sends by itself.
package notify
