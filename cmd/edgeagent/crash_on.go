// SPDX-License-Identifier: Apache-2.0

//go:build crashpoint

package main

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
)

// crashing kills the process with SIGKILL at the Nth point of a run, where N is
// in the environment. There is a point before and one after every write to the
// journal, so a test that counts N up crashes the agent in every phase.
func crashing(j agent.Journal) agent.Journal {
	at, err := strconv.ParseInt(os.Getenv("EDGEAGENT_CRASH_AT"), 10, 64)
	if err != nil {
		return j
	}
	return &crashJournal{Journal: j, at: at}
}

type crashJournal struct {
	agent.Journal
	at   int64
	seen atomic.Int64
}

func (c *crashJournal) point() {
	if c.seen.Add(1) == c.at {
		syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // there is no after
		select {}
	}
}

func (c *crashJournal) Begin(ctx context.Context, r gitops.BeginRequest) (gitops.Attempt, error) {
	c.point()
	defer c.point()
	return c.Journal.Begin(ctx, r)
}

func (c *crashJournal) Advance(ctx context.Context, attempt int64, to gitops.Phase, o gitops.Outcome) error {
	c.point()
	defer c.point()
	return c.Journal.Advance(ctx, attempt, to, o)
}

func (c *crashJournal) Resume(ctx context.Context, attempt int64) (gitops.Attempt, error) {
	c.point()
	defer c.point()
	return c.Journal.Resume(ctx, attempt)
}

func (c *crashJournal) Accept(ctx context.Context, source string, at gitops.At, unchanged bool) error {
	c.point()
	defer c.point()
	return c.Journal.Accept(ctx, source, at, unchanged)
}

func (c *crashJournal) SetClusterUID(ctx context.Context, source, uid string) error {
	c.point()
	defer c.point()
	return c.Journal.SetClusterUID(ctx, source, uid)
}

func (c *crashJournal) Record(ctx context.Context, source string, items []gitops.Item) error {
	c.point()
	defer c.point()
	return c.Journal.Record(ctx, source, items)
}
