// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

func newHeartbeatCommand(a *app) *cobra.Command {
	var f attestFlags
	var sequence int64
	cmd := &cobra.Command{
		Use:   "heartbeat [REVISION]",
		Short: "sign that a ref is alive, and what it names",
		Long: `Sign what the ref names now, with the time and a number that rises: a host that
keeps a newer commit from nodes, or shows nothing new at all, is seen by them
(Withheld, and Stale after maxStaleness). For a job that runs by the clock.

Fetch the last one first, so that the number goes on:

  git fetch origin '+refs/edgeagent/*:refs/edgeagent/*'
  edgeagent trust heartbeat --key "$KEY_FILE"
  git push origin '+refs/edgeagent/heartbeat/*:refs/edgeagent/heartbeat/*'`,
		Example: `  edgeagent trust heartbeat --ref main --key heartbeat_ed25519`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := f.open(a)
			if err != nil {
				return err
			}
			done, err := repo.Heartbeat(cmd.Context(), optional(args), sequence, f.Options)
			if err != nil {
				return err
			}
			return present(a, done, page.publication)
		},
	}
	f.add(cmd)
	f.addKey(cmd)
	cmd.Flags().Int64Var(&sequence, "sequence", 1, "the number to begin with, where the last heartbeat is lost")
	return cmd
}

// publication prints a statement that was made for all nodes.
func (p page) publication(w io.Writer, s attest.Published) error {
	fmt.Fprintf(w, "%s signed the %s of %s with the key %s", s.Principal, s.Kind, s.Object.Short(), s.Key)
	if s.Sequence > 0 {
		fmt.Fprintf(w, ", number %d", s.Sequence)
	}
	if s.Time != "" {
		fmt.Fprintf(w, ", at %s", s.Time)
	}
	fmt.Fprintln(w)
	for _, key := range s.Revoked {
		fmt.Fprintf(w, "  revoked: %s\n", oneLine(key))
	}
	if s.Need > 0 {
		fmt.Fprintf(w, "signed by %s; it takes %s\n", strings.Join(s.Signed, ", "), plural(s.Need, "root"))
	}
	if len(s.Join) > 0 {
		fmt.Fprintf(w, "The other roots sign it after:\n  %s\n  %s\n", s.Push, strings.Join(s.Join, "\n  "))
		return nil
	}
	_, err := fmt.Fprintf(w, "Nodes see it after:\n  %s\n", s.Push)
	return err
}
