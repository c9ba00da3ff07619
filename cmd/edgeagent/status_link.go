// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

var linkHeading = []string{"LINK", "LAST", "NEXT POLL", "POLL", "FETCH", "TODAY", "CLIENT", "URL", "TROUBLE"}

// linkRow is how Git is reached, what that costs, and what is wrong with it.
func (p page) linkRow(s gitops.SourceStatus) []cell {
	link := s.Link
	url := link.URL
	if url == "" {
		url = s.URL
	}
	if link.Mirror {
		url += " (mirror)"
	}
	next := p.in(link.NextPoll)
	if s.Suspended != nil {
		next = "suspended"
	}
	return []cell{text(s.Name), text(p.ago(link.LastSuccess)), text(next), text(bytesOf(link.Poll)), text(bytesOf(link.Fetch)),
		p.today(link), text(link.Client), text(url), p.trouble(s)}
}

// bytesOf is both ways together, "" for none.
func bytesOf(b gitops.LinkBytes) string {
	if b == (gitops.LinkBytes{}) {
		return ""
	}
	return size(b.In + b.Out)
}

// today is what the day has cost, and what it may. The daemon counts a new day
// from its first byte.
func (p page) today(link gitops.LinkStatus) cell {
	var spent int64
	if link.Today.Date == p.now.UTC().Format(time.DateOnly) {
		spent = link.Today.In + link.Today.Out
	}
	switch {
	case link.Budget == 0 && spent == 0:
		return cell{}
	case link.Budget == 0:
		return text(size(spent))
	}
	c := text(size(spent) + " of " + size(link.Budget))
	switch {
	case spent >= link.Budget:
		c.style = red
	case spent >= link.Budget/10*8:
		c.style = yellow
	}
	return c
}

// trouble is why nothing new came. Not all of it is a failure.
func (p page) trouble(s gitops.SourceStatus) cell {
	link := s.Link
	why := func(more string) string {
		line := string(link.Reason) + more
		if link.Message != "" {
			line += ": " + link.Message
		}
		return oneLine(line)
	}
	switch {
	case link.Reason == gitops.BudgetSpent:
		return cell{why(", polls go on " + p.in(link.NextPoll)), yellow}
	case link.Failures > 0:
		return cell{plural(link.Failures, "failure") + " in a row, " + why(""), red}
	case link.Reason != "":
		return cell{why(""), yellow}
	}
	return cell{}
}
