// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/config"
)

// outputs are the forms in which everything can be printed.
var outputs = [...]string{"text", "json", "yaml"}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "edgeagent",
		Short: "keep this node's k3s cluster equal to a signed Git commit",
		Long: `edgeagent pulls a Git repository, verifies that its commits are signed by people
whom this node trusts, applies what they say to the node's k3s cluster, repairs
drift, and goes back to the last healthy revision by itself, without a network.

Exit codes: 0 done; 1 error; 2 wrong usage; 3 degraded or different; 4 the
daemon does not answer.`,
		Example: `  edgeagent status
  edgeagent rollback fleet --wait`,
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Version:           version,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if !slices.Contains(outputs[:], a.output) {
				return usageError("-o " + a.output + ": write text, json or yaml")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	socket := os.Getenv("EDGEAGENT_SOCKET")
	if socket == "" {
		socket = config.DefaultSocket
	}
	root.PersistentFlags().StringVar(&a.socket, "socket", socket, "the daemon's socket; also $EDGEAGENT_SOCKET")
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "how to print: "+strings.Join(outputs[:], ", "))
	root.PersistentFlags().BoolVar(&a.noColor, "no-color", os.Getenv("NO_COLOR") != "", "no colour on a terminal; also $NO_COLOR")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(
		newRunCommand(a),
		newStatusCommand(a),
		newHistoryCommand(a),
		newShowCommand(a),
		newDiffCommand(a),
		newVerifyCommand(a),
		newSyncCommand(a),
		newRollbackCommand(a),
		newRetryCommand(a),
		newSuspendCommand(a),
		newResumeCommand(a),
		newRemoveCommand(a),
		newAcceptCommand(a),
		newAcceptIdentityCommand(a),
		newImportCommand(a),
		newExportCommand(a),
		newPublishCommand(a),
		newApproveCommand(a),
		newTrustCommand(a),
		newMetricsCommand(a),
		newConfigCommand(a),
		newCheckCommand(a),
		newServiceCommand(a),
		newVersionCommand(a),
		newRenderWorkerCommand(a),
	)
	completeSources(a, root)
	root.InitDefaultCompletionCmd()
	markStarted(a, root)
	return root
}

// markStarted notes when a command begins to work, so that everything that is
// wrong before then is known to be the command line.
func markStarted(a *app, cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.started = true
			return run(cmd, args)
		}
	}
	if cmd.HasSubCommands() && cmd.RunE == nil && cmd.Run == nil {
		// Without this, cobra prints the help of a group with code 0 for a
		// subcommand that is not there.
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			return usageError(cmd.CommandPath() + " needs a subcommand")
		}
	}
	for _, sub := range cmd.Commands() {
		markStarted(a, sub)
	}
}
