// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/reconcile"
	"github.com/edgeagent/edgeagent/internal/render"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// build puts an agent together, in the order of the flow: pull, verify, render,
// reconcile, journal.
func (d *daemon) build(ctx context.Context, cfg config.Config) (*agent.Agent, error) {
	cluster, err := reconcile.New(reconcile.Config{
		Kubeconfig: cfg.Cluster.Kubeconfig, Context: cfg.Cluster.Context,
		Concurrency: cfg.Cluster.Concurrency, Node: cfg.Node.Name, Version: version,
	})
	if err != nil {
		return nil, err
	}
	ac := agent.Config{
		Version: version,
		Node:    gitops.NodeStatus{Name: cfg.Node.Name, Labels: cfg.Node.Labels},
		Cluster: cluster,
		Journal: crashing(d.journal),
		Log:     d.log,
		Watch:   cluster.Changes,

		AcceptWriter: cluster.AcceptWriter,
		Marked:       cluster.Marked,
		Release:      d.objects.Remove,
		ImportDir:    filepath.Join(cfg.StateDir, "import"),

		Floor:        builtAt(),
		Synchronised: d.synchronised,
		Replaces:     d.current.Load(),
	}
	for _, s := range cfg.Sources {
		sc, err := d.source(ctx, cfg, s)
		if err != nil {
			return nil, err
		}
		ac.Sources = append(ac.Sources, sc)
	}
	return agent.New(ac), nil
}

// source makes the stages of one source.
func (d *daemon) source(ctx context.Context, cfg config.Config, s config.Source) (agent.SourceConfig, error) {
	sc := agent.SourceConfig{
		Name: s.Name, URL: shownURL(s.URL), Ref: shownRef(s.Ref), Interval: s.Interval,
		Adopt: s.Adopt, Prune: s.Prune, OnRemove: s.OnRemove, Drift: s.Drift,
		Rollback: agent.RollbackMode{Auto: s.Rollback.Mode == "auto", Max: s.Rollback.Max},
		Health:   agent.HealthLimits{Timeout: s.Health.Timeout, Stable: s.Health.Stable},
		Guard:    s.PrunePolicy.Guard(),

		MaxStaleness: s.Staleness(), Unverified: s.Trust.Mode == config.TrustNone,
		Statements: s.Trust.Threshold.Count > 0 || s.Staleness() > 0,
	}
	introduction, err := d.introduction(ctx, s)
	if err != nil {
		return sc, err
	}
	pc := pullConfig(cfg, s)
	pc.Introduction = introduction
	if s.Trust.Mode != config.TrustNone {
		for _, kind := range []string{"revocations/", "seals/", "heartbeat/"} {
			pc.Carry = append(pc.Carry, statements+kind)
		}
		pc.CarryNew = []string{statements + "approvals/"}
	}
	if pc.Spent, err = d.journal.Link(ctx, s.Name); err != nil {
		return sc, err
	}
	pc.Progress = func() { d.moved.Store(time.Now().UnixNano()) }
	if sc.Git, err = pull.New(pc, d.objects); err != nil {
		return sc, err
	}
	if sc.Verifier, err = verify.New(d.trust(s, introduction), d.objects); err != nil {
		return sc, err
	}
	sc.Renderer, err = render.New(render.Config{
		Source: s.Name, Path: s.Path, Version: version,
		Node: render.Node{Name: cfg.Node.Name, Labels: cfg.Node.Labels, Variables: cfg.Node.Variables},
	}, d.objects)
	return sc, err
}

// statements is where signed statements are kept in a repository: approvals,
// revocations, seals, heartbeats.
const statements = "refs/edgeagent/"

