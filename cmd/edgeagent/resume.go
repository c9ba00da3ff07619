// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newResumeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "resume SOURCE",
		Short:   "release a hold or a suspension",
		Long:    `Go on after rollback or suspend: poll, and converge on the newest commit.`,
		Example: `  edgeagent resume fleet`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ticket, err := a.client().Resume(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return present(a, ticket, underWay)
		},
	}
}
