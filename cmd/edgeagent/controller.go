// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"slices"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
	"github.com/edgeagent/edgeagent/internal/notify"
)

// controller answers the socket with whichever agent runs now.
type controller struct{ d *daemon }

var _ localapi.Controller = controller{}

func (c controller) Status() gitops.Status {
	a := c.d.current.Load()
	if a == nil {
		return gitops.Status{APIVersion: gitops.APIVersion, Kind: gitops.StatusKind, Version: version, Sources: []gitops.SourceStatus{}}
	}
	st := a.Status()
	if why := *c.d.refused.Load(); why != "" {
		st.Problems = append(st.Problems, why)
	}
	return st
}

// agent is the one that runs now.
func (c controller) agent() (*agent.Agent, error) {
	if a := c.d.current.Load(); a != nil {
		return a, nil
	}
	return nil, &gitops.Error{Reason: gitops.NotYet, Message: "the daemon is still starting", Remedy: "try again in a moment"}
}

// names is the one source that was asked for, or all.
func (c controller) names(source string) []string {
	if source != "" {
		return []string{source}
	}
	var names []string
	for _, s := range c.Status().Sources {
		names = append(names, s.Name)
	}
	return names
}

func (c controller) History(ctx context.Context, source string, limit int) ([]gitops.Attempt, error) {
	a, err := c.agent()
	if err != nil {
		return nil, err
	}
	var all []gitops.Attempt
	for _, name := range c.names(source) {
		attempts, err := a.History(ctx, name, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, attempts...)
	}
	slices.SortStableFunc(all, func(x, y gitops.Attempt) int { return y.Started.Compare(x.Started) })
	return all[:min(limit, len(all))], nil
}

func (c controller) Show(ctx context.Context, source, revision string) (gitops.Attempt, gitops.Manifests, error) {
	a, err := c.agent()
	if err != nil {
		return gitops.Attempt{}, gitops.Manifests{}, err
	}
	return a.Show(ctx, source, revision)
}

func (c controller) Diff(ctx context.Context, source string) ([]gitops.ObjectDiff, error) {
	a, err := c.agent()
	if err != nil {
		return nil, err
	}
	var all []gitops.ObjectDiff
	for _, name := range c.names(source) {
		diffs, err := a.Diff(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, diffs...)
	}
	return all, nil
}

func (c controller) Verify(ctx context.Context, source, revision string) ([]gitops.Decision, error) {
	a, err := c.agent()
	if err != nil {
		return nil, err
	}
	decisions, err := a.Verify(ctx, source, revision)
	for _, st := range a.Status().Sources {
		if st.Name == source {
			withRefusal(decisions, st)
		}
	}
	return decisions, err
}

// withRefusal adds why the newest head is refused where no signature is to blame:
// kinds and namespaces are judged on what is rendered, which comes later.
func withRefusal(decisions []gitops.Decision, st gitops.SourceStatus) {
	r := st.Refused
	if r == nil || len(decisions) == 0 || !trusted(decisions) || decisions[0].Commit != r.Revision.Hash() || st.Condition(gitops.ConditionVerified).Status != "False" {
		return
	}
	at := max(0, slices.IndexFunc(decisions, func(d gitops.Decision) bool { return d.Commit == r.Commit }))
	decisions[at].Trusted, decisions[at].Reason, decisions[at].Message = false, r.Reason, r.Message
}

func (c controller) Sync(ctx context.Context, source string, r localapi.SyncRequest) (localapi.Ticket, error) {
	return c.ticket(source, func(a *agent.Agent, name string) (int64, error) {
		return a.Sync(ctx, name, r.AllowPrune)
	})
}

func (c controller) Retry(ctx context.Context, source string) (localapi.Ticket, error) {
	return c.ticket(source, func(a *agent.Agent, name string) (int64, error) { return a.Retry(ctx, name) })
}

func (c controller) Resume(ctx context.Context, source string) (localapi.Ticket, error) {
	return c.ticket(source, func(a *agent.Agent, name string) (int64, error) { return a.Resume(ctx, name) })
}

func (c controller) Rollback(ctx context.Context, source string, r localapi.RollbackRequest) (localapi.RollbackResponse, error) {
	var hold gitops.Hold
	ticket, err := c.ticket(source, func(a *agent.Agent, name string) (cycle int64, err error) {
		hold, cycle, err = a.Rollback(ctx, name, r.To, r.Pin, r.By)
		return cycle, err
	})
	return localapi.RollbackResponse{Hold: hold, Ticket: ticket}, err
}

func (c controller) Suspend(ctx context.Context, source string, r localapi.SuspendRequest) error {
	a, err := c.agent()
	if err != nil {
		return err
	}
	return a.Suspend(ctx, source, r.Reason, r.By)
}

func (c controller) Remove(ctx context.Context, source string, r localapi.RemoveRequest) ([]gitops.Change, error) {
	a, err := c.agent()
	if err != nil {
		return nil, err
	}
	return a.Remove(ctx, source, r.Prune)
}

func (c controller) Accept(ctx context.Context, source string, r localapi.AcceptRequest) (localapi.AcceptResponse, error) {
	var w gitops.Waiver
	ticket, err := c.ticket(source, func(a *agent.Agent, name string) (cycle int64, err error) {
		w, cycle, err = a.Accept(ctx, name, r.Revision, r.Reason, r.By)
		return cycle, err
	})
	return localapi.AcceptResponse{Waiver: w, Ticket: ticket}, err
}

// AcceptIdentity goes on under the node's new name.
func (c controller) AcceptIdentity(ctx context.Context) error {
	a, err := c.agent()
	if err != nil {
		return err
	}
	return a.AcceptIdentity(ctx)
}

func (c controller) Import(ctx context.Context, source, file string) (gitops.Imported, error) {
	a, err := c.agent()
	if err != nil {
		return gitops.Imported{}, err
	}
	return a.Import(ctx, source, file)
}

func (c controller) Export(ctx context.Context, source string, w io.Writer) error {
	a, err := c.agent()
	if err != nil {
		return err
	}
	return a.Export(ctx, source, w)
}

// Metrics are of the status, and of nothing that it does not say.
func (c controller) Metrics(w io.Writer) error { return notify.Metrics(w, c.Status()) }

// ticket gives an order to one source, or to all, and says what to wait for.
func (c controller) ticket(source string, order func(a *agent.Agent, name string) (int64, error)) (localapi.Ticket, error) {
	t := localapi.Ticket{Cycles: map[string]int64{}}
	a, err := c.agent()
	if err != nil {
		return t, err
	}
	for _, name := range c.names(source) {
		cycle, err := order(a, name)
		if err != nil {
			return t, err
		}
		t.Cycles[name] = cycle
	}
	return t, nil
}
