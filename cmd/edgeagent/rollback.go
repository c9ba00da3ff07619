// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func newRollbackCommand(a *app) *cobra.Command {
	var w waiting
	var r localapi.RollbackRequest
	cmd := &cobra.Command{
		Use:   "rollback SOURCE",
		Short: "go back to an older healthy revision, without a network",
		Long: `Go back to the healthy revision before the one that runs, or to --to, from the
journal. The node stays there until edgeagent resume, or until a commit comes that
is newer than the one that was left; with --pin, until resume only.

With --wait the exit code is 3 when the older revision is not healthy either.`,
		Example: `  edgeagent rollback fleet --wait
  edgeagent rollback fleet --to 3f2a1bc --pin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := a.client().Rollback(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			if !w.wait || a.output == "text" {
				// For programs there is one value: what it came to.
				if err := present(a, answer, page.held); err != nil || !w.wait {
					return err
				}
			}
			return w.until(cmd.Context(), a, answer.Ticket, func(s gitops.SourceStatus) bool {
				return s.Applied != nil && s.Applied.Revision == answer.Hold.Revision &&
					s.Condition(gitops.ConditionHealthy).Status == "True"
			})
		},
	}
	cmd.Flags().StringVar(&r.To, "to", "", "the revision, or the beginning of its commit; edgeagent history lists them")
	cmd.Flags().BoolVar(&r.Pin, "pin", false, "stay there even when newer commits come")
	w.flags(cmd)
	return cmd
}

func (p page) held(w io.Writer, answer localapi.RollbackResponse) error {
	until := "until a commit newer than " + answer.Hold.HeldBack.Short() + " comes, or you resume it"
	if answer.Hold.Pin {
		until = "until you resume it"
	}
	_, err := fmt.Fprintf(w, "Going back to %s, to stay there %s.\n", answer.Hold.Revision.Short(), until)
	return err
}
