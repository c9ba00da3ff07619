// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// status prints a status for people: the node, one line for each source, then
// the sections that have something to say.
func (p page) status(w io.Writer, s gitops.Status) error {
	if err := p.node(w, s); err != nil {
		return err
	}
	if len(s.Sources) == 0 {
		_, err := fmt.Fprintln(w, "\nThere are no sources. Add one to the configuration: edgeagent config show")
		return err
	}
	var sources, bundles, problems, links [][]cell
	for _, source := range s.Sources {
		sources = append(sources, p.sourceRow(source))
		bundles = append(bundles, p.bundleRows(source)...)
		problems = append(problems, p.problemRows(source)...)
		links = append(links, p.linkRow(source))
	}
	for _, section := range []struct {
		heading []string
		rows    [][]cell
	}{
		{[]string{"SOURCE", "READY", "PHASE", "RUNNING", "SINCE", "WHY"}, sources},
		{[]string{"BUNDLE", "HEALTH", "OBJECTS"}, bundles},
		{[]string{"PROBLEM", "WHAT"}, problems},
		{linkHeading, links},
	} {
		if len(section.rows) == 0 {
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := p.table(w, section.heading, section.rows); err != nil {
			return err
		}
	}
	return nil
}

func (p page) node(w io.Writer, s gitops.Status) error {
	labels := make([]string, 0, len(s.Node.Labels))
	for _, key := range slices.Sorted(maps.Keys(s.Node.Labels)) {
		labels = append(labels, key+"="+s.Node.Labels[key])
	}
	name := s.Node.Name
	if len(labels) > 0 {
		name += " (" + strings.Join(labels, ", ") + ")"
	}
	cluster := s.Cluster.Version
	if !s.Cluster.Reachable {
		cluster = p.paint(red, strings.TrimSuffix("not reachable: "+oneLine(s.Cluster.Message), ": "))
	}
	if _, err := fmt.Fprintf(w, "node     %s\ncluster  %s\nagent    %s\n", name, cluster, s.Version); err != nil {
		return err
	}
	if why := clockTrouble(s.Clock); why != "" {
		if _, err := fmt.Fprintln(w, p.paint(yellow, "clock    "+why)); err != nil {
			return err
		}
	}
	for _, problem := range s.Problems {
		if _, err := fmt.Fprintln(w, p.paint(red, "problem  "+oneLine(problem))); err != nil {
			return err
		}
	}
	return nil
}

func (p page) sourceRow(s gitops.SourceStatus) []cell {
	ready := s.Condition(gitops.ConditionReady)
	state := cell{"no", red}
	switch {
	case ready.Status == "True":
		state = cell{"yes", green}
	case ready.Status != "False" || s.Condition(gitops.ConditionReconciling).Status == "True":
		state = cell{"not yet", yellow}
	}
	running, since := cell{"nothing", yellow}, ""
	if s.Applied != nil {
		running, since = text(s.Applied.Revision.Short()), age(p.now.Sub(s.Applied.At))
	}
	why := string(ready.Reason) // in full among the problems
	if s.Progress != "" {
		why = s.Progress
	}
	return []cell{text(s.Name), state, text(string(s.Phase)), running, text(since), text(why)}
}

func (p page) bundleRows(s gitops.SourceStatus) [][]cell {
	var rows [][]cell
	for _, b := range s.Bundles {
		objects := fmt.Sprintf("%d of %d current", b.Objects.Current, b.Objects.Total)
		if b.Objects.InProgress > 0 {
			objects += fmt.Sprintf(", %d in progress", b.Objects.InProgress)
		}
		if b.Objects.Failed > 0 {
			objects += fmt.Sprintf(", %d failed", b.Objects.Failed)
		}
		rows = append(rows, []cell{text(s.Name + "/" + b.Name), health(b.Health), text(objects)})
	}
	return rows
}

func health(h gitops.HealthStatus) cell {
	switch h {
	case gitops.Current:
		return cell{string(h), green}
	case gitops.Failed:
		return cell{string(h), red}
	}
	return cell{string(h), yellow}
}

// problemRows is everything that a person may want to act upon, with how.
func (p page) problemRows(s gitops.SourceStatus) [][]cell {
	var rows [][]cell
	say := func(st style, format string, args ...any) {
		rows = append(rows, []cell{text(s.Name), {oneLine(fmt.Sprintf(format, args...)), st}})
	}
	if ready := s.Condition(gitops.ConditionReady); ready.Status == "False" && ready.Message != "" && !toldBelow(s, ready.Reason) {
		say(red, "%s: %s", ready.Reason, ready.Message)
	}
	if r := s.Refused; r != nil {
		at := ""
		if r.Commit != "" && r.Commit != r.Revision.Hash() {
			at = " because of " + r.Commit.Short()
		}
		say(red, "refused %s%s %s, %s: %s", r.Revision.Short(), at, p.ago(r.At), r.Reason, r.Message)
	}
	for _, row := range p.trustTrouble(s) {
		say(row.style, "%s", row.text)
	}
	if f := s.Failed; f != nil {
		say(red, "%s failed %s, %s: %s; it is not tried again until Git moves or: edgeagent retry %s",
			f.Revision.Short(), p.ago(f.Ended), f.Reason, f.Message, s.Name)
	}
	if h := s.Hold; h != nil {
		until := "until a commit newer than " + h.HeldBack.Short()
		if h.Pin {
			until = "for good"
		}
		say(yellow, "held at %s by %s %s, %s; release it with: edgeagent resume %s", h.Revision.Short(), h.By, p.ago(h.At), until, s.Name)
	}
	if u := s.Suspended; u != nil {
		say(yellow, "suspended by %s %s (%s); go on with: edgeagent resume %s", u.By, p.ago(u.At), u.Reason, s.Name)
	}
	for _, o := range s.Problems {
		why := string(o.Status)
		if o.Reason != "" {
			why += ", " + string(o.Reason)
		}
		say(red, "%s is %s: %s", o.Ref, why, o.Message)
	}
	if n := len(s.Pending); n > 0 {
		say(yellow, "%s wait for a confirmation: %s; confirm with: edgeagent sync %s --allow-prune=%d",
			plural(n, "deletion"), some(s.Pending), s.Name, n)
	}
	if n := len(s.Drift.Objects); n > 0 {
		say(yellow, "%s not as in Git: %s; look with: edgeagent diff %s", differ(n), some(s.Drift.Objects), s.Name)
	}
	for _, warning := range s.Warnings {
		say(yellow, "%s", warning)
	}
	return rows
}

// toldBelow reports whether why a source is not ready is told with what it
// comes from.
func toldBelow(s gitops.SourceStatus, why gitops.Reason) bool {
	switch {
	case s.Condition(gitops.ConditionTrusted).Status == "False" && why == s.Condition(gitops.ConditionTrusted).Reason:
		return true
	case s.Refused != nil && why == s.Refused.Reason, s.Failed != nil && why == s.Failed.Reason:
		return true
	case s.Hold != nil && why == gitops.HeldBack, s.Suspended != nil && why == gitops.IsSuspended:
		return true
	}
	return false
}

func differ(n int) string {
	if n == 1 {
		return "1 object is"
	}
	return fmt.Sprintf("%d objects are", n)
}

// some names the first objects of a list.
func some(refs []gitops.ObjectRef) string {
	const shown = 3
	names := make([]string, 0, shown)
	for _, ref := range refs[:min(shown, len(refs))] {
		names = append(names, ref.String())
	}
	if more := len(refs) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}
