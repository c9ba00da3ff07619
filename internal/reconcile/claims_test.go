// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/edgeagent/edgeagent/internal/reconcile"
)

var octet atomic.Int64

// lastOctet makes addresses and ports of tests differ.
func lastOctet() string { return fmt.Sprint(10 + octet.Add(1)) }

func TestClaims(t *testing.T) {
	tests := map[string]struct {
		doc  string
		want []string
	}{
		"node port": {"apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec: {ports: [{port: 80, nodePort: 30080}, {port: 53, nodePort: 30053, protocol: UDP}, {port: 1}]}\n",
			[]string{"node port 30080/TCP", "node port 30053/UDP"}},
		"host port": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: shop}\nspec: {template: {spec: {containers: [{name: m, ports: [{containerPort: 80, hostPort: 8080}]}], initContainers: [{name: i, ports: [{hostPort: 9090}]}]}}}\n",
			[]string{"host port 8080/TCP", "host port 9090/TCP"}},
		"volume of a pod": {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: [], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}, {name: e, emptyDir: {}}]}\n",
			[]string{"volume claim shop/data"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := reconcile.Claims(manifest(t, test.doc))
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("claims are %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func nodePort(name, port string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: NS}\nspec: {type: NodePort, selector: {app: x}, ports: [{port: 80, nodePort: " + port + "}]}\n"
}

func TestNodePortIsFreedBeforeItIsClaimed(t *testing.T) {
	s := newSite(t)
	port := "301" + lastOctet()
	s.mustConverge(s.want(nodePort("old", port), configMap("a", "1")))
	r := s.mustConverge(s.want(nodePort("new", port), configMap("a", "1")))
	wantActions(t, r.plan.DeleteFirst, "deleted Service/old")
	wantActions(t, r.changes, "deleted Service/old", "created Service/new")
	if len(r.pruned) != 0 || len(s.owned) != 2 {
		t.Errorf("pruned %q, inventory %+v", actions(r.pruned), s.owned)
	}
}

func TestHostPortIsFreedBeforeItIsClaimed(t *testing.T) {
	s := newSite(t)
	port := "81" + lastOctet()
	withPort := func(name string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + ", namespace: NS}\nspec: {selector: {matchLabels: {app: " + name + "}}, template: {metadata: {labels: {app: " + name + "}}, spec: {containers: [{name: m, image: web, ports: [{containerPort: 80, hostPort: " + port + "}]}]}}}\n"
	}
	s.mustConverge(s.want(withPort("old"), configMap("a", "1")))
	r := s.mustConverge(s.want(withPort("new"), configMap("a", "1")))
	wantActions(t, r.changes, "deleted Deployment/old", "created Deployment/new")
	if s.live("Deployment", "old") != nil {
		t.Error("old was still there when new was written")
	}
}

func TestExclusiveVolumeIsFreedAndASharedOneIsNot(t *testing.T) {
	for mode, first := range map[string]bool{"ReadWriteOnce": true, "ReadWriteMany": false} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t)
			s.create("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: NS}\nspec: {accessModes: [" + mode + "], resources: {requests: {storage: 1Gi}}}\n")
			pod := func(name string) string {
				return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: NS}\nspec: {containers: [{name: m, image: web}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}\n"
			}
			s.mustConverge(s.want(pod("old"), configMap("a", "1")))
			r := s.mustConverge(s.want(pod("new"), configMap("a", "1")))
			if got := len(r.plan.DeleteFirst) == 1; got != first {
				t.Errorf("deleted first: %v (%q), want %v", got, actions(r.plan.DeleteFirst), first)
			}
			if s.live("Pod", "new") == nil {
				t.Error("new is not there")
			}
		})
	}
}

func TestGuardedDeletionIsNotMovedToTheFront(t *testing.T) {
	s := newSite(t)
	port := "302" + lastOctet()
	s.mustConverge(s.want(append(configMaps(6), nodePort("old", port))...))
	s.req.Guard.MaxDeletes = 0
	r, err := s.converge(s.want(append(configMaps(6), nodePort("new", port))...))
	if len(r.plan.DeleteFirst) != 0 || len(r.plan.Pending) != 1 || err == nil {
		t.Errorf("deleted first %q, pending %q, error %v", actions(r.plan.DeleteFirst), actions(r.plan.Pending), err)
	}
}
