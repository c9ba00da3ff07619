// SPDX-License-Identifier: Apache-2.0

// Package reconcile moves a cluster to the manifests that it is given:
//
//	Plan ──▶ DryRun ──▶ Apply ──▶ Wait (health) ──▶ Prune ──▶ Finish
//
// It owns the difference between Git and the cluster (plan.go, pure), the order
// of writes, server-side apply, ownership by ApplySet labels, health and
// deletion. Every Plan looks at the cluster again; nothing is remembered here
// between two of them but the connection and what its watches show.
//
// It never reads Git or the journal, never decides whether to roll back, and
// never deletes an object that is not both in the inventory it was given and
// labelled as ours in the cluster.
package reconcile
