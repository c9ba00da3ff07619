// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// meter counts the bytes of a source's connections as they are on the wire,
// encryption and headers included: it is what a metered link is billed for.
type meter struct {
	in, out atomic.Int64
	moved   func() // called with every read and write that moved something
}

// count adds bytes that moved.
func (m *meter) count(to *atomic.Int64, n int) {
	if n > 0 {
		to.Add(int64(n))
		m.moved()
	}
}

// pulse tells somebody, at most once a second, that a poll is alive.
type pulse struct {
	call func()

	mu   sync.Mutex
	last time.Time
}

// beat may be called from any goroutine.
func (p *pulse) beat() {
	if p.call == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.last) >= time.Second {
		p.last = now
		p.call()
	}
}

type meteredConn struct {
	net.Conn
	m *meter
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.m.count(&c.m.in, n)
	return n, err
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.m.count(&c.m.out, n)
	return n, err
}

// dialer connects within a time and counts from then on.
func (m *meter) dialer(connect time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return meteredConn{c, m}, nil
	}
}

// guard ends the returned context when the link idles or crawls: a server that
// sends a byte now and then would otherwise hold a poll for as long as it likes.
func (m *meter) guard(parent context.Context, l Limits, timeout time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	go m.watch(ctx, cancel, l, timeout)
	return ctx, func() { cancel(context.Canceled) }
}

func (m *meter) watch(ctx context.Context, cancel context.CancelCauseFunc, l Limits, timeout time.Duration) {
	tick := time.NewTicker(min(l.Idle, l.RateWindow, timeout)/8 + time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	moved, window := start, start
	count := m.in.Load() + m.out.Load()
	windowCount := count
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if n := m.in.Load() + m.out.Load(); n != count {
			count, moved = n, now
		}
		switch {
		case now.Sub(start) >= timeout:
			cancel(failed(gitops.Timeout, "raise timeout, or use a smaller repository or a nearer mirror",
				"it was not done in %s", timeout))
		case now.Sub(moved) >= l.Idle:
			cancel(failed(gitops.Timeout, "check the network and the server", "no byte moved for %s", l.Idle))
		case now.Sub(window) >= l.RateWindow:
			if float64(count-windowCount) < float64(l.MinRate)*now.Sub(window).Seconds() {
				cancel(failed(gitops.TooSlow, "check the network and the server",
					"less than %d bytes a second moved for %s", l.MinRate, l.RateWindow))
			}
			window, windowCount = now, count
		}
	}
}
