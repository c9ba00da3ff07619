// SPDX-License-Identifier: Apache-2.0

// Package systemd owns the texts of the agent's units. The Debian package ships
// them and `edgeagent service install` writes the same ones, so that there is
// one truth about how the agent is locked in. It never talks to systemd.
package systemd

import _ "embed"

// Binary is where the units expect the agent. An installation elsewhere puts
// its own path in all places.
const Binary = "/usr/bin/edgeagent"

// Service is edgeagent.service.
//
//go:embed edgeagent.service
var Service string

// Socket is edgeagent.socket.
//
//go:embed edgeagent.socket
var Socket string

// Sysusers is what systemd-sysusers makes the socket's group from.
//
//go:embed edgeagent.conf
var Sysusers string
