// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func newRemoveCommand(a *app) *cobra.Command {
	var r localapi.RemoveRequest
	cmd := &cobra.Command{
		Use:   "remove SOURCE",
		Short: "forget a source, with or without its objects",
		Long: `Forget a source. Its objects stay in the cluster and belong to nobody; with
--prune they are deleted. Take the source out of the configuration too: while it
is there, it stays suspended.`,
		Example: `  edgeagent remove fleet
  edgeagent remove fleet --prune`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := a.client().Remove(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			return present(a, changes, page.removed)
		},
	}
	cmd.Flags().BoolVar(&r.Prune, "prune", false, "delete its objects too")
	return cmd
}

func (p page) removed(w io.Writer, changes []gitops.Change) error {
	var rows [][]cell
	for _, c := range changes {
		rows = append(rows, []cell{action(c.Action), text(c.Ref.String()), text(c.Message)})
	}
	if err := p.table(w, []string{"ACTION", "OBJECT", "WHY"}, rows); err != nil {
		return err
	}
	if len(changes) == 0 {
		_, err := fmt.Fprintln(w, "Forgotten. No object was deleted.")
		return err
	}
	_, err := fmt.Fprintf(w, "Forgotten: %s.\n", tally(changes))
	return err
}
