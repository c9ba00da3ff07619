// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Node is what bundles are chosen and filled in by.
type Node struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
	Variables map[string]string `json:"variables,omitempty"`
}

// targets chooses nodes by their labels, in the words of a Kubernetes label
// selector. Absent or empty, every node is chosen.
type targets struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []expression      `json:"matchExpressions"`
}

type expression struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

func (t *targets) check() error {
	if t == nil {
		return nil
	}
	for _, e := range t.MatchExpressions {
		switch {
		case e.Key == "":
			return fmt.Errorf("an expression has no key")
		case (e.Operator == "In" || e.Operator == "NotIn") && len(e.Values) == 0:
			return fmt.Errorf("%s %s needs values", e.Key, e.Operator)
		case (e.Operator == "Exists" || e.Operator == "DoesNotExist") && len(e.Values) > 0:
			return fmt.Errorf("%s %s takes no values", e.Key, e.Operator)
		case !slices.Contains([]string{"In", "NotIn", "Exists", "DoesNotExist"}, e.Operator):
			return fmt.Errorf("operator %q is none of In, NotIn, Exists and DoesNotExist", e.Operator)
		}
	}
	return nil
}

// match reports whether a node with these labels is chosen.
func (t *targets) match(labels map[string]string) bool {
	if t == nil {
		return true
	}
	for key, want := range t.MatchLabels {
		if have, ok := labels[key]; !ok || have != want {
			return false
		}
	}
	for _, e := range t.MatchExpressions {
		have, ok := labels[e.Key]
		listed := ok && slices.Contains(e.Values, have)
		matches := map[string]bool{"In": listed, "NotIn": !listed, "Exists": ok, "DoesNotExist": !ok}
		if !matches[e.Operator] {
			return false
		}
	}
	return true
}

var reference = regexp.MustCompile(`\$\{([^}]*)\}`)

// sourcePath expands ${node.name} and ${node.labels.X} in a source's path.
// What is filled in must be one path segment: a node's name must not be able
// to choose another directory.
func sourcePath(p string, node Node) (string, error) {
	var problem error
	expanded := reference.ReplaceAllStringFunc(p, func(ref string) string {
		word := ref[2 : len(ref)-1]
		value, ok := node.Name, word == "node.name"
		if label, isLabel := strings.CutPrefix(word, "node.labels."); isLabel {
			value, ok = node.Labels[label]
		}
		switch {
		case !ok || value == "":
			problem = failure(gitops.UndefinedVar, "set it in the node's configuration",
				"expand the source's path %q: %s is not set", p, ref)
		case value == "." || value == ".." || strings.ContainsAny(value, "/\\\x00"):
			problem = failure(gitops.PathOutside, "use a value that is one name",
				"expand the source's path %q: %s is %q", p, ref, value)
		}
		return value
	})
	if problem != nil {
		return "", problem
	}
	return join("the source's path", ".", expanded)
}

// ordered checks the dependencies among all bundles of the file, and returns
// those that are targeted at the node, dependencies first, then by name. A
// dependency that is not targeted here is dropped: there is nothing to wait for.
func ordered(file string, all []*bundle, labels map[string]string) ([]*bundle, error) {
	byName := map[string]*bundle{}
	for _, b := range all {
		if byName[b.Name] != nil {
			return nil, failure(gitops.InvalidBundle, "rename one", "read %s: two bundles are named %s", file, b.Name)
		}
		byName[b.Name] = b
	}
	for _, b := range all {
		for _, dep := range b.DependsOn {
			if byName[dep] == nil {
				return nil, failure(gitops.InvalidBundle, "declare it, or drop the dependency",
					"read %s: bundle %s depends on %s, which is not declared", file, b.Name, dep)
			}
		}
	}
	order := dependencyOrder(byName)
	if order == nil {
		return nil, failure(gitops.DependencyCycle, "drop one of the dependencies",
			"read %s: the bundles %s depend on each other", file, strings.Join(cycle(byName), " → "))
	}
	var out []*bundle
	for _, name := range order {
		b := byName[name]
		if !b.targets.match(labels) {
			continue
		}
		b.DependsOn = slices.DeleteFunc(slices.Clone(b.DependsOn), func(dep string) bool {
			return !byName[dep].targets.match(labels)
		})
		slices.Sort(b.DependsOn)
		b.DependsOn = slices.Compact(b.DependsOn)
		out = append(out, b)
	}
	return out, nil
}

// dependencyOrder sorts the bundles, nil when that cannot be done.
func dependencyOrder(byName map[string]*bundle) []string {
	var order []string
	done := map[string]bool{}
	for len(order) < len(byName) {
		var ready []string
		for name, b := range byName {
			waits := slices.ContainsFunc(b.DependsOn, func(dep string) bool { return !done[dep] })
			if !done[name] && !waits {
				ready = append(ready, name)
			}
		}
		if len(ready) == 0 {
			return nil
		}
		slices.Sort(ready)
		for _, name := range ready {
			done[name] = true
		}
		order = append(order, ready...)
	}
	return order
}

// cycle names one cycle: it follows dependencies that lead into one until a
// bundle comes up again.
func cycle(byName map[string]*bundle) []string {
	stuck := map[string]*bundle{}
	for name, b := range byName {
		stuck[name] = b
	}
	for removed := true; removed; {
		removed = false
		for name, b := range stuck {
			if !slices.ContainsFunc(b.DependsOn, func(dep string) bool { return stuck[dep] != nil }) {
				delete(stuck, name)
				removed = true
			}
		}
	}
	names := make([]string, 0, len(stuck))
	for name := range stuck {
		names = append(names, name)
	}
	slices.Sort(names)
	var trail []string
	for at := names[0]; ; {
		if i := slices.Index(trail, at); i >= 0 {
			return append(trail[i:], at)
		}
		trail = append(trail, at)
		next := slices.IndexFunc(stuck[at].DependsOn, func(dep string) bool { return stuck[dep] != nil })
		at = stuck[at].DependsOn[next]
	}
}
