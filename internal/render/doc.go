// SPDX-License-Identifier: Apache-2.0

// Package render turns a verified tree into the manifests that a node shall
// run: plain YAML, Kustomize and Helm, as bundles of one source.
//
// It owns the bundle file (edgeagent.yaml), the closure (which files of the
// tree are read), the canonical form of an object and the digests. The same
// tree, node and cluster version give the same bytes in every run.
//
// What comes from Git is parsed only in a worker process (Worker), which has
// neither files nor network: it asks the agent for paths of the verified tree
// and answers with canonical YAML. A hostile chart kills the worker, never the
// agent. In the agent itself only tree objects are parsed.
//
// It never reads the disk, the cluster or the network, and never renders a
// tree that was not verified.
package render
