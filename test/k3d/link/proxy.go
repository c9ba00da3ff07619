// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Shape is how bad the link is. The zero Shape is a good one.
type Shape struct {
	// Cut ends every connection once so many bytes passed it, both ways
	// together, to the byte. 0 = never.
	Cut int64
	// FromTLS counts towards Cut only what follows the TLS handshake.
	FromTLS bool
	// OnCut is called when a connection's last byte has passed, before the
	// connection is closed. nil = nobody asks.
	OnCut func()
	// Blackhole takes no connection's bytes anywhere while it is set.
	Blackhole bool
	// Delay is how much later each piece arrives.
	Delay time.Duration
	// Drip lets so many bytes pass each way per Tick. 0 = any number.
	Drip int
	Tick time.Duration
}

// Counters are what went through since the start, or the last Forget.
type Counters struct {
	Connections int   // accepted
	Cuts        int   // ended by Shape.Cut
	Up, Down    int64 // bytes to and from what is behind the proxy
}

// Total is the bytes of both ways.
func (c Counters) Total() int64 { return c.Up + c.Down }

// shaped is a Shape and the news that there is another one.
type shaped struct {
	Shape
	replaced chan struct{}
}

// Proxy is a link. Its methods may be called from any goroutine.
type Proxy struct {
	listener net.Listener
	shape    atomic.Pointer[shaped]

	mu       sync.Mutex
	upstream string
	open     map[*connection]struct{}
	counters Counters
	closed   bool
	wait     sync.WaitGroup
}

// Start listens on a free port of loopback and leads to upstream, host:port.
func Start(upstream string, shape Shape) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the link to %s: %w", upstream, err)
	}
	p := &Proxy{listener: listener, upstream: upstream, open: map[*connection]struct{}{}}
	p.Set(shape)
	p.wait.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where the link is entered, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes the link. Cut, FromTLS and OnCut are those of the moment in which
// a connection began; everything else holds for the open ones too.
func (p *Proxy) Set(shape Shape) {
	if shape.Drip > 0 && shape.Tick <= 0 {
		shape.Tick = time.Second
	}
	old := p.shape.Swap(&shaped{Shape: shape, replaced: make(chan struct{})})
	if old != nil {
		close(old.replaced)
	}
}

// Lead sends the connections that begin from now on to another upstream.
func (p *Proxy) Lead(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
}

// Sever ends every open connection. New ones are taken as before.
func (p *Proxy) Sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.end()
	}
}

// Counters are what went through so far.
func (p *Proxy) Counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters
}

// Forget sets the counters to zero.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters = Counters{}
}

// Close ends the link and every connection, and waits for them.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listener.Close() //nolint:errcheck // a closed listener is what is wanted
	p.Sever()
	p.wait.Wait()
}

func (p *Proxy) accept() {
	defer p.wait.Done()
	for {
		near, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		c := p.admit(near)
		if c == nil {
			near.Close() //nolint:errcheck // the proxy is over
			return
		}
		p.wait.Add(1)
		go func() {
			defer p.wait.Done()
			p.carry(c)
		}()
	}
}

// admit notes a connection, or says that the proxy is closed.
func (p *Proxy) admit(near net.Conn) *connection {
	shape := p.shape.Load().Shape
	c := &connection{proxy: p, near: near, over: make(chan struct{}), left: shape.Cut, limited: shape.Cut > 0, onCut: shape.OnCut}
	if shape.FromTLS {
		c.handshake = &handshake{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.counters.Connections++
	p.open[c] = struct{}{}
	return c
}

func (p *Proxy) carry(c *connection) {
	defer func() {
		c.end()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, c)
	}()
	p.mu.Lock()
	upstream := p.upstream
	p.mu.Unlock()
	far, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	if !c.connect(far) {
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { c.copy(far, c.near, true) })
	ways.Go(func() { c.copy(c.near, far, false) })
	ways.Wait()
}

func (p *Proxy) passed(n int, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		p.counters.Up += int64(n)
	} else {
		p.counters.Down += int64(n)
	}
}

func (p *Proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counters.Cuts++
}
