// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// Meter counts bytes as they are on the wire, encryption and headers included:
// it is what a metered link is billed for. Several clients may share one.
type Meter struct {
	in, out atomic.Int64
	moved   func()
}

// NewMeter calls moved with every read and write that moved something, nil =
// nobody asks. It may be called by several goroutines and must not block.
func NewMeter(moved func()) *Meter { return &Meter{moved: moved} }

// Bytes are those that came and went until now.
func (m *Meter) Bytes() (in, out int64) { return m.in.Load(), m.out.Load() }

func (m *Meter) total() int64 { return m.in.Load() + m.out.Load() }

func (m *Meter) count(to *atomic.Int64, n int) {
	if n <= 0 {
		return
	}
	to.Add(int64(n))
	if m.moved != nil {
		m.moved()
	}
}

type meteredConn struct {
	net.Conn
	m *Meter
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

// dialer connects within a time and counts from then on. TCP's own keep-alive
// is off: between two polls it would cost more than the polls, and during a
// request the guard finds a dead connection.
func (m *Meter) dialer(connect time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: connect, KeepAlive: -1}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return meteredConn{c, m}, nil
	}
}
