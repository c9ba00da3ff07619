// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/edgeagent/edgeagent/internal/verify"
)

// What the roles are called in a trust file.
const (
	roleRoot      = "root"
	roleDeveloper = "developer"
	roleMerger    = "merger"
	roleHeartbeat = "heartbeat"
)

// give gives a principal a role.
func (d *Draft) give(principal, role string) {
	list := ensure(ensure(ensure(d.root(), "roles", yaml.MappingNode), role, yaml.MappingNode), "principals", yaml.SequenceNode)
	if len(list.Content) == 0 {
		list.Style = yaml.FlowStyle
	}
	if add(list, principal) {
		d.note("%s has the role %s", principal, role)
	}
	if role == roleHeartbeat {
		d.heed()
	}
}

// heed has the heartbeats of the role of that name count. The role alone lets
// nobody do anything, and nodes would not say why they hear nothing.
func (d *Draft) heed() {
	by := ensure(ensure(d.root(), "heartbeat", yaml.MappingNode), "by", yaml.SequenceNode)
	if len(by.Content) == 0 {
		by.Style = yaml.FlowStyle
	}
	switch {
	case !add(by, roleHeartbeat):
	case d.before.Heartbeat == nil:
		d.note("heartbeats count by the role %s, and by developers and roots no more", roleHeartbeat)
	default:
		d.note("heartbeats count by the role %s, too", roleHeartbeat)
	}
}

// idle reports whether a role lets nobody do anything: one that was misspelt, or
// that the file is still to name.
func idle(f verify.TrustFile, role string) bool {
	named := slices.Contains([]string{roleRoot, roleDeveloper, roleMerger}, role) || f.Heartbeat != nil && slices.Contains(f.Heartbeat.By, role)
	for _, releasers := range f.Refs {
		named = named || slices.Contains(releasers, role)
	}
	return !named && !slices.ContainsFunc(f.Protected, func(p verify.Protection) bool { return slices.Contains(p.By, role) })
}
