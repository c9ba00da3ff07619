// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"slices"
	"strings"
)

// marks is what annotations on an object ask of us, in the words of the tools
// that people come from. Where two of them differ, the more careful one wins:
// never delete, never overwrite.
type marks struct {
	local      bool // never sent to the cluster
	ignore     bool // left alone, whatever it looks like
	createOnly bool // never overwritten
	merge      bool // other managers' fields are never folded into ours
	noDrift    bool // not repaired
	noHealth   bool // does not count for health
	keep       bool // never deleted
	confirm    bool // deleted only after a person agreed
	force      bool // recreated where a field cannot be changed
}

// markRules names every annotation that is honoured. A value "" stands for
// any; argocd's sync-options hold several values in one.
var markRules = []struct {
	key, value string
	set        func(*marks)
}{
	{"config.kubernetes.io/local-config", "true", func(m *marks) { m.local = true }},
	{"argocd.argoproj.io/hook", "Skip", func(m *marks) { m.local = true }},
	{"kustomize.toolkit.fluxcd.io/reconcile", "disabled", func(m *marks) { m.ignore, m.keep = true, true }},
	{"configmanagement.gke.io/managed", "disabled", func(m *marks) { m.ignore, m.keep = true, true }},
	{"kustomize.toolkit.fluxcd.io/ssa", "Ignore", func(m *marks) { m.ignore, m.keep = true, true }},
	{"kustomize.toolkit.fluxcd.io/ssa", "IfNotPresent", func(m *marks) { m.createOnly = true }},
	{"kustomize.toolkit.fluxcd.io/ssa", "Merge", func(m *marks) { m.merge = true }},
	{"kustomize.toolkit.fluxcd.io/force", "enabled", func(m *marks) { m.force = true }},
	{"kustomize.toolkit.fluxcd.io/prune", "disabled", func(m *marks) { m.keep = true }},
	{"helm.toolkit.fluxcd.io/driftDetection", "disabled", func(m *marks) { m.noDrift = true }},
	{"helm.sh/resource-policy", "keep", func(m *marks) { m.keep = true }},
	{"client.lifecycle.config.k8s.io/mutation", "ignore", func(m *marks) { m.createOnly = true }},
	{"client.lifecycle.config.k8s.io/deletion", "detach", func(m *marks) { m.keep = true }},
	{"cli-utils.sigs.k8s.io/on-remove", "keep", func(m *marks) { m.keep = true }},
	{"kapp.k14s.io/update-strategy", "skip", func(m *marks) { m.createOnly = true }},
	{"kapp.k14s.io/update-strategy", "fallback-on-replace", func(m *marks) { m.force = true }},
	{"kapp.k14s.io/delete-strategy", "orphan", func(m *marks) { m.keep = true }},
	{"argocd.argoproj.io/sync-options", "Prune=false", func(m *marks) { m.keep = true }},
	{"argocd.argoproj.io/sync-options", "Delete=false", func(m *marks) { m.keep = true }},
	{"argocd.argoproj.io/sync-options", "Prune=confirm", func(m *marks) { m.confirm = true }},
	{"argocd.argoproj.io/sync-options", "Delete=confirm", func(m *marks) { m.confirm = true }},
	{"argocd.argoproj.io/ignore-healthcheck", "true", func(m *marks) { m.noHealth = true }},
}

// deletionApproved is how a person agrees to a deletion that has to be confirmed.
const deletionApproved = "argocd.argoproj.io/deletion-approved"

// marksOf reads the annotations of an object.
func marksOf(annotations map[string]string) marks {
	var m marks
	if len(annotations) == 0 {
		return m
	}
	for _, rule := range markRules {
		value, ok := annotations[rule.key]
		if ok && slices.Contains(splitOptions(value), rule.value) {
			rule.set(&m)
		}
	}
	if annotations[deletionApproved] != "" {
		m.confirm = false
	}
	if m.createOnly || m.keep {
		m.force = false // recreating it would delete and overwrite it
	}
	return m
}

func splitOptions(value string) []string {
	parts := strings.Split(value, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// with adds what a person put on the live object. Only marks that nobody
// writes into Git count there: an annotation that we applied ourselves would
// otherwise keep us from ever applying its removal.
func (m marks) with(live marks) marks {
	m.ignore = m.ignore || live.ignore
	m.noDrift = m.noDrift || live.noDrift
	return m
}
