// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxSocketPath is what fits into a sockaddr_un with its closing zero byte.
const maxSocketPath = 107

// validator gathers problems and puts each on the line of its field.
type validator struct {
	c        Config
	problems Problems
}

func (v *validator) add(field, message, remedy string) {
	at := v.c.at(field)
	v.problems = append(v.problems, Problem{File: at.file, Line: at.line, Field: field, Message: message, Remedy: remedy})
}

// unsupported refuses a field that the format has and this version does not
// act upon: accepting it in silence would promise something that never happens.
func (v *validator) unsupported(set bool, field, instead string) {
	if set {
		v.add(field, "is not supported by this version", instead)
	}
}

func (v *validator) oneOf(field, value string, words ...string) {
	if !slices.Contains(words, value) {
		v.add(field, fmt.Sprintf("%q is not known", value), "write one of "+strings.Join(words, ", "))
	}
}

func (v *validator) between(field string, value, low, high int) {
	if value < low || value > high {
		v.add(field, fmt.Sprintf("%d is out of range", value), fmt.Sprintf("write a number from %d to %d", low, high))
	}
}

// Validate says everything that is wrong with the configuration, the files
// that it names included. Its error is Problems.
func (c Config) Validate() error {
	v := &validator{c: c}
	if c.APIVersion != gitops.APIVersion {
		v.add("apiVersion", fmt.Sprintf("%q is not the version of this file", c.APIVersion), "write apiVersion: "+gitops.APIVersion)
	}
	if c.Kind != Kind {
		v.add("kind", fmt.Sprintf("%q is not the kind of this file", c.Kind), "write kind: "+Kind)
	}
	v.node(c.Node)
	v.places(c)
	v.between("cluster.concurrency", c.Cluster.Concurrency, 1, 64)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.unsupported(c.Cluster.HA, "cluster.ha", "remove it and run the agent on one server node of the cluster")
	v.unsupported(c.Metrics.Listen != "", "metrics.listen", "remove it")

	first := map[string]int{}
	for i, s := range c.Sources {
		v.source(i, s)
		if j, twice := first[s.Name]; twice && s.Name != "" {
			a, b := c.at(fmt.Sprintf("sources[%d].name", j)), fmt.Sprintf("sources[%d].name", i)
			v.add(b, fmt.Sprintf("source %q is already in %s:%d", s.Name, a.file, a.line), "rename or remove one of the two")
			continue
		}
		first[s.Name] = i
	}
	return v.problems.sorted(c.files).err()
}

var (
	nodeName   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)
	labelKey   = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
	variable   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (v *validator) node(n Node) {
	if !nodeName.MatchString(n.Name) || strings.Contains(n.Name, "..") {
		v.add("node.name", fmt.Sprintf("%q is not a node name", n.Name), "set node.name to lower-case letters, digits, dots and dashes")
	}
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		if !labelKey.MatchString(key) || !labelValue.MatchString(n.Labels[key]) {
			// Anything else could never be matched by the targets of a bundle.
			v.add("node.labels."+key, "is not a Kubernetes label", "use up to 63 letters, digits, dots, dashes and underscores")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.Variables)) {
		if !variable.MatchString(key) {
			v.add("node.variables."+key, "cannot be the name of a variable", "use letters, digits and underscores, and begin with a letter")
		}
	}
}

func (v *validator) places(c Config) {
	for field, path := range map[string]string{
		"stateDir": c.StateDir, "socket": c.Socket, "cluster.kubeconfig": c.Cluster.Kubeconfig,
	} {
		if !filepath.IsAbs(path) {
			v.add(field, fmt.Sprintf("%q is not an absolute path", path), "begin it with a slash")
		}
	}
	if len(c.Socket) > maxSocketPath {
		v.add("socket", fmt.Sprintf("has %d bytes, and the kernel takes %d", len(c.Socket), maxSocketPath), "choose a shorter path, such as "+DefaultSocket)
	}
}

// Warnings are what is legal and still worth a person's eye. They repeat for as
// long as their cause is there.
func (c Config) Warnings() Problems {
	v := &validator{c: c}
	if message, _ := unreadable(c.Cluster.Kubeconfig); message != "" {
		v.add("cluster.kubeconfig", c.Cluster.Kubeconfig+" "+message, "nothing is applied until k3s has written it")
	}
	if len(c.Sources) == 0 {
		v.add("sources", "there are none", "the agent waits until a source is added here or in config.d")
	}
	for i, s := range c.Sources {
		field := fmt.Sprintf("sources[%d].", i)
		if s.Trust.Mode == TrustNone {
			v.add(field+"trust.mode", "nothing is verified: whoever can write to the repository or to the link owns this cluster", "sign the commits and set mode: history")
		} else if s.Trust.Introduction == FirstSeen {
			v.add(field+"trust.introduction", "the first head that is verified will be pinned", "write the commit at which trust begins")
		}
		if s.Insecure && s.Trust.Mode != TrustNone {
			v.add(field+"insecure", "links that are neither encrypted nor authenticated are allowed", "use https or ssh")
		}
	}
	return v.problems.sorted(c.files)
}
