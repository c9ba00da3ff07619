// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newRetryCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "retry SOURCE",
		Short: "try a revision again that failed",
		Long: `Forget that revisions of the source failed, and try the newest one again. Without
it, a failed revision is not tried again until Git moves.`,
		Example: `  edgeagent retry fleet`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ticket, err := a.client().Retry(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return present(a, ticket, underWay)
		},
	}
}
