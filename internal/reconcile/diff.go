// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/pmezard/go-difflib/difflib"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Diff shows how the cluster differs from what is wanted: each object as it is
// beside what a server-side apply would make of it. Nothing is written.
func (c *Cluster) Diff(ctx context.Context, req gitops.PlanRequest) ([]gitops.ObjectDiff, error) {
	req.Drift = gitops.DriftCorrect // shown, whether it would be repaired or not
	req.Want.Bundles = slices.Clone(req.Want.Bundles)
	for i := range req.Want.Bundles {
		req.Want.Bundles[i].Drift = ""
	}
	plan, err := c.compare(ctx, req)
	if err != nil {
		return nil, err
	}
	fresh, err := newGround(plan)
	if err != nil {
		return nil, err
	}
	mask, err := newMask()
	if err != nil {
		return nil, err
	}
	var out []gitops.ObjectDiff
	for _, change := range plan.Apply {
		m, _ := plan.Manifests.Find(change.Ref.Key())
		text, err := c.diffOf(ctx, req.Source, m, fresh.covers(m.Ref), mask)
		if err != nil {
			return nil, c.failure("compare", &m.Ref, err)
		}
		if text != "" {
			out = append(out, gitops.ObjectDiff{Ref: change.Ref, Action: change.Action, Diff: text})
		}
	}
	for _, change := range slices.Concat(plan.Prune, plan.Pending) {
		if change.Reason == gitops.BecauseReleased {
			continue
		}
		text, err := c.deletionOf(ctx, change.Ref, mask)
		if err != nil {
			return nil, c.failure("compare", &change.Ref, err)
		}
		if text != "" {
			out = append(out, gitops.ObjectDiff{Ref: change.Ref, Action: gitops.Deleted, Diff: text})
		}
	}
	return out, nil
}

// diffOf compares one object. What cannot be dry-run, because its kind or
// namespace is not there yet, is shown as Git has it.
func (c *Cluster) diffOf(ctx context.Context, source string, m gitops.Manifest, unknown bool, mask mask) (string, error) {
	want, err := decode(m)
	if err != nil {
		return "", err
	}
	if unknown {
		return unified(m.Ref, nil, want, mask)
	}
	r, err := c.address(ctx, m.Ref, false, false)
	if errors.Is(err, errNoKind) {
		return unified(m.Ref, nil, want, mask)
	}
	if err != nil {
		return "", err
	}
	now, err := c.readWhole(ctx, r, placed{r.namespaceOf(m.Ref), m.Ref.Name})
	if err != nil {
		return "", err
	}
	data, err := body(m, source, r.namespaceOf(m.Ref))
	if err != nil {
		return "", err
	}
	force := true
	err = c.call(ctx, func(ctx context.Context, conn *connection) error {
		want, err = conn.dynamic.Resource(r.GroupVersionResource).Namespace(r.namespaceOf(m.Ref)).Patch(ctx, m.Ref.Name, types.ApplyPatchType, data,
			metav1.PatchOptions{FieldManager: fieldManager, Force: &force, DryRun: []string{metav1.DryRunAll}})
		return err
	})
	if err != nil {
		return "", err
	}
	return unified(m.Ref, now, want, mask)
}

// deletionOf shows an object that would be deleted, "" if it is gone.
func (c *Cluster) deletionOf(ctx context.Context, ref gitops.ObjectRef, mask mask) (string, error) {
	r, err := c.address(ctx, ref, false, true)
	if errors.Is(err, errNoKind) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	now, err := c.readWhole(ctx, r, placed{r.namespaceOf(ref), ref.Name})
	if err != nil || now == nil {
		return "", err
	}
	return unified(ref, now, nil, mask)
}

// unified is the difference between two versions of an object, either of which
// may be missing, as a unified diff.
func unified(ref gitops.ObjectRef, from, to *unstructured.Unstructured, mask mask) (string, error) {
	before, err := shown(from, mask)
	if err != nil {
		return "", err
	}
	after, err := shown(to, mask)
	if err != nil || before == after {
		return "", err
	}
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(before), B: difflib.SplitLines(after), Context: 3,
		FromFile: "live/" + ref.String(), ToFile: "git/" + ref.String(),
	})
}

// shown is an object as people compare it: without what the API server keeps
// for itself, without our marks, and without the values of Secrets.
func shown(u *unstructured.Unstructured, mask mask) (string, error) {
	if u == nil {
		return "", nil
	}
	u = u.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "labels", partOfLabel)
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", digestAnnotation)
	const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", lastApplied) // repeats the object, secrets and all
	for _, field := range []string{"labels", "annotations"} {
		if m, _, _ := unstructured.NestedMap(u.Object, "metadata", field); len(m) == 0 {
			unstructured.RemoveNestedField(u.Object, "metadata", field)
		}
	}
	if u.GetKind() == "Secret" && u.GroupVersionKind().Group == "" {
		mask.hide(u.Object, "data")
		mask.hide(u.Object, "stringData")
	}
	text, err := yaml.Marshal(u.Object)
	return string(text), err
}

// mask replaces secret values. Its key is random and forgotten with it: equal
// values look equal within one diff, and cannot be guessed from what is shown.
type mask struct{ key []byte }

func newMask() (mask, error) {
	m := mask{key: make([]byte, 32)}
	_, err := rand.Read(m.key)
	return m, err
}

func (m mask) hide(o map[string]any, field string) {
	values, ok := o[field].(map[string]any)
	if !ok {
		return
	}
	for key, value := range values {
		h := hmac.New(sha256.New, m.key)
		fmt.Fprintf(h, "%s", value)
		values[key] = fmt.Sprintf("*** (masked %s)", hex.EncodeToString(h.Sum(nil)[:4]))
	}
}
