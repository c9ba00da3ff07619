// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeSources has the shell complete the names of sources, in every command
// whose first argument is one, and in the flag that names one.
func completeSources(a *app, root *cobra.Command) {
	names := func() ([]string, cobra.ShellCompDirective) {
		// Who presses a key does not wait long, nor for an error.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		status, err := a.client().Status(ctx, "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found := make([]string, len(status.Sources))
		for i, s := range status.Sources {
			found[i] = s.Name
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
	for _, cmd := range root.Commands() {
		_, arguments, _ := strings.Cut(cmd.Use, " ")
		if cmd.Flags().Lookup("source") != nil {
			err := cmd.RegisterFlagCompletionFunc("source", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return names()
			})
			if err != nil {
				panic(err) // a flag that has just been found
			}
		}
		if !strings.HasPrefix(strings.Trim(arguments, "["), "SOURCE") {
			continue
		}
		cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch {
			case len(args) == 0:
				return names()
			case strings.HasSuffix(arguments, " FILE"):
				return nil, cobra.ShellCompDirectiveDefault
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}
