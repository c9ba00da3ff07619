// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net"
	"sync"
	"time"
)

// connection is one connection through the link, with both its ends.
type connection struct {
	proxy   *Proxy
	near    net.Conn
	over    chan struct{} // closed with the connection
	limited bool
	onCut   func()

	mu        sync.Mutex
	far       net.Conn
	ended     bool
	left      int64      // until the cut
	handshake *handshake // nil when everything counts
}

// connect notes the far end, unless the connection is over by now.
func (c *connection) connect(far net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		far.Close() //nolint:errcheck // nothing was sent
		return false
	}
	c.far = far
	return true
}

func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	close(c.over)
	c.near.Close() //nolint:errcheck // cut is cut
	if c.far != nil {
		c.far.Close() //nolint:errcheck // cut is cut
	}
}

// copy carries one way until it ends, by itself or by the cut. A way that ends
// by itself leaves the other one open: it may have more to say.
func (c *connection) copy(to, from net.Conn, up bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(c.piece(buffer))
		if n > 0 && !c.pass(to, buffer[:n], up) {
			c.end()
			return
		}
		if err != nil {
			if half, ok := to.(*net.TCPConn); ok {
				half.CloseWrite() //nolint:errcheck // it is the end anyway
			}
			return
		}
	}
}

// piece is how much is taken at once.
func (c *connection) piece(buffer []byte) []byte {
	if shape := c.proxy.shape.Load(); shape.Drip > 0 {
		return buffer[:min(shape.Drip, len(buffer))]
	}
	return buffer
}

// pass sends bytes on, and reports whether the connection goes on.
func (c *connection) pass(to net.Conn, b []byte, up bool) bool {
	if !c.hold() {
		return false
	}
	b, last := c.allowed(b, up)
	_, err := to.Write(b)
	c.proxy.passed(len(b), up)
	if !last {
		return err == nil
	}
	c.proxy.cut()
	if c.onCut != nil {
		c.onCut()
	}
	return false
}

// allowed is what of b may pass, and whether it is the last that does.
func (c *connection) allowed(b []byte, up bool) ([]byte, bool) {
	if !c.limited {
		return b, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	free := 0
	if c.handshake != nil {
		free = c.handshake.take(b, up)
	}
	counted := int64(len(b) - free)
	if counted < c.left {
		c.left -= counted
		return b, false
	}
	b = b[:int64(free)+c.left]
	c.left = 0
	return b, true
}

// hold waits as the shape says, and reports whether the connection still is.
func (c *connection) hold() bool {
	for {
		shape := c.proxy.shape.Load()
		if done, open := c.await(shape); done {
			return open
		}
	}
}

// await is done when the wait of one shape is over, or the connection is.
func (c *connection) await(shape *shaped) (done, open bool) {
	var passes <-chan time.Time
	if !shape.Blackhole {
		wait := shape.Delay
		if shape.Drip > 0 {
			wait += shape.Tick
		}
		if wait == 0 {
			return true, true
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		passes = timer.C
	}
	select {
	case <-passes:
		return true, true
	case <-c.over:
		return true, false
	case <-shape.replaced:
		return false, true
	}
}
