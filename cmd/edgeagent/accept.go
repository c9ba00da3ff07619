// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func newAcceptCommand(a *app) *cobra.Command {
	var w waiting
	var r localapi.AcceptRequest
	cmd := &cobra.Command{
		Use:   "accept SOURCE REVISION --reason TEXT",
		Short: "let a source move once to a commit that does not descend",
		Long: `A source only moves forward: a head that goes back, or that left what was accepted
behind, is refused as Rollback or Fork. Where that is right after all, because a
repository was rebuilt, accept lets it make this one step.

Only the ancestry is waived. Who signed the commits, who approved them, the trust
file's version and the introduction count as ever, and the next step that does not
descend is refused again. Who let it through, why, from where and to where is kept
in the journal and shown by edgeagent status.`,
		Example: `  edgeagent accept fleet 3f2a1bc --reason "repository restored from backup" --wait`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(r.Reason) == "" {
				return usageError("--reason: say why, for whoever asks later")
			}
			r.Revision = args[1]
			answer, err := a.client().Accept(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			if !w.wait || a.output == "text" {
				if err := present(a, answer, page.waived); err != nil || !w.wait {
					return err
				}
			}
			return w.until(cmd.Context(), a, answer.Ticket, func(s gitops.SourceStatus) bool {
				return s.Verified != nil && s.Verified.Revision.Hash() == answer.Waiver.To && s.Ready()
			})
		},
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it is journalled")
	w.flags(cmd)
	return cmd
}

func (p page) waived(w io.Writer, answer localapi.AcceptResponse) error {
	from := "nothing"
	if answer.Waiver.From != "" {
		from = answer.Waiver.From.Short()
	}
	_, err := fmt.Fprintf(w, "%s may follow %s although it does not descend from it; everything else is judged as ever.\n", answer.Waiver.To.Short(), from)
	return err
}
