// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/localapi"
)

func newSuspendCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "suspend SOURCE --reason TEXT",
		Short: "touch nothing until resume",
		Long: `Stop a source: no poll, no repair, until edgeagent resume. The reason is shown to
everybody who looks at the status.`,
		Example: `  edgeagent suspend fleet --reason "replacing the disk, Anna"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usageError("say why, for those who come after you: --reason TEXT")
			}
			if err := a.client().Suspend(cmd.Context(), args[0], localapi.SuspendRequest{Reason: reason}); err != nil {
				return err
			}
			return a.say(fmt.Sprintf("%s is suspended. Go on with: edgeagent resume %s", args[0], args[0]))
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who come after you")
	return cmd
}
