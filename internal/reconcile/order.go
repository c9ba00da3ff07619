// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// dependsOn is an annotation that lists objects to come first:
// "group/Kind/name" or "group/namespaces/ns/Kind/name", comma-separated, the
// group empty for the core group.
const dependsOn = "config.kubernetes.io/depends-on"

// The stages of a bundle. What defines a kind, a place or a right comes before
// what needs it; webhooks come last, because they may depend on all the rest.
const (
	stageDefinitions = iota // CRDs and Namespaces, of all bundles, before everything else
	stageClasses
	stageRights
	stageLimits
	stageData
	stageNetwork
	stageWorkloads
	stageRouting
	stageCustom
	stageWebhooks
)

var stages = map[string]int{
	"Namespace": stageDefinitions, "CustomResourceDefinition": stageDefinitions,
	"StorageClass": stageClasses, "PriorityClass": stageClasses, "IngressClass": stageClasses, "RuntimeClass": stageClasses,
	"CSIDriver": stageClasses, "DeviceClass": stageClasses, "VolumeSnapshotClass": stageClasses,
	"ServiceAccount": stageRights, "ClusterRole": stageRights, "ClusterRoleBinding": stageRights, "Role": stageRights, "RoleBinding": stageRights,
	"ResourceQuota": stageLimits, "LimitRange": stageLimits, "NetworkPolicy": stageLimits, "PodDisruptionBudget": stageLimits,
	"ConfigMap": stageData, "Secret": stageData, "PersistentVolume": stageData, "PersistentVolumeClaim": stageData,
	"Service": stageNetwork, "Endpoints": stageNetwork, "EndpointSlice": stageNetwork,
	"Pod": stageWorkloads, "ReplicationController": stageWorkloads, "ReplicaSet": stageWorkloads, "Deployment": stageWorkloads,
	"StatefulSet": stageWorkloads, "DaemonSet": stageWorkloads, "Job": stageWorkloads, "CronJob": stageWorkloads,
	"Ingress": stageRouting, "HorizontalPodAutoscaler": stageRouting, "APIService": stageRouting,
	"ValidatingWebhookConfiguration": stageWebhooks, "MutatingWebhookConfiguration": stageWebhooks,
	"ValidatingAdmissionPolicy": stageWebhooks, "ValidatingAdmissionPolicyBinding": stageWebhooks,
	"MutatingAdmissionPolicy": stageWebhooks, "MutatingAdmissionPolicyBinding": stageWebhooks,
}

// stageOf is the stage of a kind; kinds of CustomResourceDefinitions come after
// the built-in ones.
func stageOf(ref gitops.ObjectRef) int {
	builtIn := ref.Group == "" || !strings.Contains(ref.Group, ".") || strings.HasSuffix(ref.Group, ".k8s.io")
	if stage, ok := stages[ref.Kind]; ok && builtIn {
		return stage
	}
	return stageCustom
}

// position is where an object stands inside its bundle.
type position struct{ wave, stage, level int }

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.wave, o.wave), cmp.Compare(p.stage, o.stage), cmp.Compare(p.level, o.level))
}

// member is an object to be written, as ordering sees it.
type member struct {
	manifest gitops.Manifest
	needs    []gitops.ObjectKey // from the depends-on annotation
}

// step is a group of objects that are written side by side.
type step struct {
	bundle  string
	at      position
	members []gitops.ObjectKey
	// after must be over first; needs must moreover have succeeded and, where
	// awaited, be healthy.
	after, needs []*step
	awaited      bool
}

// schedule groups objects into steps and links them: definitions first, then
// each bundle by wave and stage, after the bundles and objects that it depends
// on. Bundles that do not depend on each other run side by side.
func schedule(bundles []gitops.Bundle, members []member) ([]*step, error) {
	at, err := positions(members)
	if err != nil {
		return nil, err
	}
	steps := group(members, at)
	byBundle := map[string][]*step{}
	var definitions []*step
	for _, s := range steps {
		if s.at.stage == stageDefinitions && s.at.wave == 0 {
			definitions = append(definitions, s)
			s.awaited = true
			continue
		}
		byBundle[s.bundle] = append(byBundle[s.bundle], s)
	}
	for _, chain := range byBundle {
		for i, s := range chain {
			s.after = append(s.after, definitions...)
			link(s, chain[:i], bundleOf(bundles, s.bundle))
		}
	}
	linkBundles(bundles, byBundle)
	linkObjects(steps, members)
	return sorted(steps)
}

// link puts s after its predecessors in the bundle. A later wave needs the
// earlier ones; a later stage only follows, so that one bad object does not
// stop the rest.
func link(s *step, before []*step, b gitops.Bundle) {
	for _, p := range before {
		if s.at.wave == p.at.wave {
			s.after = append(s.after, p)
			continue
		}
		s.needs = append(s.needs, p)
		p.awaited = p.awaited || b.Wait
	}
}

