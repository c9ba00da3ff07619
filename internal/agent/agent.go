// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Agent runs the sources of one configuration side by side.
type Agent struct {
	cfg     Config
	sources []*source
	// identity is set when the journal was written by a node of another name:
	// nothing is applied until a person accepts the new one.
	identity atomic.Pointer[gitops.Error]
	former   string // the name that the journal knows the node by, set by open
}

// New puts the agent together. Nothing is read or written until Run.
func New(cfg Config) *Agent {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Release == nil {
		cfg.Release = func(context.Context, string) error { return nil }
	}
	a := &Agent{cfg: cfg}
	for _, sc := range cfg.Sources {
		a.sources = append(a.sources, newSource(a, sc))
	}
	return a
}

// Run converges every source until ctx ends. It returns early only when the
// journal cannot be read at all.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.open(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, s := range a.sources {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Go(func() { a.departed(ctx) })
	if a.cfg.ImportDir != "" {
		wg.Go(func() { newDrop(a).run(ctx) })
	}
	if a.cfg.Watch != nil {
		wg.Go(func() { a.wake(ctx, a.cfg.Watch(ctx)) })
	}
	wg.Wait()
	<-ctx.Done() // a node without sources waits for a configuration that has some
	return nil
}

// wake has the sources look at the cluster whose objects were changed.
func (a *Agent) wake(ctx context.Context, changed <-chan string) {
	for {
		select {
		case <-ctx.Done():
			return
		case name, ok := <-changed:
			if !ok {
				return
			}
			if s, err := a.source(name); err == nil {
				s.nudge()
			}
		}
	}
}

// Once runs one cycle of every source, takes in what lies in the folder for
// bundles, and returns when what came of that ended, too: it is in Status.
func (a *Agent) Once(ctx context.Context) error {
	if err := a.open(ctx); err != nil {
		return err
	}
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		if a.cfg.ImportDir != "" {
			newDrop(a).once(ctx)
		}
	}()
	var wg sync.WaitGroup
	for _, s := range a.sources {
		wg.Go(func() { s.once(ctx, taken) })
	}
	wg.Wait()
	<-taken
	return ctx.Err()
}

// once runs one cycle, and one after each order that comes until closing.
func (s *source) once(ctx context.Context, closing <-chan struct{}) {
	s.pollNow = true
	for {
		s.settle(ctx)
		for s.view.fetching() && ctx.Err() == nil { // what comes in parts is one cycle
			s.idle(ctx, s.nextCycle())
			s.settle(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-closing:
			return
		case o := <-s.orders:
			s.obey(ctx, o)
		}
	}
}

// open checks whose journal this is and tells it the configuration.
func (a *Agent) open(ctx context.Context) error {
	name, err := a.cfg.Journal.NodeName(ctx)
	if err != nil {
		return err
	}
	a.former = name
	switch name {
	case a.cfg.Node.Name:
	case "":
		if err := a.cfg.Journal.SetNodeName(ctx, a.cfg.Node.Name); err != nil {
			return err
		}
	default:
		a.identity.Store(&gitops.Error{
			Reason:  gitops.IdentityChanged,
			Message: fmt.Sprintf("the journal belongs to node %q and this node is now called %q: nothing is applied", name, a.cfg.Node.Name),
			Remedy:  "set node.name in the configuration, or run: edgeagent accept-identity",
		})
	}
	a.goOn()
	for _, s := range a.sources {
		if err := a.cfg.Journal.Configure(ctx, s.cfg.Name, s.cfg.OnRemove); err != nil {
			return err
		}
	}
	return nil
}

// goOn takes the count of cycles over from the agent before, which has ended.
func (a *Agent) goOn() {
	if a.cfg.Replaces == nil {
		return
	}
	for _, s := range a.sources {
		if old, err := a.cfg.Replaces.source(s.cfg.Name); err == nil {
			s.view.cycles = old.published.Load().source.Cycle
			s.underway = old.underway // a reload is no crash: the attempt is not resumed, it goes on
			s.publish(gitops.SourceState{Source: s.cfg.Name})
		}
	}
	a.cfg.Replaces = nil
}

// Status is a copy of what every source published last.
func (a *Agent) Status() gitops.Status {
	st := gitops.Status{
		APIVersion: gitops.APIVersion, Kind: gitops.StatusKind,
		Version: a.cfg.Version, Node: a.cfg.Node,
		Sources: make([]gitops.SourceStatus, 0, len(a.sources)),
	}
	st.Node.Labels = maps.Clone(st.Node.Labels)
	st.Clock = a.clock()
	for _, s := range a.sources {
		seen := s.published.Load()
		source := snapshot(seen.source)
		source.Link = s.link(seen.later) // as it is now: a long transfer is seen to get on
		st.Sources = append(st.Sources, source)
		// The newest look at the cluster counts, whichever source took it.
		if seen.clusterAt.After(time.Time{}) && (st.Cluster == gitops.ClusterStatus{} || seen.cluster.Reachable) {
			st.Cluster = seen.cluster
		}
	}
	if e := a.identity.Load(); e != nil {
		st.Problems = append(st.Problems, e.Error())
	}
	return st
}

// Progress is when the slowest source last showed that it is alive. The
// watchdog is fed by it, not by a timer of its own.
func (a *Agent) Progress() time.Time {
	oldest := a.cfg.Now()
	for _, s := range a.sources {
		if at := time.Unix(0, s.alive.Load()); at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

func (a *Agent) source(name string) (*source, error) {
	for _, s := range a.sources {
		if s.cfg.Name == name {
			return s, nil
		}
	}
	return nil, &gitops.Error{
		Reason:  gitops.NotFoundHere,
		Message: fmt.Sprintf("there is no source %q in the configuration of this node", name),
		Remedy:  "edgeagent status lists the sources",
	}
}
