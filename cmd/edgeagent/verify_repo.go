// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

// verifyHere is verify over a repository on this machine, as a node would.
type verifyHere struct {
	repo, config, source string
	ref, since           string
	trust                verify.Config
}

func (v *verifyHere) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&v.repo, "repo", "", "decide here, about the Git repository in this directory (local)")
	cmd.Flags().StringVar(&v.config, "config", "", "with --repo: trust as this node's file says")
	cmd.Flags().StringVar(&v.source, "source", "", "with --config: the source (default the only one)")
	cmd.Flags().StringVar(&v.ref, "ref", "", "with --repo: the ref that nodes follow (default what trust init noted, else main)")
	cmd.Flags().StringVar(&v.since, "since", "", "with --repo: what nodes have accepted already, such as origin/main")
	cmd.Flags().StringVar(&v.trust.Mode, "mode", verify.ModeHistory, "with --repo: history, head or tag")
	cmd.Flags().StringVar(&v.trust.Introduction, "introduction", "", "with --repo: trust.introduction (default from git config edgeagent.introduction)")
	cmd.Flags().StringVar(&v.trust.AllowedSigners, "allowed-signers", "", "with --repo: trust.allowedSigners")
	cmd.Flags().StringVar(&v.trust.OpenPGPKeys, "openpgp-keys", "", "with --repo: trust.openpgpKeys")
	cmd.Flags().StringVar(&v.trust.Sigstore.TrustedRoot, "trusted-root", "", "with --repo: trust.sigstore.trustedRoot")
	cmd.Flags().StringVar(&v.trust.Revoked, "revoked", "", "with --repo: trust.revoked")
	cmd.Flags().StringVar(&v.trust.Roots, "roots", "", "with --repo: trust.threshold.roots")
	cmd.Flags().IntVar(&v.trust.RootThreshold, "threshold", 0, "with --roots: trust.threshold.count")
}

// decide asks the same questions as a node, of the objects that are here.
func (v *verifyHere) decide(ctx context.Context, a *app, revision string) ([]gitops.Decision, error) {
	repo, err := attest.Open(v.repo)
	if err != nil {
		return nil, err
	}
	cfg, ref := v.trust, v.ref
	if (cfg.Roots == "") != (cfg.RootThreshold == 0) {
		return nil, usageError("--roots and --threshold belong together")
	}
	if v.config == "" && v.trust.AllowedSigners == "" && v.trust.OpenPGPKeys == "" {
		return nil, usageError("--repo has to know whom nodes believe: name a node's file with --config, or, of the files that trust init wrote for nodes, --allowed-signers FILE --roots FILE --threshold N")
	}
	if v.config != "" {
		var named string
		if cfg, named, err = v.fromConfig(); err != nil {
			return nil, err
		}
		if ref == "" {
			ref = named
		}
	}
	cfg.Source, cfg.Now, cfg.Floor, cfg.Carried = "--repo", a.now, builtAt(), repo.Carried
	if cfg.Introduction == "" {
		cfg.Introduction = repo.Introduction()
	}
	// Not from the trust file: what is judged is not to say where trust begins.
	if cfg.Introduction == "" {
		return nil, usageError("which commit trust begins with is not known: name the nodes' trust.introduction with --introduction, or once for this clone with git config edgeagent.introduction")
	}
	if id, err := repo.Resolve(cfg.Introduction); err == nil && cfg.Introduction != verify.FirstSeen {
		cfg.Introduction = string(id)
	}
	c, err := repo.At(repo.FullRef(ref), revision)
	if err != nil {
		return nil, err
	}
	accepted := gitops.Hash("")
	if v.since != "" {
		if accepted, err = repo.Resolve(v.since); err != nil {
			return nil, err
		}
	}
	node, err := verify.New(cfg, repo)
	if err != nil {
		return nil, err
	}
	decisions, err := node.Explain(ctx, c, accepted)
	if err != nil {
		return nil, err
	}
	// What no commit is to blame for is said by Verify alone.
	if _, err := node.Verify(ctx, c, accepted); err != nil && trusted(decisions) {
		return nil, err
	}
	if trusted(decisions) {
		unrendered(ctx, a, cfg, repo, c)
	}
	return decisions, nil
}

// unrendered says what nodes may ask besides, of what they render: a commit that
// is good here is not to be taken for one that they let through. It is advice,
// and left out where it cannot be given.
func unrendered(ctx context.Context, a *app, cfg verify.Config, repo *attest.Repository, c gitops.Commit) {
	_, asked, err := verify.Require(ctx, cfg, repo, c)
	var what []string
	for _, r := range asked {
		if r.Rendered && !r.Met() {
			what = append(what, r.What)
		}
	}
	if err == nil && len(what) > 0 {
		fmt.Fprintf(a.stderr, "note: what is rendered is judged by nodes, not here: %s takes approvals; edgeagent approve %s --dry-run says whose\n",
			escape(strings.Join(what, ", or ")), c.Revision.Hash().Short())
	}
}

func trusted(decisions []gitops.Decision) bool {
	for _, d := range decisions {
		if !d.Trusted {
			return false
		}
	}
	return true
}

// fromConfig takes the trust of a source from a node's file.
func (v *verifyHere) fromConfig() (verify.Config, string, error) {
	c, err := config.Load(v.config)
	if err != nil {
		return verify.Config{}, "", err
	}
	var names []string
	for _, s := range c.Sources {
		names = append(names, s.Name)
		if v.source != s.Name && (v.source != "" || len(c.Sources) > 1) {
			continue
		}
		ref := s.Ref.Branch
		if s.Ref.Tag != "" {
			ref = "refs/tags/" + s.Ref.Tag
		}
		return trustOf(s), ref, nil
	}
	if v.source == "" {
		return verify.Config{}, "", usageError("--config names several sources: choose one with --source " + strings.Join(names, ", "))
	}
	return verify.Config{}, "", fmt.Errorf("%s has no source %s; it has %s", v.config, v.source, strings.Join(names, ", "))
}

// trustOf is what a node's file says about whom a source trusts.
func trustOf(s config.Source) verify.Config {
	return verify.Config{
		Source: s.Name, Mode: s.Trust.Mode, Introduction: s.Trust.Introduction, Insecure: s.Insecure,
		AllowedSigners: s.Trust.AllowedSigners, OpenPGPKeys: s.Trust.OpenPGPKeys, Sigstore: verify.SigstoreConfig(s.Trust.Sigstore), Revoked: s.Trust.Revoked,
		Roots: s.Trust.Threshold.Roots, RootThreshold: s.Trust.Threshold.Count,
	}
}
