// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"runtime"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	nodeIP         = "127.0.0.1"
	leaseSeconds   = 40
	heartbeat      = 10 * time.Second
	kubeletVersion = "v1.37.2"
)

// keepNode makes the node and keeps it Ready.
func (k *Kubelet) keepNode(ctx context.Context) {
	for ctx.Err() == nil {
		err := k.heartbeat(ctx)
		k.complain(ctx, "report the node", err)
		if err != nil {
			sleep(ctx, retryAfter)
			continue
		}
		sleep(ctx, heartbeat)
	}
}

func (k *Kubelet) heartbeat(ctx context.Context) error {
	nodes := k.client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, k.node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		node, err = nodes.Create(ctx, k.newNode(), metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	node.Status = nodeStatus(node.Status)
	node, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if err := k.removeTaint(ctx, node); err != nil {
		return err
	}
	return k.renewLease(ctx)
}

// removeTaint does what the node lifecycle controller would: the API server
// marks every new node as not ready, and DaemonSets stay away until that is gone.
func (k *Kubelet) removeTaint(ctx context.Context, node *corev1.Node) error {
	kept := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(taint corev1.Taint) bool {
		return taint.Key == corev1.TaintNodeNotReady
	})
	if len(kept) == len(node.Spec.Taints) {
		return nil
	}
	node.Spec.Taints = kept
	_, err := k.client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
	return err
}

func (k *Kubelet) newNode() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: k.node, Labels: map[string]string{
			corev1.LabelHostname:                    k.node,
			corev1.LabelOSStable:                    runtime.GOOS,
			corev1.LabelArchStable:                  runtime.GOARCH,
			"node-role.kubernetes.io/control-plane": "true",
		}},
		Spec: corev1.NodeSpec{PodCIDR: "10.42.0.0/16", PodCIDRs: []string{"10.42.0.0/16"}},
	}
}

func nodeStatus(old corev1.NodeStatus) corev1.NodeStatus {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("64"),
		corev1.ResourceMemory:           resource.MustParse("256Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("5000"),
	}
	ready := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
		Message: "fake kubelet is posting ready status", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}
	for _, c := range old.Conditions {
		if c.Type == ready.Type && c.Status == ready.Status {
			ready.LastTransitionTime = c.LastTransitionTime
		}
	}
	return corev1.NodeStatus{
		Capacity:    capacity,
		Allocatable: capacity,
		Conditions:  []corev1.NodeCondition{ready},
		Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeIP}},
		NodeInfo: corev1.NodeSystemInfo{
			KubeletVersion: kubeletVersion, ContainerRuntimeVersion: "fake://1.0.0",
			OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, OSImage: "test",
		},
	}
}

func (k *Kubelet) renewLease(ctx context.Context) error {
	leases := k.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now, duration := metav1.NowMicro(), int32(leaseSeconds)
	lease, err := leases.Get(ctx, k.node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: k.node}}
		lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &k.node, LeaseDurationSeconds: &duration, RenewTime: &now}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}
