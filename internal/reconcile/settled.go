// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// followed is where the watches show an object, and its version when this look
// began: a change during the look makes the next one ask again.
type followed struct {
	stream  *stream
	at      placed
	version string
}

// statesSince is states, but an object that was Current, and that the watch
// shows unchanged since, is not read again.
func (c *Cluster) statesSince(ctx context.Context, targets []target) (gitops.Health, error) {
	shown, err := c.shownByWatches(ctx, targets)
	if err != nil {
		return gitops.Health{}, c.failure("learn about the kinds of the API server", nil, err)
	}
	out := gitops.Health{Objects: make([]gitops.ObjectHealth, len(targets))}
	var ask []target
	var places []int
	for i, t := range targets {
		if f, ok := shown[i]; ok && f.stream.isCurrent(f.at, f.version) {
			out.Objects[i] = gitops.ObjectHealth{Ref: t.manifest.Ref, Bundle: t.manifest.Bundle, Decides: t.decides, Status: gitops.Current}
			continue
		}
		ask, places = append(ask, t), append(places, i)
	}
	asked, err := c.states(ctx, ask, nil)
	if err != nil {
		return asked, err
	}
	for n, o := range asked.Objects {
		i := places[n]
		out.Objects[i] = o
		// One with a message is Current for a reason that the watch does not
		// show, and a completed one is remembered by the inventory.
		if f, ok := shown[i]; ok && o.Status == gitops.Current && o.Message == "" && !o.Completed {
			f.stream.setCurrent(f.at, f.version)
		}
	}
	return out, nil
}

// shownByWatches finds the targets in the watches, by their index.
func (c *Cluster) shownByWatches(ctx context.Context, targets []target) (map[int]followed, error) {
	w := c.watching()
	if w == nil {
		return nil, nil
	}
	var served *kinds
	err := c.call(ctx, func(ctx context.Context, conn *connection) (err error) {
		served, err = conn.served(ctx, false)
		return err
	})
	if err != nil {
		return nil, err
	}
	streams := w.all()
	out := map[int]followed{}
	for i, t := range targets {
		r, err := served.find(t.manifest.Ref, true)
		if err != nil || isAlwaysCurrent(t.manifest.Ref) {
			continue
		}
		at := placed{r.namespaceOf(t.manifest.Ref), t.manifest.Ref.Name}
		for _, s := range streams[r.GroupVersionResource] {
			if version := s.versionOf(at); version != "" {
				out[i] = followed{s, at, version}
			}
		}
	}
	return out, nil
}

// all lists the streams of all sources by kind.
func (w *watches) all() map[schema.GroupVersionResource][]*stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[schema.GroupVersionResource][]*stream{}
	for _, streams := range w.streams {
		for gvr, f := range streams {
			out[gvr] = append(out[gvr], f.stream)
		}
	}
	return out
}

// versionOf is the version of an object, "" if it is not known for sure.
func (s *stream) versionOf(at placed) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.synced {
		return ""
	}
	return s.objects[at].version
}

func (s *stream) isCurrent(at placed, version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced && s.current[at] == version
}

func (s *stream) setCurrent(at placed, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		s.current[at] = version
	}
}