// trust is what the decision about a source rests on: the node's files, what the
// repository carries, and what the journal remembers.
func (d *daemon) trust(s config.Source, introduction string) verify.Config {
	var synchronised func() bool // nil asks for no such clock
	if s.Trust.Clock == config.ClockSynchronised {
		synchronised = d.synchronised
	}
	return verify.Config{
		Source: s.Name, Mode: s.Trust.Mode, Introduction: introduction, Pinned: introduction != s.Trust.Introduction,
		AllowedSigners: s.Trust.AllowedSigners, OpenPGPKeys: s.Trust.OpenPGPKeys, Sigstore: verify.SigstoreConfig(s.Trust.Sigstore), Revoked: s.Trust.Revoked,
		Roots: s.Trust.Threshold.Roots, RootThreshold: s.Trust.Threshold.Count,
		Insecure: s.Insecure, TagOf: d.tagOf(s.Name), Floor: builtAt(), Synchronised: synchronised,
		Carried: func(ctx context.Context) (map[string]gitops.Hash, error) { return d.objects.Carried(ctx, s.Name) },
		Remembered: func(ctx context.Context) (verify.Remembered, error) {
			state, err := d.journal.State(ctx, s.Name)
			known := state.Learned
			return verify.Remembered{
				TrustVersion: known.TrustVersion, Revoked: known.Revoked, Floor: known.Floor,
				Heartbeat: known.Heartbeat, Introduction: state.Introduction,
			}, err
		},
		Waived: func(ctx context.Context) (verify.Waived, error) {
			state, err := d.journal.State(ctx, s.Name)
			if err != nil || state.Waiver == nil || !state.Waiver.Used.IsZero() {
				return verify.Waived{}, err
			}
			return verify.Waived{From: state.Waiver.From, To: state.Waiver.To}, nil
		},
	}
}

// introduction is where trust begins: what the file says, or what first-seen
// was pinned to.
func (d *daemon) introduction(ctx context.Context, s config.Source) (string, error) {
	if s.Trust.Introduction != config.FirstSeen {
		return s.Trust.Introduction, nil
	}
	state, err := d.journal.State(ctx, s.Name)
	if err != nil {
		return "", err
	}
	if state.Introduction != "" {
		return string(state.Introduction), nil
	}
	return config.FirstSeen, nil
}

// builtAt is a time that has certainly passed. On a node without a clock that
// keeps running, keys are not judged earlier than that.
func builtAt() time.Time {
	seconds, err := strconv.ParseInt(built, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// tagOf finds the signed tag under which a revision was accepted.
func (d *daemon) tagOf(source string) func(context.Context, gitops.Revision) (gitops.Hash, error) {
	return func(ctx context.Context, rev gitops.Revision) (gitops.Hash, error) {
		state, err := d.journal.State(ctx, source)
		if err != nil {
			return "", err
		}
		if at := state.Accepted; at != nil && at.Revision == rev && at.Tag != "" {
			return at.Tag, nil
		}
		return "", &gitops.Error{
			Reason:  gitops.Incomplete,
			Message: "verify " + rev.Short() + " again: the journal does not name the tag that it was accepted under",
			Remedy:  "wait for the next poll",
		}
	}
}

func pullConfig(cfg config.Config, s config.Source) pull.Config {
	pc := pull.Config{
		Source: s.Name, URL: s.URL, Insecure: s.Insecure,
		Ref:     pull.Ref{Branch: s.Ref.Branch, Tag: s.Ref.Tag, Semver: s.Ref.Semver, Commit: s.Ref.Commit},
		Timeout: s.Timeout, Interval: s.Interval, Introduction: s.Trust.Introduction,
		Auth: credentials(s.Auth), Proxy: s.Link.Proxy, BudgetPerDay: int64(s.Link.BudgetPerDay),
		RuntimeDir: runtimeDir(cfg), StateDir: cfg.StateDir,
	}
	for _, m := range s.Mirrors {
		pc.Mirrors = append(pc.Mirrors, pull.Mirror{URL: m.URL, Type: m.Type, Auth: credentials(s.AuthOf(m))})
	}
	return pc
}

func credentials(a config.Auth) pull.Auth {
	return pull.Auth{
		UsernameFile: a.UsernameFile, PasswordFile: a.PasswordFile,
		SSHKeyFile: a.SSHKeyFile, KnownHostsFile: a.KnownHostsFile,
		CAFile: a.CAFile, ClientCertFile: a.ClientCertFile, ClientKeyFile: a.ClientKeyFile,
	}
}

// shownURL is the URL as people may see it. The configuration refuses URLs with
// credentials; this is for the one that slips through.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return raw
	}
	if u.Scheme == "ssh" {
		u.User = url.User(u.User.Username())
		return u.String()
	}
	u.User = nil
	return u.String()
}

func shownRef(r config.Ref) string {
	for _, ref := range []string{r.Branch, r.Tag, r.Semver} {
		if ref != "" {
			return ref
		}
	}
	return gitops.Hash(r.Commit).Short()
}
