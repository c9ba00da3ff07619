// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

func newPublishCommand(a *app) *cobra.Command {
	var refs []string
	var url string
	cmd := &cobra.Command{
		Use:   "publish REPO DIR",
		Short: "write a static mirror of a repository, for a web server or CDN (local)",
		Long: `Bring DIR up to the repository REPO: a bundle list named "list", a full bundle,
and a short chain of what came later. Any static host can serve DIR; nodes poll
the list with a conditional request and download what they miss, and
git clone --bundle-uri takes it too. Bundles never change: serve them with a long
lifetime, and the list with a short one.

Without --ref it is the branch that HEAD names. What is below refs/edgeagent/ is
published with it. DIR is to be kept from run to run; where it is lost, the next
run writes everything anew. With nothing new, nothing is written. Files in DIR
that publish did not write stay.

Upload the bundles before the list: who reads the list must find what it names.
In CI, after each push:

  git clone --mirror https://git.example.com/fleet.git fleet.git
  edgeagent publish fleet.git public/
  rsync -t public/*.bundle cdn:fleet/ && rsync -t public/list cdn:fleet/`,
		Example: `  edgeagent publish fleet.git public/
  edgeagent publish fleet.git public/ --ref main --ref 'refs/tags/v2.*'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if arg == "" {
					return usageError("publish needs a repository and a directory")
				}
			}
			done, err := bundle.Publish(cmd.Context(), bundle.PublishOptions{Repo: args[0], Dir: args[1], Refs: refs, BaseURL: url, Now: a.now})
			if err != nil {
				return err
			}
			return present(a, done, page.published)
		},
	}
	cmd.Flags().StringArrayVar(&refs, "ref", nil, "a branch, or a full ref name in which * stands for anything; may be repeated")
	cmd.Flags().StringVar(&url, "url", "", "where DIR is served: puts whole URLs into the list, for git before 2.40")
	return cmd
}

func (p page) published(w io.Writer, done bundle.Published) error {
	for _, part := range done.Written {
		builds := "complete"
		if part.Prerequisites > 0 {
			builds = "builds on " + plural(part.Prerequisites, "commit")
		}
		fmt.Fprintf(w, "wrote %s: %s, %s, %s\n", part.Name, size(part.Bytes), plural(part.Objects, "object"), builds)
	}
	for _, name := range done.Removed {
		fmt.Fprintf(w, "removed %s\n", name)
	}
	if done.Full != "" {
		fmt.Fprintf(w, "everything was written anew: %s\n", done.Full)
	}
	state := "written"
	if done.Unchanged {
		state = "unchanged"
	}
	_, err := fmt.Fprintf(w, "%s is %s: %s, %s\n", done.List, state, plural(done.Bundles, "bundle"), size(done.Bytes))
	return err
}
