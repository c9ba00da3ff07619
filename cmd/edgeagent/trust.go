// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

// trustDir is where nodes keep whom they trust.
const trustDir = "/etc/edgeagent/trust"

func newTrustCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "whom the nodes believe: the trust file and signed statements (local)",
		Long: `Write and change .edgeagent/trust.yaml in the work tree of a repository, and sign
what nodes are to know before the next commit. Nothing is committed or pushed:
each command prints what to type next. Nodes check all of it again.`,
		Example: `  edgeagent trust init ../node-files --root ann=ann.pub --root ben=ben.pub
  edgeagent trust revoke ben --now`,
	}
	cmd.AddCommand(newTrustInitCommand(a), newTrustAddCommand(a), newTrustRevokeCommand(a), newTrustRotateCommand(a),
		newHeartbeatCommand(a), newSealCommand(a))
	return cmd
}

func newTrustInitCommand(a *app) *cobra.Command {
	var f attestFlags
	var o attest.InitOptions
	var roots, developers, mergers []string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "write the first trust file, and into DIR what nodes need",
		Long: `Write .edgeagent/trust.yaml, version 1, and into DIR the files of a node: who may
sign until the trust file is there, whose agreement it needs, a list for revoked
keys, the lines for the node's configuration, and a commit-msg hook for people.

Trust begins with a commit that is there already, HEAD unless --introduction
names another. KEY is a file with a public key, the SSH key itself, or, for others
than roots, "sigstore:ISSUER SUBJECT".`,
		Example: `  edgeagent trust init ../node-files --root ann=ann.pub --root ben=ben.pub --threshold 2`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := f.open(a)
			if err != nil {
				return err
			}
			o.Options, o.Files = f.Options, args[0]
			for _, role := range []struct {
				from []string
				to   *[]attest.Member
			}{{roots, &o.Roots}, {developers, &o.Developers}, {mergers, &o.Mergers}} {
				for _, text := range role.from {
					member, err := attest.ReadMember(text)
					if err != nil {
						return err
					}
					*role.to = append(*role.to, member)
				}
			}
			if len(o.Roots) == 0 {
				return usageError("trust init needs a --root NAME=KEY: nobody could change the trust file")
			}
			done, err := repo.Init(cmd.Context(), o)
			if err != nil {
				return err
			}
			return present(a, done, page.trustChanged)
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&roots, "root", nil, "NAME=KEY of somebody who decides about the trust file; may be repeated")
	cmd.Flags().StringArrayVar(&developers, "developer", nil, "NAME=KEY of somebody who commits; may be repeated")
	cmd.Flags().StringArrayVar(&mergers, "merger", nil, "NAME=KEY of a forge that merges; may be repeated")
	cmd.Flags().IntVar(&o.Threshold, "threshold", 0, "how many roots it takes (default 2, or 1 with one root)")
	cmd.Flags().StringVar(&o.Installed, "installed", trustDir, "where the files will lie on nodes")
	return cmd
}

