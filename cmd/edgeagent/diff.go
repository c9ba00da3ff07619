// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func newDiffCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "diff [SOURCE]",
		Short: "what is in the cluster against what should be",
		Long: `Compare every object with what is wanted of it, by a dry run on the API server.
The values of Secrets are hidden. Nothing is changed. The exit code is 3 when
something differs.`,
		Example: `  edgeagent diff fleet
  edgeagent diff -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			diffs, err := a.client().Diff(cmd.Context(), optional(args))
			if err != nil {
				return err
			}
			if err := present(a, diffs, page.diff); err != nil {
				return err
			}
			if len(diffs) > 0 {
				return quietExit(exitDegraded)
			}
			return nil
		},
	}
}

// diff prints unified diffs, live to desired.
func (p page) diff(w io.Writer, diffs []gitops.ObjectDiff) error {
	if len(diffs) == 0 {
		_, err := fmt.Fprintln(w, "The cluster is as it should be.")
		return err
	}
	for i, d := range diffs {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		head := fmt.Sprintf("%s would be %s", d.Ref, d.Action)
		if _, err := fmt.Fprintln(w, p.paint(bold, head)); err != nil {
			return err
		}
		for line := range strings.Lines(d.Diff) {
			line = strings.TrimSuffix(line, "\n")
			if _, err := fmt.Fprintln(w, p.paint(lineStyle(line), line)); err != nil {
				return err
			}
		}
	}
	return nil
}

func lineStyle(line string) style {
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		return bold
	case strings.HasPrefix(line, "+"):
		return green
	case strings.HasPrefix(line, "-"):
		return red
	case strings.HasPrefix(line, "@@"):
		return cyan
	}
	return plain
}
