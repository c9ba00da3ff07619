// SPDX-License-Identifier: Apache-2.0

// Package cluster starts Kubernetes clusters for tests: the embedded control
// plane (kube-apiserver, kube-controller-manager and kine on SQLite as child
// processes, a fake kubelet inside this one), a k3s in Docker, or somebody's
// cluster that KUBECONFIG names. It owns their processes, files, identities and
// the audit log, which is how tests count writes.
//
// The embedded cluster needs a loopback interface and nothing else: no route, no
// DNS, no container runtime. It is never imported by the product.
package cluster
