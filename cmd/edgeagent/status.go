// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func newStatusCommand(a *app) *cobra.Command {
	var watch, exitCode bool
	cmd := &cobra.Command{
		Use:   "status [SOURCE]",
		Short: "what runs on this node, and what is wrong",
		Long: `Print one line for each source, then its bundles, its problems, the link to Git
and the next poll.`,
		Example: `  edgeagent status
  edgeagent status fleet -w
  edgeagent status --exit-code -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source := optional(args)
			if watch && exitCode {
				return usageError("-w goes on for ever and --exit-code ends: choose one")
			}
			if watch {
				return watchStatus(cmd.Context(), a, source)
			}
			status, err := a.client().Status(cmd.Context(), source)
			if err != nil {
				return err
			}
			if err := present(a, status, page.status); err != nil {
				return err
			}
			if exitCode && !ready(status) {
				return quietExit(exitDegraded)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and print every change")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with 3 unless every source is ready")
	return cmd
}

// optional is the first argument, or "".
func optional(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// ready reports whether the node as a whole is as it should be.
func ready(s gitops.Status) bool {
	for _, source := range s.Sources {
		if !source.Ready() {
			return false
		}
	}
	return len(s.Problems) == 0
}

// watchStatus prints the status whenever it changes; on a terminal in place,
// and every second, because ages grow without any change.
func watchStatus(ctx context.Context, a *app, source string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := make(chan gitops.Status)
	ended := make(chan error, 1)
	go func() {
		ended <- a.client().Watch(ctx, source, func(s gitops.Status) error {
			select {
			case changes <- s:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var last *gitops.Status
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if errors.Is(err, context.Canceled) {
				return nil // the person has seen enough
			}
			return err
		case s := <-changes:
			last = &s
		case <-tick.C:
			if last == nil || !isTerminal(a.stdout) || a.output != "text" {
				continue
			}
		}
		if err := printWatched(a, *last); err != nil {
			return err
		}
	}
}

func printWatched(a *app, s gitops.Status) error {
	switch {
	case a.output == "json": // one value on a line, for programs that read lines
		return json.NewEncoder(a.stdout).Encode(s)
	case a.output == "yaml":
		if _, err := io.WriteString(a.stdout, "---\n"); err != nil {
			return err
		}
	case isTerminal(a.stdout):
		if _, err := io.WriteString(a.stdout, "\x1b[H\x1b[2J"); err != nil { // home, clear
			return err
		}
	}
	if err := present(a, s, page.status); err != nil || a.output != "text" {
		return err
	}
	_, err := fmt.Fprintln(a.stdout)
	return err
}
