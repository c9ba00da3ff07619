// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edgeagent/edgeagent/test/k3d/kubelet"
)

// The cluster restarts its own kubelet with the API server; this one has to
// find its way back by itself. It also shows that nobody touches the pods of
// another node.
func TestKubeletOutlivesTheAPIServer(t *testing.T) {
	kube := client(t, shared)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		kubelet.New(kubelet.Config{Client: kube, NodeName: "second", Log: t.Output()}).Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
		if err := kube.CoreV1().Nodes().Delete(context.Background(), "second", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	createPod(t, kube, podSpec{name: "second-before", image: "web", node: "second"})
	waitForPod(t, kube, "second-before", ready)
	if err := shared.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := shared.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	createPod(t, kube, podSpec{name: "second-after", image: "web", node: "second"})
	waitForPod(t, kube, "second-after", ready)

	cancel()
	<-done
	createPod(t, kube, podSpec{name: "second-alone", image: "web", node: "second"})
	createPod(t, kube, podSpec{name: "first-meanwhile", image: "web"})
	waitForPod(t, kube, "first-meanwhile", ready)
	waitForPod(t, kube, "second-alone", "Pending")
}
