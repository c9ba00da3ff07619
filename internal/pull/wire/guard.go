// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// guard ends a request when the link idles or crawls: a server that sends a
// byte now and then would otherwise hold it for as long as it likes. Its clock
// stands still while the caller, not the link, is waited for.
type guard struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	meter  *Meter
	paused atomic.Bool
	anew   atomic.Bool
	worked atomic.Bool
}

// guarded returns a guard that runs until it is ended.
func guarded(parent context.Context, m *Meter, l Limits, timeout time.Duration) *guard {
	g := &guard{meter: m}
	g.ctx, g.cancel = context.WithCancelCause(parent)
	go g.watch(l, timeout)
	return g
}

// pause says that the link is not waited for until resume.
func (g *guard) pause()  { g.paused.Store(true) }
func (g *guard) resume() { g.paused.Store(false) }

// again gives another attempt on another connection its own patience.
func (g *guard) again() { g.anew.Store(true) }

// works says that the server is still at work: a repository that is not packed
// well keeps it busy for minutes, in which nothing comes but a few bytes that
// say so. The link is not too slow then; the time for the request still runs.
func (g *guard) works() { g.worked.Store(true) }

// end releases the guard: the request is over.
func (g *guard) end() { g.cancel(context.Canceled) }

func (g *guard) watch(l Limits, timeout time.Duration) {
	shortest := min(l.Idle, l.RateWindow)
	if timeout > 0 {
		shortest = min(shortest, timeout)
	}
	tick := time.NewTicker(shortest/8 + time.Millisecond)
	defer tick.Stop()
	// The transport's own wait for an answer ends first: it can ask again.
	idle := l.Idle + l.Idle/4
	var waited, moved, window time.Duration // on the clock that stands still in a pause
	last, count := time.Now(), g.meter.total()
	windowCount := count
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if !g.paused.Load() {
			waited += now.Sub(last)
		}
		last = now
		if n := g.meter.total(); n != count || g.anew.Swap(false) {
			count, moved = n, waited
		}
		if g.worked.Swap(false) {
			window, windowCount = waited, count
		}
		switch {
		case timeout > 0 && waited >= timeout:
			g.cancel(failed(gitops.Timeout, "raise timeout, or use a smaller repository or a nearer mirror",
				"it was not done in %s", timeout))
		case waited-moved >= idle:
			g.cancel(failed(gitops.Timeout, "check the network and the server", "no byte moved for %s", l.Idle))
		case waited-window >= l.RateWindow:
			if float64(count-windowCount) < float64(l.MinRate)*(waited-window).Seconds() {
				g.cancel(failed(gitops.TooSlow, "check the network and the server",
					"less than %d bytes a second moved for %s", l.MinRate, l.RateWindow))
			}
			window, windowCount = waited, count
		}
	}
}
