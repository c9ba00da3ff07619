// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// watches holds the streams of all sources, and tells which source's objects
// changed. Without it every plan lists; with it an idle cycle asks nothing.
type watches struct {
	ctx context.Context // ends all streams

	mu      sync.Mutex
	streams map[string]map[schema.GroupVersionResource]*following
	pending map[string]bool
	bell    chan struct{}
}

type following struct {
	*stream
	stop context.CancelFunc
}

// Changes makes planning read from watches instead of listing, until ctx ends.
// The channel names sources whose objects were changed, deleted or may have
// been while nobody looked; several changes of one source may come as one.
func (c *Cluster) Changes(ctx context.Context) <-chan string {
	w := &watches{
		ctx: ctx, bell: make(chan struct{}, 1),
		streams: map[string]map[schema.GroupVersionResource]*following{}, pending: map[string]bool{},
	}
	c.mu.Lock()
	c.watches = w
	c.mu.Unlock()
	out := make(chan string)
	go w.ring(out)
	return out
}

// ring hands pending sources out, one at a time.
func (w *watches) ring(out chan<- string) {
	defer close(out)
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.bell:
		}
		for source := range w.drain() {
			select {
			case out <- source:
			case <-w.ctx.Done():
				return
			}
		}
	}
}

func (w *watches) drain() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	pending := w.pending
	w.pending = map[string]bool{}
	return pending
}

func (w *watches) moved(source string) {
	w.mu.Lock()
	w.pending[source] = true
	w.mu.Unlock()
	select {
	case w.bell <- struct{}{}:
	default: // it rings already
	}
}

// watching returns the streams, nil while planning lists.
func (c *Cluster) watching() *watches {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watches == nil || c.watches.ctx.Err() != nil {
		return nil
	}
	return c.watches
}

// follow starts streams for the kinds that a source owns, and ends those of
// kinds that it no longer does.
func (c *Cluster) follow(source string, owned map[schema.GroupVersionResource]resource) {
	w := c.watching()
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	streams := w.streams[source]
	if streams == nil {
		streams = map[schema.GroupVersionResource]*following{}
		w.streams[source] = streams
	}
	for gvr, r := range owned {
		if streams[gvr] != nil {
			continue
		}
		ctx, stop := context.WithCancel(w.ctx)
		s := &stream{c: c, source: source, resource: r, moved: func() { w.moved(source) }, objects: map[placed]live{}}
		streams[gvr] = &following{stream: s, stop: stop}
		go s.run(ctx)
	}
	for gvr, s := range streams {
		if _, ok := owned[gvr]; !ok {
			s.stop()
			delete(streams, gvr)
		}
	}
}

// followInventory is follow for what an inventory holds.
func (c *Cluster) followInventory(ctx context.Context, source string, inv gitops.Inventory) error {
	if c.watching() == nil {
		return nil
	}
	owned := map[schema.GroupVersionResource]resource{}
	err := c.call(ctx, func(ctx context.Context, conn *connection) error {
		served, err := conn.served(ctx, false)
		if err != nil {
			return err
		}
		for _, item := range inv {
			if r, err := served.find(item.Ref, true); err == nil {
				owned[r.GroupVersionResource] = r
			}
		}
		return nil
	})
	if err == nil {
		c.follow(source, owned)
	}
	return err
}

// stream returns the stream of a source and kind, nil if there is none.
func (c *Cluster) stream(source string, r resource) *stream {
	w := c.watching()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.streams[source][r.GroupVersionResource]; f != nil {
		return f.stream
	}
	return nil
}

// connected reports that there are streams and that all of them are up to
// date: the API server is there, no need to ask.
func (w *watches) connected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, streams := range w.streams {
		for _, s := range streams {
			if !s.snapshot(func(placed, live) {}) {
				return false
			}
			n++
		}
	}
	return n > 0
}

// remembered returns the capabilities without asking while the watches show
// that the API server is there.
func (c *Cluster) remembered() (gitops.Capabilities, bool) {
	w := c.watching()
	if w == nil || !w.connected() {
		return gitops.Capabilities{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || time.Since(c.learned) > discoveryAge {
		return gitops.Capabilities{}, false
	}
	return c.caps, c.caps.ClusterUID != ""
}
