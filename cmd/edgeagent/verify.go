// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func newVerifyCommand(a *app) *cobra.Command {
	var here verifyHere
	cmd := &cobra.Command{
		Use:   "verify SOURCE [REVISION]",
		Short: "the decision of trust, commit by commit",
		Long: `Explain which commits of a source are trusted and which are not, and by which
rule: those that are new, or all up to a revision when it is named. Nothing is
changed. The exit code is 1 when a commit is refused.

With --repo it is the same decision without a daemon, about a repository on this
machine: what nodes would say if REVISION were pushed. The node's files are named
one by one, or taken from its configuration with --config.`,
		Example: `  edgeagent verify fleet
  edgeagent verify fleet 3f2a1bc
  edgeagent verify --repo . --allowed-signers ../node-files/allowed_signers --roots ../node-files/roots --threshold 2`,
		Args: func(_ *cobra.Command, args []string) error {
			most := 2
			if here.repo != "" {
				most = 1
			} else if len(args) == 0 {
				return usageError("verify needs a SOURCE, or --repo DIR")
			}
			if len(args) > most {
				return usageError("verify: too many arguments")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var decisions []gitops.Decision
			var err error
			if here.repo != "" {
				decisions, err = here.decide(cmd.Context(), a, optional(args))
			} else {
				decisions, err = a.client().Verify(cmd.Context(), args[0], optional(args[1:]))
			}
			if err != nil {
				return err
			}
			if err := present(a, decisions, page.decisions); err != nil {
				return err
			}
			if !trusted(decisions) {
				return quietExit(exitError)
			}
			return nil
		},
	}
	here.add(cmd)
	return cmd
}

// decisions prints one line for each commit, and below a refused one the cause.
func (p page) decisions(w io.Writer, decisions []gitops.Decision) error {
	if len(decisions) == 0 {
		_, err := fmt.Fprintln(w, "No commit needs a decision: the newest one is accepted already.")
		return err
	}
	refused := 0
	for _, d := range decisions {
		mark, why := p.paint(green, "✓"), d.Signer
		if d.Key != "" {
			why += " (" + d.Key + ")"
		}
		if d.Rule != "" {
			why += "  " + d.Rule
		}
		if len(d.Approvals) > 0 {
			why += "\n    approved by " + oneLine(strings.Join(d.Approvals, ", "))
		}
		if d.RefBinding != "" {
			why += "\n    ref binding: " + d.RefBinding
		}
		if !d.Trusted {
			refused++
			mark, why = p.paint(red, "✗"), p.paint(red, fmt.Sprintf("%s: %s", d.Reason, oneLine(d.Message)))
			if len(d.Approvals) > 0 {
				why += "\n    approved by " + oneLine(strings.Join(d.Approvals, ", "))
			}
		}
		if _, err := fmt.Fprintf(w, "%s %s  %s\n    %s\n", mark, p.paint(yellow, d.Commit.Short()), oneLine(d.Subject), why); err != nil {
			return err
		}
	}
	verdict := plural(len(decisions), "commit") + ", all trusted"
	if refused > 0 {
		verdict = fmt.Sprintf("%s, %d refused", plural(len(decisions), "commit"), refused)
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}
