// SPDX-License-Identifier: Apache-2.0

// Package agent is the loop: one goroutine per source that polls Git, has the
// commit verified, accepts it, renders it, and converges the cluster on it or
// on the last healthy revision.
//
// It owns every decision about what the cluster should be next: choose says
// which revision, decide says what a failure means. It observes and never
// remembers: each cycle reads the journal, Git and the cluster again, so that
// a crash at any line is repaired by the next cycle.
//
// It also takes Git bundles in from a folder of the node, and leaves a note
// beside those that are refused.
//
// It never parses Git, YAML or Kubernetes objects, never talks to a network
// itself, and keeps no state on disk but what the journal does.
package agent
