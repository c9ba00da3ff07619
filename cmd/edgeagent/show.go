// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func newShowCommand(a *app) *cobra.Command {
	var manifests bool
	cmd := &cobra.Command{
		Use:   "show SOURCE [REVISION]",
		Short: "one attempt: who signed, what changed, how long each phase took",
		Long: `Print the newest attempt of a source, or the newest one of a revision, which may
be the beginning of its commit. --manifests prints what was rendered instead,
with the data of Secrets hidden.`,
		Example: `  edgeagent show fleet
  edgeagent show fleet 3f2a1bc
  edgeagent show fleet --manifests > rendered.yaml`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			shown, err := a.client().Show(cmd.Context(), args[0], optional(args[1:]), manifests)
			if err != nil {
				return err
			}
			if manifests && a.output != "json" {
				return printManifests(a.stdout, shown.Manifests, isTerminal(a.stdout))
			}
			return present(a, shown, page.show)
		},
	}
	cmd.Flags().BoolVar(&manifests, "manifests", false, "print the rendered manifests as YAML")
	return cmd
}

// printManifests writes YAML that can be read back. On a terminal it is made
// harmless as everything else.
func printManifests(w io.Writer, documents []localapi.Document, terminal bool) error {
	for i, d := range documents {
		body := d.YAML
		if terminal {
			body = escape(body)
		}
		if i > 0 {
			body = "---\n" + body
		}
		if _, err := io.WriteString(w, body); err != nil {
			return err
		}
	}
	return nil
}

// show prints one attempt.
func (p page) show(w io.Writer, shown localapi.Shown) error {
	at := shown.Attempt
	fields := [][2]string{
		{"attempt", fmt.Sprintf("%d of %s", at.ID, at.Source)},
		{"revision", string(at.Revision)},
		{"signer", at.Signer},
		{"cause", string(at.Cause)},
		{"phase", p.paint(phase(at.Phase).style, string(at.Phase))},
		{"started", at.Started.UTC().Format(time.RFC3339) + " (" + p.ago(at.Started) + ")"},
		{"took", p.lasted(at) + phaseTimes(at)},
	}
	if at.Undoes != 0 {
		fields = append(fields, [2]string{"undoes", fmt.Sprintf("attempt %d", at.Undoes)})
	}
	if at.Resumes > 0 {
		fields = append(fields, [2]string{"resumed", plural(at.Resumes, "time")})
	}
	if at.Reason != "" || at.Message != "" {
		fields = append(fields, [2]string{"reason", strings.TrimPrefix(string(at.Reason)+": "+oneLine(at.Message), ": ")})
	}
	fields = append(fields, [2]string{"changes", tally(at.Changes)})
	for _, f := range fields {
		if f[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-9s %s\n", f[0], f[1]); err != nil {
			return err
		}
	}
	var rows [][]cell
	for _, c := range at.Changes {
		why := string(c.Reason)
		if c.Message != "" {
			why = strings.TrimPrefix(why+": "+c.Message, ": ")
		}
		rows = append(rows, []cell{action(c.Action), text(c.Ref.String()), text(why)})
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return p.table(w, []string{"ACTION", "OBJECT", "WHY"}, rows)
}

// phaseTimes is how long each phase took to reach from the one before.
func phaseTimes(at gitops.Attempt) string {
	var steps []string
	last := at.Started
	for _, ph := range gitops.Phases() {
		reached, ok := at.Reached[ph]
		if !ok || ph == gitops.PhaseIntent {
			continue
		}
		steps = append(steps, fmt.Sprintf("%s after %s", ph, took(reached.Sub(last))))
		last = reached
	}
	if len(steps) == 0 {
		return ""
	}
	return " (" + strings.Join(steps, ", ") + ")"
}

func action(a gitops.Action) cell {
	switch a {
	case gitops.Created:
		return cell{string(a), green}
	case gitops.Deleted, gitops.FailedToDo:
		return cell{string(a), red}
	case gitops.Configured:
		return cell{string(a), yellow}
	}
	return cell{string(a), plain}
}

// tally counts changes by what was done: "3 created, 1 deleted".
func tally(changes []gitops.Change) string {
	counts := map[gitops.Action]int{}
	for _, c := range changes {
		counts[c.Action]++
	}
	var parts []string
	for _, a := range []gitops.Action{gitops.Created, gitops.Configured, gitops.Deleted, gitops.Skipped, gitops.FailedToDo, gitops.Unchanged} {
		if n := counts[a]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, a))
		}
	}
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, ", ")
}
