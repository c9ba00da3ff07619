// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// pollsPerDay is how often an idle node asks in a day, at an interval of 60 s.
const pollsPerDay = 24 * 60

// linkKind is a way to the Git server.
type linkKind struct {
	what   string
	tls    bool
	keep   bool // the connection lives from one poll to the next
	target string
	day    string // the target of a whole day, "" when there is none
}

var linkKinds = []linkKind{
	{what: "without TLS, kept alive", keep: true, target: "≤ 0.7 kB, 1 request", day: "≤ 0.8 MB"},
	{what: "without TLS, a connection each", target: "≤ 0.7 kB, 1 request", day: "≤ 0.8 MB"},
	{what: "TLS, kept alive", tls: true, keep: true, target: "≤ 0.9 kB"},
	{what: "TLS, resumed each time", tls: true, target: "≤ 2 kB"},
}

// idleDays are the bytes of a day in which nothing is new, by a simulated
// clock, and of one poll in it.
func (b *bench) idleDays() ([]row, error) {
	var rows []row
	for _, kind := range linkKinds {
		one, day, requests, err := b.idleDay(kind)
		if err != nil {
			return nil, fmt.Errorf("an idle day %s: %w", kind.what, err)
		}
		rows = append(rows,
			row{"one poll " + kind.what + ": bytes", fmt.Sprintf("%s in %.2f requests", kilobytes(one), requests), "", "", kind.target},
			row{"idle day " + kind.what + ", 1440 polls", fmt.Sprintf("%.3f MB", float64(day)/1e6), "", "", kind.day})
	}
	return rows, nil
}

// idleDay polls for a day. The bytes are those of the wire, TLS included.
func (b *bench) idleDay(kind linkKind) (one, day int64, requests float64, err error) {
	server, err := gitserver.Start(b.ctx, gitserver.Config{Root: filepath.Dir(b.repo.Bare), TLS: kind.tls})
	if err != nil {
		return 0, 0, 0, err
	}
	defer server.Stop()
	path, err := link.Start(server.Address(), link.Shape{})
	if err != nil {
		return 0, 0, 0, err
	}
	defer path.Close()
	now := time.Now()
	source, closeSource, err := b.puller(server, path, func() time.Time { return now })
	if err != nil {
		return 0, 0, 0, err
	}
	defer closeSource()
	if err := poll(b.ctx, source); err != nil {
		return 0, 0, 0, err
	}
	server.Forget()
	path.Forget()
	for range pollsPerDay {
		now = now.Add(time.Minute)
		if !kind.keep {
			path.Sever()
		}
		if err := poll(b.ctx, source); err != nil {
			return 0, 0, 0, err
		}
	}
	day = path.Counters().Total()
	return day / pollsPerDay, day, float64(server.Traffic().Requests) / pollsPerDay, nil
}

// puller is the agent's Git client alone, on a store of its own.
func (b *bench) puller(server *gitserver.Server, path *link.Proxy, now func() time.Time) (*pull.Source, func(), error) {
	dir, err := os.MkdirTemp(b.dir, "puller-")
	if err != nil {
		return nil, nil, err
	}
	store, err := objects.Open(filepath.Join(dir, "objects.db"), objects.Options{})
	if err != nil {
		return nil, nil, err
	}
	scheme := "http://"
	if server.CAFile() != "" {
		scheme = "https://"
	}
	source, err := pull.New(pull.Config{
		Source: source, URL: scheme + path.Addr() + "/" + b.repo.Name, Insecure: true,
		Ref: pull.Ref{Branch: "main"}, Auth: pull.Auth{CAFile: server.CAFile()},
		Interval: time.Minute, Timeout: time.Minute, RuntimeDir: dir, StateDir: dir, Now: now,
	}, store)
	return source, func() { store.Close() }, err //nolint:errcheck // the directory goes
}

func poll(ctx context.Context, source *pull.Source) error {
	for {
		_, err := source.Commits(ctx, gitops.PollRequest{})
		if gitops.ReasonOf(err) != gitops.Fetching {
			return err
		}
	}
}
