// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
	"github.com/edgeagent/edgeagent/test/k3d/cluster"
)

// shared is the cluster of all tests: real API server, controllers, and a
// kubelet that plays pods.
var shared *cluster.Cluster

// agentKubeconfig is of the user whose writes the tests count.
var agentKubeconfig string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if shared, err = cluster.Start(context.Background(), cluster.Config{Log: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	if agentKubeconfig, err = shared.User("edgeagent-test", "system:masters"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// count makes names of sources differ where those of tests begin alike.
var count atomic.Int64

var notInNames = regexp.MustCompile("[^A-Za-z0-9]+")

// guard is the default of the node's file.
var guard = gitops.PruneGuard{MaxDeletes: 20, MaxPercent: 25, Minimum: 5}

// site is a node with one source, whose inventory it keeps as the journal would.
type site struct {
	t       *testing.T
	c       *reconcile.Cluster
	source  string
	ns      string
	version string
	owned   gitops.Inventory
	attempt int64
	req     gitops.PlanRequest // what tests vary
	stable  time.Duration
	timeout time.Duration
}

// newSite makes a source with a namespace of its own.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	name := strings.ToLower(notInNames.ReplaceAllString(t.Name(), "-"))
	name = fmt.Sprintf("%s-%d", strings.Trim(name[:min(len(name), 34)], "-"), count.Add(1))
	s := &site{
		t: t, source: name, ns: name, version: name + "-" + fmt.Sprint(time.Now().UnixNano()),
		req:     gitops.PlanRequest{Source: name, Drift: gitops.DriftCorrect, Prune: true, Guard: guard, Healthy: "main@sha1:0"},
		timeout: time.Minute, stable: 0,
	}
	s.c = newCluster(t, reconcile.Config{Kubeconfig: agentKubeconfig, Node: "node-1", Version: s.version})
	s.create(fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", s.ns))
	return s
}

func newCluster(t *testing.T, cfg reconcile.Config) *reconcile.Cluster {
	t.Helper()
	c, err := reconcile.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// want is manifests of YAML documents; NS stands for the site's namespace.
func (s *site) want(documents ...string) gitops.Manifests {
	s.t.Helper()
	for i := range documents {
		documents[i] = strings.ReplaceAll(documents[i], "NS", s.ns)
	}
	return manifests(s.t, documents...)
}

func manifests(t *testing.T, documents ...string) gitops.Manifests {
	t.Helper()
	m := gitops.Manifests{Revision: "main@sha1:1", Bundles: []gitops.Bundle{{Name: "main", Wait: true, Gate: gitops.GateRequired, Prune: true}}}
	for _, text := range documents {
		for doc := range strings.SplitSeq(text, "\n---\n") {
			m.Objects = append(m.Objects, manifest(t, doc))
		}
	}
	return m
}

func manifest(t *testing.T, doc string) gitops.Manifest {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	canonical, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	u := unstructured.Unstructured{Object: o}
	gvk := u.GroupVersionKind()
	return gitops.Manifest{
		Ref:  gitops.ObjectRef{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()},
		YAML: canonical, Digest: gitops.Digest(canonical), Bundle: "main",
	}
}

// result is what became of one convergence.
type result struct {
	plan    gitops.Plan
	changes []gitops.Change
	health  gitops.Health
	pruned  []gitops.Change
}

// planFor plans without carrying anything out.
func (s *site) planFor(want gitops.Manifests) (gitops.Plan, error) {
	req := s.req
	req.Want, req.Owned, req.HealthTimeout = want, s.owned, s.timeout
	return s.c.Plan(s.t.Context(), req)
}

func (s *site) mustPlan(want gitops.Manifests) gitops.Plan {
	s.t.Helper()
	plan, err := s.planFor(want)
	if err != nil {
		s.t.Fatal(err)
	}
	return plan
}

// converge does what the loop does, the inventory included.
func (s *site) converge(want gitops.Manifests) (result, error) {
	s.t.Helper()
	ctx := s.t.Context()
	var r result
	var err error
	if r.plan, err = s.planFor(want); err != nil || r.plan.Empty() {
		return r, err
	}
	s.attempt++
	s.owned = r.plan.Inventory
	for i := range s.owned {
		if s.owned[i].Entered == 0 {
			s.owned[i].Entered = s.attempt
		}
	}
	if !s.req.Rollback {
		if err := s.c.DryRun(ctx, r.plan); err != nil {
			return r, err
		}
	}
	r.changes, err = s.c.Apply(ctx, r.plan, nil)
	s.record(r.changes)
	if err != nil {
		return r, err
	}
	if s.req.Rollback {
		if r.pruned, err = s.c.Prune(ctx, r.plan); err != nil {
			return r, err
		}
	}
	r.health, err = s.c.Wait(ctx, gitops.HealthRequest{Source: s.source, Plan: r.plan, Changes: r.changes, Timeout: s.timeout, Stable: s.stable})
	if err != nil {
		return r, err
	}
	s.complete(r.health)
	if !s.req.Rollback {
		if r.pruned, err = s.c.Prune(ctx, r.plan); err != nil {
			return r, err
		}
	}
	s.forget(slices.Concat(r.changes, r.pruned))
	return r, s.c.Finish(ctx, s.source, s.owned, want.Revision, want.Revision)
}

func (s *site) mustConverge(want gitops.Manifests) result {
	s.t.Helper()
	r, err := s.converge(want)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// record keeps the items of what was written, as the journal does.
func (s *site) record(changes []gitops.Change) {
	for _, c := range changes {
		switch c.Action {
		case gitops.Created, gitops.Configured, gitops.Unchanged:
			i := slices.IndexFunc(s.owned, func(item gitops.Item) bool { return item.Ref.Key() == c.Ref.Key() })
			if i < 0 {
				s.owned = append(s.owned, c.Item)
				continue
			}
			c.Item.Entered, c.Item.PriorUID = s.owned[i].Entered, s.owned[i].PriorUID
			s.owned[i] = c.Item
		}
	}
}

func (s *site) complete(h gitops.Health) {
	for _, o := range h.Objects {
		for i := range s.owned {
			if o.Completed && s.owned[i].Ref.Key() == o.Ref.Key() {
				s.owned[i].Completed = s.owned[i].Digest
			}
		}
	}
}

func (s *site) forget(changes []gitops.Change) {
	for _, c := range changes {
		if c.Action == gitops.Deleted || c.Reason == gitops.BecauseReleased {
			s.owned = slices.DeleteFunc(s.owned, func(item gitops.Item) bool { return item.Ref.Key() == c.Ref.Key() })
		}
	}
}

// person is a client that is not the agent: somebody with kubectl.
func person(t *testing.T) dynamic.Interface {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", shared.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS, cfg.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// plural maps the kinds that the tests use.
var plural = map[string]schema.GroupVersionResource{
	"Namespace":                      {Version: "v1", Resource: "namespaces"},
	"ConfigMap":                      {Version: "v1", Resource: "configmaps"},
	"Secret":                         {Version: "v1", Resource: "secrets"},
	"Service":                        {Version: "v1", Resource: "services"},
	"Pod":                            {Version: "v1", Resource: "pods"},
	"PersistentVolumeClaim":          {Version: "v1", Resource: "persistentvolumeclaims"},
	"StorageClass":                   {Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"},
	"Deployment":                     {Group: "apps", Version: "v1", Resource: "deployments"},
	"ReplicaSet":                     {Group: "apps", Version: "v1", Resource: "replicasets"},
	"Job":                            {Group: "batch", Version: "v1", Resource: "jobs"},
	"CustomResourceDefinition":       {Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
	"HelmChart":                      {Group: "helm.cattle.io", Version: "v1", Resource: "helmcharts"},
	"ValidatingWebhookConfiguration": {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
	"ClusterRole":                    {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
}

func (s *site) on(kind string) dynamic.ResourceInterface {
	r := person(s.t).Resource(plural[kind])
	switch kind {
	case "Namespace", "StorageClass", "CustomResourceDefinition", "ClusterRole":
		return r
	}
	return r.Namespace(s.ns)
}

// create makes an object as a person would with kubectl create.
func (s *site) create(doc string) *unstructured.Unstructured {
	s.t.Helper()
	u := s.object(doc)
	made, err := s.on(u.GetKind()).Create(s.t.Context(), u, metav1.CreateOptions{FieldManager: "kubectl-create"})
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

func (s *site) object(doc string) *unstructured.Unstructured {
	s.t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(doc, "NS", s.ns)), &u.Object); err != nil {
		s.t.Fatal(err)
	}
	return u
}

// live reads an object, nil if it is not there.
func (s *site) live(kind, name string) *unstructured.Unstructured {
	s.t.Helper()
	u, err := s.on(kind).Get(s.t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// edit changes an object by a merge patch, under a manager's name.
func (s *site) edit(manager, kind, name, patch string, subresources ...string) {
	s.t.Helper()
	_, err := s.on(kind).Patch(s.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager}, subresources...)
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) delete(kind, name string) {
	s.t.Helper()
	if err := s.on(kind).Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// writes lists what the agent wrote to its objects since a moment. The parent
// of the ApplySet is bookkeeping and counted by parentWrites.
func (s *site) writes(since time.Time) []string {
	s.t.Helper()
	return s.requests(since, func(e cluster.AuditEvent) bool {
		return !e.DryRun && e.Namespace != "edgeagent-system" && e.Name != "edgeagent-system"
	})
}

// requests lists writes and dry runs, as "patch configmaps/a".
func (s *site) requests(since time.Time, keep func(cluster.AuditEvent) bool) []string {
	s.t.Helper()
	events, err := shared.Writes(cluster.AuditFilter{Since: since, UserAgent: "edgeagent/" + s.version, DryRun: true})
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		if keep(e) {
			out = append(out, fmt.Sprintf("%s %s/%s", e.Verb, e.Resource, e.Name))
		}
	}
	slices.Sort(out)
	return out
}

// eventually polls a condition that the cluster needs time for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 300 {
		if holds() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("did not happen: %s", what)
}

// actions are "created ConfigMap/ns/a" for comparison.
func actions(changes []gitops.Change) []string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s %s/%s", c.Action, c.Ref.Kind, c.Ref.Name))
	}
	slices.Sort(out)
	return out
}

func wantActions(t *testing.T, got []gitops.Change, want ...string) {
	t.Helper()
	slices.Sort(want)
	if a := actions(got); !slices.Equal(a, want) {
		t.Errorf("changes are %q, want %q", a, want)
	}
}

func wantReason(t *testing.T, err error, reason gitops.Reason, words ...string) {
	t.Helper()
	if gitops.ReasonOf(err) != reason {
		t.Fatalf("error is %q (%v), want reason %q", gitops.ReasonOf(err), err, reason)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	var e *gitops.Error
	if errors.As(err, &e) && e.Message == "" {
		t.Error("the error has no message")
	}
}

// configMap is the smallest object.
func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: NS}\ndata: {key: %q}\n", name, value)
}

// deployment runs one pod of an image that the fake kubelet knows how to play.
func deployment(name, image string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: NS}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers: [{name: main, image: %[2]q}]
`, name, image)
}

func job(name, image string) string {
	return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: %s, namespace: NS}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: %q}]
`, name, image)
}

// parent reads the ApplySet's parent, nil if there is none.
func (s *site) parent() *unstructured.Unstructured {
	s.t.Helper()
	u, err := person(s.t).Resource(plural["ConfigMap"]).Namespace("edgeagent-system").Get(s.t.Context(), s.source, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

func (s *site) editParent(patch string) {
	s.t.Helper()
	parents := person(s.t).Resource(plural["ConfigMap"]).Namespace("edgeagent-system")
	if _, err := parents.Patch(s.t.Context(), s.source, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		s.t.Fatal(err)
	}
}
