// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// LiveObject is what a pure test says of an object in the cluster.
type LiveObject struct {
	UID, PartOf, Digest, Fields, Owner string
	Terminating, Kubectl, Foreign      bool
	Annotations                        map[string]string
}

// PlanWith is the pure part of Plan.
func PlanWith(req gitops.PlanRequest, objects map[gitops.ObjectKey]LiveObject) (gitops.Plan, error) {
	seen := observation{}
	for key, o := range objects {
		seen[key] = live{
			uid: o.UID, partOf: o.PartOf, digest: o.Digest, fields: o.Fields, owner: o.Owner,
			terminating: o.Terminating, kubectl: o.Kubectl, foreign: o.Foreign, marks: marksOf(o.Annotations),
		}
	}
	return makePlan(req, seen)
}

// Steps is the order in which a set is written: the names of the members of
// each step, and for each step what it comes after.
func Steps(want gitops.Manifests) (members [][]string, after [][]int, err error) {
	var all []member
	for _, m := range want.Objects {
		annotations, err := annotationsOf(m)
		if err != nil {
			return nil, nil, err
		}
		needs, err := parseDependsOn(m.Ref, annotations[dependsOn])
		if err != nil {
			return nil, nil, err
		}
		all = append(all, member{manifest: m, needs: needs})
	}
	steps, err := schedule(want.Bundles, all)
	index := map[*step]int{}
	for i, s := range steps {
		index[s] = i
		var names []string
		for _, key := range s.members {
			names = append(names, key.Name)
		}
		var before []int
		for _, dep := range append(s.after, s.needs...) {
			before = append(before, index[dep])
		}
		members, after = append(members, names), append(after, before)
	}
	return members, after, err
}

// Claims is what an object holds exclusively.
func Claims(m gitops.Manifest) ([]string, error) {
	u, err := decode(m)
	if err != nil {
		return nil, err
	}
	return claims(u), nil
}

// IsImageName exposes how pull failures are told apart.
var IsImageName = isImageName

// DropConnections ends every watch, as a restart of the API server does.
func (c *Cluster) DropConnections() {
	w := c.watching()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, streams := range w.streams {
		for gvr, f := range streams {
			f.stop()
			ctx, stop := context.WithCancel(w.ctx)
			f.lost()
			streams[gvr] = &following{stream: f.stream, stop: stop}
			go f.run(ctx)
		}
	}
}

// Watched lists the kinds that are watched for a source.
func (c *Cluster) Watched(source string) []string {
	w := c.watching()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for gvr := range w.streams[source] {
		out = append(out, gvr.Resource)
	}
	return out
}

// Diagnose is what a pod's status says about the object it belongs to.
func Diagnose(pod corev1.Pod, h *gitops.ObjectHealth) { diagnose(pod, nil).apply(h, pod.Name) }

// DiagnoseAll is what each of several looks in one wait says.
func DiagnoseAll(looks []corev1.Pod) []gitops.ObjectHealth {
	seen := newRestarts()
	out := make([]gitops.ObjectHealth, len(looks))
	for i, pod := range looks {
		diagnose(pod, seen).apply(&out[i], pod.Name)
	}
	return out
}

// Summary is one error for many.
var Summary = summary

// Unhealthy is the error for objects that block.
var Unhealthy = unhealthy

// TextOf is what is shown of an answer of the API server.
var TextOf = textOf

// TakeAfterWrote feeds a stream an answer to a write of ours, and then an event
// of the watch, and reports which of them it believes and whether it wakes.
func TakeAfterWrote(wrote, event string, deleted bool) (believed string, woken bool) {
	s := &stream{objects: map[placed]live{}, current: map[placed]string{}, synced: true, moved: func() { woken = true }}
	at := placed{"", "a"}
	s.wrote(at, live{version: wrote, digest: wrote})
	s.take(deleted, metav1.ObjectMeta{Name: "a", ResourceVersion: event, Annotations: map[string]string{digestAnnotation: event}})
	return s.objects[at].digest, woken
}

// Patience exposes how long a wait goes on.
type Patience struct{ p patience }

// NewPatience begins a wait.
func NewPatience(now time.Time, timeout time.Duration) *Patience {
	return &Patience{newPatience(now, timeout)}
}

// Looked notes a look.
func (p *Patience) Looked(began, ended time.Time, answered bool) { p.p.looked(began, ended, answered) }

// End is when to give up.
func (p *Patience) End() time.Time { return p.p.end() }
