// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func newSyncCommand(a *app) *cobra.Command {
	var w waiting
	var allowPrune int
	cmd := &cobra.Command{
		Use:   "sync [SOURCE]",
		Short: "poll and converge now",
		Long: `Poll Git now, and converge the cluster, also when the day's bytes are spent
(link.budgetPerDay). Without --wait the command returns once that is under way.
With it, it returns when that has ended, and the exit code is 3 when the newest
commit is not applied and healthy.

--allow-prune=N confirms up to N deletions that the guard held back.`,
		Example: `  edgeagent sync
  edgeagent sync fleet --wait
  edgeagent sync fleet --allow-prune=30`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source := optional(args)
			switch {
			case allowPrune < 0:
				return usageError("--allow-prune: write the number of deletions that you confirm")
			case allowPrune > 0 && source == "":
				return usageError("--allow-prune confirms the deletions of one source: name it")
			}
			ticket, err := a.client().Sync(cmd.Context(), source, localapi.SyncRequest{AllowPrune: allowPrune})
			if err != nil {
				return err
			}
			if w.wait {
				return w.until(cmd.Context(), a, ticket, gitops.SourceStatus.Ready)
			}
			return present(a, ticket, underWay)
		},
	}
	cmd.Flags().IntVar(&allowPrune, "allow-prune", 0, "how many deletions are confirmed")
	w.flags(cmd)
	return cmd
}

// underWay says that an order was taken, and how to follow it.
func underWay(_ page, w io.Writer, ticket localapi.Ticket) error {
	names := slices.Sorted(maps.Keys(ticket.Cycles))
	if len(names) == 0 {
		_, err := fmt.Fprintln(w, "There are no sources.")
		return err
	}
	_, err := fmt.Fprintf(w, "Under way: %s. Follow it with: edgeagent status -w\n", strings.Join(names, ", "))
	return err
}

// defaultWait is longer than anything that ends well.
const defaultWait = 30 * time.Minute