// linkBundles puts a bundle after those that it depends on. A bundle with
// nothing to write passes its own dependencies on.
func linkBundles(bundles []gitops.Bundle, byBundle map[string][]*step) {
	var ends func(name string, seen map[string]bool) []*step
	ends = func(name string, seen map[string]bool) []*step {
		if seen[name] {
			return nil
		}
		seen[name] = true
		b := bundleOf(bundles, name)
		if chain := byBundle[name]; len(chain) > 0 {
			for _, s := range chain {
				s.awaited = s.awaited || b.Wait
			}
			return chain
		}
		var out []*step
		for _, dep := range b.DependsOn {
			out = append(out, ends(dep, seen)...)
		}
		return out
	}
	for _, b := range bundles {
		if len(byBundle[b.Name]) == 0 {
			continue
		}
		for _, dep := range b.DependsOn {
			for _, s := range byBundle[b.Name] {
				s.needs = append(s.needs, ends(dep, map[string]bool{b.Name: true})...)
			}
		}
	}
}

// linkObjects makes a step need the steps that its members' depends-on name.
func linkObjects(steps []*step, members []member) {
	home := map[gitops.ObjectKey]*step{}
	for _, s := range steps {
		for _, key := range s.members {
			home[key] = s
		}
	}
	for _, m := range members {
		s := home[m.manifest.Ref.Key()]
		for _, key := range m.needs {
			if dep := home[key]; dep != nil && dep != s {
				s.needs = append(s.needs, dep)
				dep.awaited = true
			}
		}
	}
}

func bundleOf(bundles []gitops.Bundle, name string) gitops.Bundle {
	for _, b := range bundles {
		if b.Name == name {
			return b
		}
	}
	return gitops.Bundle{Name: name}
}

// positions places every object by its wave and stage, and behind what it
// depends on in the same bundle.
func positions(members []member) (map[gitops.ObjectKey]position, error) {
	byKey := map[gitops.ObjectKey]member{}
	for _, m := range members {
		byKey[m.manifest.Ref.Key()] = m
	}
	at := map[gitops.ObjectKey]position{}
	under := map[gitops.ObjectKey]bool{}
	var place func(m member) (position, error)
	place = func(m member) (position, error) {
		key := m.manifest.Ref.Key()
		if p, ok := at[key]; ok {
			return p, nil
		}
		if under[key] {
			return position{}, cycle(m.manifest.Ref)
		}
		under[key] = true
		p := position{wave: m.manifest.Wave, stage: stageOf(m.manifest.Ref)}
		for _, need := range m.needs {
			dep, ok := byKey[need]
			if !ok || dep.manifest.Bundle != m.manifest.Bundle {
				continue
			}
			before, err := place(dep)
			if err != nil {
				return p, err
			}
			if before.level++; before.compare(p) > 0 {
				p = before
			}
		}
		at[key] = p
		return p, nil
	}
	for _, m := range members {
		if _, err := place(m); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// group collects objects of one bundle and position into steps, in order.
func group(members []member, at map[gitops.ObjectKey]position) []*step {
	type place struct {
		bundle string
		position
	}
	byPlace := map[place]*step{}
	var steps []*step
	for _, m := range members {
		key := m.manifest.Ref.Key()
		p := place{m.manifest.Bundle, at[key]}
		if byPlace[p] == nil {
			byPlace[p] = &step{bundle: p.bundle, at: p.position}
			steps = append(steps, byPlace[p])
		}
		s := byPlace[p]
		s.members = append(s.members, key)
		// A hook is there to have run before the next wave begins.
		s.awaited = s.awaited || m.manifest.Hook != nil
	}
	slices.SortStableFunc(steps, func(a, b *step) int { return a.at.compare(b.at) })
	return steps
}

// sorted lists steps so that each comes after what it waits for.
func sorted(steps []*step) ([]*step, error) {
	var out []*step
	state := map[*step]int{} // 1 = being visited, 2 = listed
	var visit func(s *step) error
	visit = func(s *step) error {
		switch state[s] {
		case 1:
			return &gitops.Error{
				Reason:  gitops.DependencyCycle,
				Message: fmt.Sprintf("bundle %s waits for itself: its dependsOn and %s annotations form a circle", s.bundle, dependsOn),
				Remedy:  "remove one of the dependencies",
			}
		case 2:
			return nil
		}
		state[s] = 1
		for _, before := range slices.Concat(s.after, s.needs) {
			if err := visit(before); err != nil {
				return err
			}
		}
		state[s] = 2
		out = append(out, s)
		return nil
	}
	for _, s := range steps {
		if err := visit(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func cycle(ref gitops.ObjectRef) error {
	return &gitops.Error{
		Reason: gitops.DependencyCycle, Object: &ref,
		Message: fmt.Sprintf("%s depends on itself, through the %s annotations of others", ref, dependsOn),
		Remedy:  "remove one of the annotations",
	}
}

// parseDependsOn reads the depends-on annotation.
func parseDependsOn(ref gitops.ObjectRef, value string) ([]gitops.ObjectKey, error) {
	var out []gitops.ObjectKey
	for _, entry := range strings.Split(value, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		parts := strings.Split(entry, "/")
		switch {
		case len(parts) == 3:
			out = append(out, gitops.ObjectKey{Group: parts[0], Kind: parts[1], Name: parts[2]})
		case len(parts) == 5 && parts[1] == "namespaces":
			out = append(out, gitops.ObjectKey{Group: parts[0], Namespace: parts[2], Kind: parts[3], Name: parts[4]})
		default:
			return nil, &gitops.Error{
				Reason: gitops.InvalidManifest, Object: &ref,
				Message: fmt.Sprintf("%s: cannot read %q in the annotation %s", ref, entry, dependsOn),
				Remedy:  "write group/Kind/name, or group/namespaces/NAMESPACE/Kind/name",
			}
		}
	}
	return out, nil
}
