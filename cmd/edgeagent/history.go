// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func newHistoryCommand(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "history [SOURCE]",
		Short: "attempts: which revision, how far, and why not further",
		Example: `  edgeagent history
  edgeagent history fleet --limit 5`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > 1000 {
				return usageError("--limit: write a number from 1 to 1000")
			}
			attempts, err := a.client().History(cmd.Context(), optional(args), limit)
			if err != nil {
				return err
			}
			return present(a, attempts, page.history)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many, the newest first")
	return cmd
}

// history prints one line for each attempt.
func (p page) history(w io.Writer, attempts []gitops.Attempt) error {
	if len(attempts) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was tried yet.")
		return err
	}
	var rows [][]cell
	for _, at := range attempts {
		rows = append(rows, []cell{
			text(strconv.FormatInt(at.ID, 10)), text(at.Source), text(p.ago(at.Started)), text(at.Revision.Short()),
			text(string(at.Cause)), phase(at.Phase), text(p.lasted(at)), text(summary(at)),
		})
	}
	return p.table(w, []string{"ID", "SOURCE", "STARTED", "REVISION", "CAUSE", "PHASE", "TOOK", "WHAT"}, rows)
}

func phase(ph gitops.Phase) cell {
	switch ph {
	case gitops.PhasePruned, gitops.PhaseHealthy:
		return cell{string(ph), green}
	case gitops.PhaseFailed:
		return cell{string(ph), red}
	}
	return cell{string(ph), yellow}
}

// lasted is how long an attempt took, or has been taking.
func (p page) lasted(at gitops.Attempt) string {
	if at.Ended.IsZero() {
		return took(p.now.Sub(at.Started)) + "…"
	}
	return took(at.Ended.Sub(at.Started))
}

// summary is why an attempt failed, or what it changed.
func summary(at gitops.Attempt) string {
	s := tally(at.Changes)
	if at.Reason != "" || at.Message != "" {
		s = string(at.Reason)
		if at.Message != "" {
			s += ": " + at.Message
		}
	}
	if at.Undoes != 0 {
		s = fmt.Sprintf("undoes %d; %s", at.Undoes, s)
	}
	if w := at.Waiver; w.To != "" {
		s += fmt.Sprintf("; does not descend from %s: let through by %s (%s)", w.From.Short(), w.By, w.Reason)
	}
	if at.Resumes > 0 {
		s += fmt.Sprintf(" (resumed %s)", plural(at.Resumes, "time"))
	}
	return s
}
