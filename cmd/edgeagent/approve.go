// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

func newApproveCommand(a *app) *cobra.Command {
	var f attestFlags
	var dry bool
	cmd := &cobra.Command{
		Use:   "approve COMMIT",
		Short: "sign that a commit may go to the nodes (local)",
		Long: `Show what a commit changes, what nodes ask for it, and sign your approval of it for
one ref: a tag below refs/edgeagent/approvals/. It is made in this repository;
nothing is pushed, and the command prints how to.

The key is the one that --key names, that git signs with, or the one in ssh-agent
that the trust file lists. It has to belong to a principal with a role.`,
		Example: `  edgeagent approve HEAD
  edgeagent approve 3f2a1bc --ref stable --key ~/.ssh/id_ed25519
  edgeagent approve HEAD --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := f.open(a)
			if err != nil {
				return err
			}
			done, err := repo.Approve(cmd.Context(), args[0], f.Options, dry)
			if err != nil {
				return err
			}
			return present(a, done, page.approval)
		},
	}
	f.add(cmd)
	f.addKey(cmd)
	cmd.Flags().StringVar(&f.TrustedRoot, "trusted-root", "", "Sigstore's trusted_root.json, as nodes have it, to judge what others signed with gitsign")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what would be approved")
	return cmd
}

func (p page) approval(w io.Writer, d attest.Approval) error {
	fmt.Fprintf(w, "commit %s  %s\n    by %s, for %s\n", p.paint(yellow, d.Commit.Short()), oneLine(d.Subject), oneLine(d.Author), d.Ref)
	for _, c := range d.Changed {
		mark, style := " ", plain
		if c.Protected {
			mark, style = "!", red
		}
		fmt.Fprintf(w, "  %s %-7s %s\n", p.paint(style, mark), c.Action, oneLine(c.Path))
	}
	if d.More > 0 {
		fmt.Fprintf(w, "    and %s more\n", plural(d.More, "file"))
	}
	if slices.ContainsFunc(d.Changed, func(c attest.Change) bool { return c.Protected }) {
		fmt.Fprintln(w, "  ! is protected by the trust file")
	}
	p.asked(w, d.Asked)
	if d.Statement == "" {
		_, err := fmt.Fprintln(w, "Nothing was signed.")
		return err
	}
	_, err := fmt.Fprintf(w, "%s approved it with the key %s. Others see it after:\n  %s\n", d.Principal, d.Key, d.Push)
	return err
}

// asked prints what nodes ask of a commit, and who stands for it.
func (p page) asked(w io.Writer, asked []verify.Requirement) {
	for _, r := range asked {
		mark := p.paint(green, "✓")
		if !r.Met() {
			mark = p.paint(red, "✗")
		}
		if r.Rendered {
			mark = "?"
			if r.Met() {
				mark = p.paint(green, "✓")
			}
		}
		who := fmt.Sprintf("%d of %d", len(r.By), r.Need)
		if len(r.By) > 0 {
			who += ": " + strings.Join(r.By, ", ")
		}
		if !r.Met() && len(r.Missing) > 0 {
			who += "; missing: " + strings.Join(r.Missing, ", ")
		}
		if !r.Met() && len(r.Unproven) > 0 {
			who += "; signed with gitsign, which cannot be judged without --trusted-root: " + strings.Join(r.Unproven, ", ")
		}
		what := oneLine(r.What)
		if r.Rendered {
			what += ", if it renders one"
		}
		fmt.Fprintf(w, "  %s %s: %s\n", mark, what, oneLine(who))
	}
}
