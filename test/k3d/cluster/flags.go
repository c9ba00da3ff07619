// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
)

// Subcommands of the controlplane program.
const (
	storageCommand   = "storage"
	apiServerCommand = "kube-apiserver"
	managerCommand   = "kube-controller-manager"
)

// controllers are those whose work a test can see. Node lifecycle and address
// management are left out: the fake kubelet owns the only node.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"cronjob-controller",
	"daemonset-controller",
	"deployment-controller",
	"disruption-controller",
	"endpoints-controller",
	"endpointslice-controller",
	"garbage-collector-controller",
	"horizontal-pod-autoscaler-controller",
	"job-controller",
	"namespace-controller",
	"persistentvolume-binder-controller",
	"persistentvolume-protection-controller",
	"persistentvolumeclaim-protection-controller",
	"pod-garbage-collector-controller",
	"replicaset-controller",
	"replicationcontroller-controller",
	"resourcequota-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"statefulset-controller",
	"ttl-after-finished-controller",
}

func (c *Cluster) storageFlags() []string {
	return []string{"--database=" + c.path("state.db"), "--listen=" + c.socketPath()}
}

func (c *Cluster) apiServerFlags() []string {
	return []string{
		"--etcd-servers=unix://" + c.socketPath(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.port),
		// Without it the API server looks for a default route, and an empty
		// network namespace has none.
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.43.0.0/16",
		"--tls-cert-file=" + c.path("server.crt"),
		"--tls-private-key-file=" + c.path("server.key"),
		"--client-ca-file=" + c.path("client-ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("service-account.key"),
		"--service-account-signing-key-file=" + c.path("service-account.key"),
		"--allow-privileged=true", // as k3s
		"--profiling=false",
		// In the blocking mode an event is in the file before the request goes
		// on, which is what makes "no write happened" a statement.
		"--audit-log-mode=blocking",
		"--audit-log-path=" + c.path("audit.log"),
		"--audit-log-maxsize=0", // no rotation: the whole log is read
		"--audit-policy-file=" + c.path("audit-policy.yaml"),
	}
}

func (c *Cluster) managerFlags() []string {
	return []string{
		"--kubeconfig=" + c.pki.path(managerUser),
		"--controllers=" + strings.Join(controllers, ","),
		"--leader-elect=false",
		"--secure-port=0",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.path("service-account.key"),
		"--root-ca-file=" + c.path("server-ca.crt"),
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}
}
