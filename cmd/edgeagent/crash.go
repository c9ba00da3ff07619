// SPDX-License-Identifier: Apache-2.0

//go:build !crashpoint

package main

import "github.com/edgeagent/edgeagent/internal/agent"

// crashing is the journal itself. Tests build with the tag crashpoint, where
// the process kills itself around the journal's moves.
func crashing(j agent.Journal) agent.Journal { return j }
