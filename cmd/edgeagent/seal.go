// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newSealCommand(a *app) *cobra.Command {
	var f attestFlags
	cmd := &cobra.Command{
		Use:   "seal COMMIT",
		Short: "vouch, as a root, for a commit and all below it",
		Long: `Sign that a commit and all its ancestors are good, also where their keys have
expired or were revoked since: a node that was off for a year, or that is set up
anew, can follow. It counts when enough roots signed the same seal: the others
fetch refs/edgeagent/ and run the same command. Its time raises the time that
nodes know to have passed.`,
		Example: `  edgeagent trust seal v2.4.0`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := f.open(a)
			if err != nil {
				return err
			}
			done, err := repo.Seal(cmd.Context(), args[0], f.Options)
			if err != nil {
				return err
			}
			return present(a, done, page.publication)
		},
	}
	f.add(cmd)
	f.addKey(cmd)
	return cmd
}
