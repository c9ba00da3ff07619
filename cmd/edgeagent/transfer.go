// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// transfer counts the bytes of a bundle and shows on a terminal how far it is.
// While none move it shows what the source is doing: before an export, a whole
// tree may have to be fetched.
type transfer struct {
	source string // "" where nobody knows yet
	doing  string // "sent"
	total  int64  // 0 or less where nobody knows

	count atomic.Int64
	state atomic.Pointer[gitops.SourceStatus]
	end   func()
}

// Write counts.
func (t *transfer) Write(p []byte) (int, error) {
	t.count.Add(int64(len(p)))
	return len(p), nil
}

// startTransfer shows what goes on until end is called.
func startTransfer(ctx context.Context, a *app, source, doing string, total int64) *transfer {
	t := &transfer{source: source, doing: doing, total: total, end: func() {}}
	line := newProgress(a)
	if line.w == nil {
		return t
	}
	ctx, cancel := context.WithCancel(ctx)
	var shown sync.WaitGroup
	if t.source != "" {
		shown.Go(func() {
			// Without it there is less to see, and nothing is wrong.
			a.client().Watch(ctx, t.source, func(s gitops.Status) error { //nolint:errcheck // the same
				t.state.Store(&s.Sources[0])
				return nil
			})
		})
	}
	shown.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for last := int64(-1); ; {
			select {
			case <-ctx.Done():
				line.clear()
				return
			case <-tick.C:
				now := t.count.Load()
				line.say(t.line(now != last))
				last = now
			}
		}
	})
	t.end = func() { cancel(); shown.Wait() }
	return t
}

// line says how far it is, and what the source is doing when nothing moves.
func (t *transfer) line(moves bool) string {
	count := t.count.Load()
	line := size(count) + " " + t.doing
	if t.total > 0 {
		line = size(count) + " of " + size(t.total) + " " + t.doing
	}
	if s := t.state.Load(); s != nil && !moves {
		line += "; " + s.Name + ": " + string(s.Phase)
		if s.Progress != "" {
			line += ", " + s.Progress
		}
	}
	return line
}