func newTrustAddCommand(a *app) *cobra.Command {
	var f attestFlags
	var roles []string
	var threshold int
	cmd := &cobra.Command{
		Use:   "add PRINCIPAL [KEY]",
		Short: "give a person or machine a key or a role",
		Long: `KEY is a file with an SSH or OpenPGP public key, the SSH key itself, "cert-authority
KEY" for an authority that certifies SSH keys, or "sigstore:ISSUER SUBJECT" for
somebody who signs with gitsign: the URL of the issuer, and whom it vouches for.`,
		Example: `  edgeagent trust add dan dan.pub --role developer
  edgeagent trust add eve --role root --threshold 2
  edgeagent trust add ci "sigstore:https://ci.example.com fleet@ci" --role heartbeat`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return showTrust(cmd, a, &f, func(d *attest.Draft) error {
				var keys []attest.PublicKey
				for _, text := range args[1:] {
					key, err := attest.ReadPublicKey(text)
					if err != nil {
						return err
					}
					keys = append(keys, key)
				}
				if len(keys) == 0 && len(roles) == 0 && threshold == 0 {
					return usageError("trust add needs a KEY or a --role")
				}
				if threshold > 0 {
					defer d.Threshold(threshold)
				}
				return d.Add(args[0], keys, roles)
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&roles, "role", nil, "root, developer, merger, heartbeat, or one of your own; may be repeated")
	cmd.Flags().IntVar(&threshold, "threshold", 0, "how many roots it takes from now on")
	return cmd
}

func newTrustRotateCommand(a *app) *cobra.Command {
	var f attestFlags
	cmd := &cobra.Command{
		Use:   "rotate PRINCIPAL KEY",
		Short: "give a principal a new key in the place of all others",
		Long: `What the old keys signed stays good, up to the commit that brings the change. A key
that was lost or stolen is revoked instead: edgeagent trust revoke.`,
		Example: `  edgeagent trust rotate ann ann-2027.pub`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return showTrust(cmd, a, &f, func(d *attest.Draft) error {
				key, err := attest.ReadPublicKey(args[1])
				if err != nil {
					return err
				}
				return d.Rotate(args[0], key)
			})
		},
	}
	f.add(cmd)
	return cmd
}

func newTrustRevokeCommand(a *app) *cobra.Command {
	var f attestFlags
	var now bool
	var threshold int
	cmd := &cobra.Command{
		Use:   "revoke PRINCIPAL|KEY...",
		Short: "take a key back, for what it signed before too",
		Long: `Put a key, or all keys of a principal, on the trust file's list of revoked keys, and
take them away from who has them. KEY is a fingerprint, a file, the key itself, or
"sigstore:ISSUER SUBJECT".

With --now also sign the revocation itself, below refs/edgeagent/revocations/:
nodes obey it as soon as enough roots signed the same list, without waiting for a
commit. The other roots fetch refs/edgeagent/ and name the same keys.

What the key signed and nobody else vouches for is refused from then on, by nodes
that are set up anew as well; edgeagent trust seal vouches for older commits.`,
		Example: `  edgeagent trust revoke dan --now
  edgeagent trust revoke SHA256:2VDz9zgm1kQJd0xVzXvPsYVYv6LRZCVDTKJ2a6kzJ0w`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := f.open(a)
			if err != nil {
				return err
			}
			var keys []string
			done, err := changeTrust(cmd.Context(), repo, &f, func(d *attest.Draft) error {
				if threshold > 0 {
					d.Threshold(threshold)
				}
				for _, target := range args {
					more, err := d.Revoke(target)
					if err != nil {
						return err
					}
					keys = append(keys, more...)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if now {
				published, err := repo.RevokeNow(cmd.Context(), keys, f.Options)
				if err != nil {
					return fmt.Errorf("the trust file says so, but no statement was made: %v; then type the same again", err)
				}
				done.After = &published
			}
			return present(a, done, page.trustChanged)
		},
	}
	f.add(cmd)
	f.addKey(cmd)
	cmd.Flags().BoolVar(&now, "now", false, "sign the revocation as a statement of its own too")
	cmd.Flags().IntVar(&threshold, "threshold", 0, "how many roots it takes from now on")
	return cmd
}

// showTrust changes the trust file of the work tree and says what comes next.
func showTrust(cmd *cobra.Command, a *app, f *attestFlags, change func(*attest.Draft) error) error {
	repo, err := f.open(a)
	if err != nil {
		return err
	}
	done, err := changeTrust(cmd.Context(), repo, f, change)
	if err != nil {
		return err
	}
	return present(a, done, page.trustChanged)
}

func changeTrust(ctx context.Context, repo *attest.Repository, f *attestFlags, change func(*attest.Draft) error) (attest.Changed, error) {
	draft, err := repo.Draft(ctx)
	if err != nil {
		return attest.Changed{}, err
	}
	if err := change(draft); err != nil {
		return attest.Changed{}, err
	}
	return draft.Write(f.Options)
}

func (p page) trustChanged(w io.Writer, c attest.Changed) error {
	for _, done := range c.Done {
		fmt.Fprintln(w, oneLine(done))
	}
	if len(c.Done) == 0 {
		fmt.Fprintf(w, "%s says so already: version %d stays.\n", c.File, c.Version)
	}
	if len(c.Need) > 0 {
		fmt.Fprintf(w, "%s is version %d. It holds when it is signed or approved by:\n", c.File, c.Version)
		for _, n := range c.Need {
			fmt.Fprintf(w, "  %d of %s: %s\n", n.Need, n.What, strings.Join(n.Missing, ", "))
		}
	}
	if len(c.Next) > 0 {
		fmt.Fprintf(w, "Next:\n  %s\n", strings.Join(c.Next, "\n  "))
	}
	if c.After != nil {
		return p.publication(w, *c.After)
	}
	return nil
}
