// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// target is one object whose health is looked at.
type target struct {
	manifest gitops.Manifest
	decides  bool
	// completed: it ran to its end before, and may be gone since.
	completed bool
}

// alwaysCurrent is kinds that are what they should be as soon as they exist:
// no request is spent on them.
var alwaysCurrent = map[string]bool{
	"ConfigMap": true, "Secret": true, "ServiceAccount": true, "Endpoints": true, "EndpointSlice": true, "Lease": true,
	"Role": true, "RoleBinding": true, "ClusterRole": true, "ClusterRoleBinding": true,
	"StorageClass": true, "PriorityClass": true, "IngressClass": true, "RuntimeClass": true, "CSIDriver": true,
	"LimitRange": true, "ResourceQuota": true, "NetworkPolicy": true, "PodTemplate": true, "ControllerRevision": true,
	"ValidatingWebhookConfiguration": true, "MutatingWebhookConfiguration": true,
	"ValidatingAdmissionPolicyBinding": true, "MutatingAdmissionPolicy": true, "MutatingAdmissionPolicyBinding": true,
	"CronJob": true, // suspended or not: its Jobs come and go
}

func isAlwaysCurrent(ref gitops.ObjectRef) bool {
	return alwaysCurrent[ref.Kind] && stageOf(ref) != stageCustom || ref.Kind == "ControllerRevision" && ref.Group == "apps"
}

// target describes how a wanted object counts for health; counts is false for
// those that do not at all.
func (c *Cluster) target(m gitops.Manifest, item gitops.Item) (t target, counts bool) {
	annotations, err := annotationsOf(m)
	asked := marksOf(annotations)
	t = target{manifest: m, completed: item.Completed != "" && item.Completed == m.Digest}
	return t, err == nil && m.Hook == nil && !asked.local && !asked.ignore && !asked.noHealth
}

// Health is one look at all objects of a source.
func (c *Cluster) Health(ctx context.Context, want gitops.Manifests, owned gitops.Inventory) (gitops.Health, error) {
	items := owned.Index()
	var targets []target
	for _, m := range want.Objects {
		if t, counts := c.target(m, items[m.Ref.Key()]); counts {
			t.decides = bundleOf(want.Bundles, m.Bundle).Gate != gitops.GateWanted
			targets = append(targets, t)
		}
	}
	return c.statesSince(ctx, targets)
}

// states looks at the targets: kinds side by side, one request for each kind
// of which there are several objects. Seen counts restarts from the first look
// on, nil from the start of each pod.
func (c *Cluster) states(ctx context.Context, targets []target, seen *restarts) (gitops.Health, error) {
	out := make([]gitops.ObjectHealth, len(targets))
	byKind := map[schema.GroupVersionKind][]int{}
	for i, t := range targets {
		ref := t.manifest.Ref
		out[i] = gitops.ObjectHealth{Ref: ref, Bundle: t.manifest.Bundle, Decides: t.decides, Status: gitops.Current, Completed: t.completed}
		if !isAlwaysCurrent(ref) && !t.completed {
			gvk := schema.GroupVersionKind{Group: ref.Group, Version: ref.Version, Kind: ref.Kind}
			byKind[gvk] = append(byKind[gvk], i)
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.Concurrency)
	for _, indexes := range byKind {
		group.Go(func() error {
			objects, err := c.fetch(groupCtx, targets, indexes)
			if err != nil {
				return err
			}
			for _, i := range indexes {
				if err := c.judgeHealth(groupCtx, objects[i], &out[i], seen); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return gitops.Health{}, c.failure("read the state of the objects", nil, err)
	}
	return gitops.Health{Objects: out}, nil
}

// fetch reads objects of one kind whole. What is not there is left out.
func (c *Cluster) fetch(ctx context.Context, targets []target, indexes []int) (map[int]*unstructured.Unstructured, error) {
	out := map[int]*unstructured.Unstructured{}
	ref := targets[indexes[0]].manifest.Ref
	r, err := c.address(ctx, ref, false, true)
	if errors.Is(err, errNoKind) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	open := map[placed]int{}
	for _, i := range indexes {
		open[placed{r.namespaceOf(targets[i].manifest.Ref), targets[i].manifest.Ref.Name}] = i
	}
	if len(open) > fewObjects {
		err := c.listWhole(ctx, r, "", metav1.ListOptions{LabelSelector: partOfLabel}, func(u *unstructured.Unstructured) {
			at := placed{u.GetNamespace(), u.GetName()}
			if i, ok := open[at]; ok {
				out[i] = u
				delete(open, at)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for at, i := range open {
		u, err := c.readWhole(ctx, r, at)
		if err != nil {
			return nil, err
		}
		if u != nil {
			out[i] = u
		}
	}
	return out, nil
}

// readWhole reads one object, nil if it is not there.
func (c *Cluster) readWhole(ctx context.Context, r resource, at placed) (*unstructured.Unstructured, error) {
	var u *unstructured.Unstructured
	err := c.call(ctx, func(ctx context.Context, conn *connection) (err error) {
		u, err = conn.dynamic.Resource(r.GroupVersionResource).Namespace(at.namespace).Get(ctx, at.name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return u, err
}

// listWhole calls each with every object, page by page.
func (c *Cluster) listWhole(ctx context.Context, r resource, namespace string, opts metav1.ListOptions, each func(*unstructured.Unstructured)) error {
	opts.Limit = pageSize
	for {
		var page *unstructured.UnstructuredList
		err := c.call(ctx, func(ctx context.Context, conn *connection) (err error) {
			page, err = conn.dynamic.Resource(r.GroupVersionResource).Namespace(namespace).List(ctx, opts)
			return err
		})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range page.Items {
			each(&page.Items[i])
		}
		if opts.Continue = page.GetContinue(); opts.Continue == "" {
			return nil
		}
	}
}

// judgeHealth fills in the state of one object.
func (c *Cluster) judgeHealth(ctx context.Context, u *unstructured.Unstructured, h *gitops.ObjectHealth, seen *restarts) error {
	if u == nil {
		h.Status, h.Message = gitops.NotFound, "it is not in the cluster"
		return nil
	}
	result, err := status.Compute(u)
	if err != nil {
		h.Status, h.Message = gitops.Unknown, err.Error()
		return nil
	}
	h.Status, h.Message = gitops.HealthStatus(result.Status), result.Message
	if h.Status == gitops.Current {
		h.Message = ""
	}
	return c.refine(ctx, u, h, seen)
}
