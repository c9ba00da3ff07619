// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// clockTrouble is what a person should know of the node's clock, "" for nothing.
func clockTrouble(c gitops.ClockStatus) string {
	floor := c.Floor.UTC().Format(time.RFC3339)
	switch c.State {
	case gitops.ClockBehind:
		return "behind " + floor + ", which has certainly passed: keys are judged at that time; set the clock"
	case gitops.ClockAhead:
		return "more than ten years ahead of " + floor + ": nothing new is let through; set the clock"
	case gitops.ClockUnsynchronised:
		return "not synchronised: ages are not counted"
	}
	return ""
}

// trustTrouble is what a person should know of the trust in a source.
func (p page) trustTrouble(s gitops.SourceStatus) []cell {
	var rows []cell
	if c := s.Condition(gitops.ConditionTrusted); c.Status == "False" {
		rows = append(rows, cell{fmt.Sprintf("%s: %s; the cluster is left as it is until a good revision comes", c.Reason, c.Message), red})
	}
	if c := s.Condition(gitops.ConditionStale); c.Status == "True" {
		rows = append(rows, cell{fmt.Sprintf("%s: %s", c.Reason, c.Message), yellow})
	}
	w := s.Waiver
	switch {
	case w == nil:
	case w.Used.IsZero():
		if s.Verified == nil || s.Verified.Revision.Hash() == w.From {
			rows = append(rows, cell{fmt.Sprintf("may follow %s although it does not descend: %s said so %s (%s)", w.To.Short(), w.By, p.ago(w.At), w.Reason), yellow})
		}
	case s.Verified != nil && s.Verified.Revision.Hash() == w.To:
		rows = append(rows, cell{fmt.Sprintf("came to %s, which does not descend from what was before, by the word of %s %s (%s)", w.To.Short(), w.By, p.ago(w.Used), w.Reason), yellow})
	}
	return rows
}
