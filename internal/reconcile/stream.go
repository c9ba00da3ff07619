// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// stream follows the objects of one source and kind by a metadata-only watch.
// It keeps a summary of each, which planning reads instead of asking.
type stream struct {
	c        *Cluster
	source   string
	resource resource
	// moved is called when something happened that planning may care about.
	moved func()

	mu      sync.Mutex
	objects map[placed]live
	// current holds objects that were healthy, and the version at which.
	current map[placed]string
	// synced: the objects are what the API server had a moment ago.
	synced bool
}

// Pauses between tries to follow again, doubled up to the most, with jitter.
const (
	followFirst = 500 * time.Millisecond
	followMost  = 30 * time.Second
)

// watchTime is how long one watch request lasts, before jitter: the API
// server ends it, and the next one goes on from there.
const watchTime = 10 * time.Minute

// errStale says that the API server no longer knows the changes since the last
// one that was seen.
var errStale = errors.New("the watch is too old")

// run follows until ctx ends.
func (s *stream) run(ctx context.Context) {
	pause := followFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := s.follow(ctx)
		s.lost()
		if time.Since(began) > followMost {
			pause = followFirst
		}
		if errors.Is(err, errStale) {
			continue
		}
		if sleep(ctx, pause/2+rand.N(pause)) != nil {
			return
		}
		pause = min(pause*2, followMost)
	}
}

func (s *stream) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = false
}

// follow lists the objects once and then watches them until something breaks.
func (s *stream) follow(ctx context.Context) error {
	version, err := s.list(ctx)
	if err != nil {
		return err
	}
	for {
		if version, err = s.watch(ctx, version); err != nil {
			return err
		}
	}
}

func (s *stream) selector() string { return partOfLabel + "=" + SetID(s.source) }

// list replaces what is known, and wakes planning: it may have missed changes.
func (s *stream) list(ctx context.Context) (version string, err error) {
	objects := map[placed]live{}
	opts := metav1.ListOptions{LabelSelector: s.selector(), Limit: pageSize}
	for {
		var page *metav1.PartialObjectMetadataList
		err := s.c.ask(ctx, func(ctx context.Context, conn *connection) (err error) {
			page, err = conn.metadata.Resource(s.resource.GroupVersionResource).List(ctx, opts)
			return err
		})
		if err != nil {
			return "", err
		}
		for i := range page.Items {
			m := page.Items[i].ObjectMeta
			objects[placed{m.Namespace, m.Name}] = summarize(m)
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			version = page.ResourceVersion
			break
		}
	}
	s.mu.Lock()
	s.objects, s.current, s.synced = objects, map[placed]string{}, true
	s.mu.Unlock()
	s.moved()
	return version, nil
}

// watch takes in changes until the API server ends the request, and returns
// the version to go on from.
func (s *stream) watch(ctx context.Context, version string) (string, error) {
	conn, err := s.c.connect()
	if err != nil {
		return version, err
	}
	seconds := int64((watchTime + rand.N(watchTime/2)).Seconds())
	w, err := conn.metadata.Resource(s.resource.GroupVersionResource).Watch(ctx, metav1.ListOptions{
		LabelSelector: s.selector(), ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	})
	if err != nil {
		if isLogin(err) {
			s.c.forget(conn)
		}
		return version, stale(err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return version, ctx.Err()
		case event, ok := <-w.ResultChan():
			if !ok {
				return version, ctx.Err()
			}
			if event.Type == watch.Error {
				return version, stale(apierrors.FromObject(event.Object))
			}
			m, ok := event.Object.(*metav1.PartialObjectMetadata)
			if !ok {
				return version, fmt.Errorf("the watch sent a %T", event.Object)
			}
			version = m.ResourceVersion
			if event.Type != watch.Bookmark {
				s.take(event.Type == watch.Deleted, m.ObjectMeta)
			}
		}
	}
}

func stale(err error) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return errStale
	}
	return err
}

// take records one change, and wakes planning if it could matter: a status
// that was updated does not.
func (s *stream) take(deleted bool, m metav1.ObjectMeta) {
	at, now := placed{m.Namespace, m.Name}, summarize(m)
	s.mu.Lock()
	before, known := s.objects[at]
	if known && older(now.version, before.version) {
		s.mu.Unlock()
		return // our own write went by it
	}
	if deleted {
		delete(s.objects, at)
		delete(s.current, at)
	} else {
		s.objects[at] = now
	}
	s.mu.Unlock()
	if deleted && known || !deleted && !now.same(before) {
		s.moved()
	}
}

// same reports whether planning would see no difference.
func (l live) same(o live) bool {
	l.version, o.version = "", ""
	return l == o
}

// older compares two versions of one object. Those that cannot be compared are
// taken as they come.
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}

// snapshot copies what is known, if it is up to date.
func (s *stream) snapshot(each func(placed, live)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.synced {
		return false
	}
	for at, l := range s.objects {
		each(at, l)
	}
	return true
}

// wrote records an answer to a write of ours, so that the next plan does not
// see the cluster as it was before.
func (s *stream) wrote(at placed, l live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.objects[at]; s.synced && (!known || !older(l.version, before.version)) {
		s.objects[at] = l
	}
}

// removed records a deletion of ours.
func (s *stream) removed(at placed, uid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects[at].uid == uid {
		l := s.objects[at]
		l.terminating = true // until the watch says that it is gone
		s.objects[at] = l
	}
}
