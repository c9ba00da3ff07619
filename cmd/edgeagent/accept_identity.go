// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newAcceptIdentityCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "accept-identity",
		Short: "go on under the node's new name",
		Long: `The journal knows the node's name. When it changes, by DHCP or because a disk was
cloned, nothing is applied until you say that this is right.`,
		Example: `  edgeagent accept-identity`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.client().AcceptIdentity(cmd.Context()); err != nil {
				return err
			}
			return a.say("The new name is accepted.")
		},
	}
}
