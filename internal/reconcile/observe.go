// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// pageSize bounds one answer of a LIST.
const pageSize = 500

// fewObjects of a kind are read one by one; from there on one LIST is cheaper.
const fewObjects = 4

// question is what planning wants to know of the cluster.
type question struct {
	source string
	want   []gitops.ObjectRef
	owned  []gitops.ObjectRef
	// brings holds the kinds that the wanted set itself defines.
	brings map[schema.GroupKind]bool
}

// observation is the cluster's answer: metadata of the objects that are there,
// by the keys that were asked for.
type observation map[gitops.ObjectKey]live

// lookup is the objects of one kind that are asked for, by where they live.
type lookup struct {
	resource resource
	wanted   map[placed]gitops.ObjectKey
	owned    map[placed]gitops.ObjectKey
}

// placed is where an object of a known kind lives.
type placed struct{ namespace, name string }

// observe reads the metadata of wanted and owned objects: one LIST by label
// for each kind of which something is owned, and what that does not show is
// asked for by name, since a label may be missing or another owner's.
func (c *Cluster) observe(ctx context.Context, q question) (observation, error) {
	lookups, err := c.lookups(ctx, q)
	if err != nil {
		return nil, err
	}
	seen := observation{}
	var mu sync.Mutex
	found := func(key gitops.ObjectKey, l live) {
		mu.Lock()
		defer mu.Unlock()
		seen[key] = l
	}
	owned := map[schema.GroupVersionResource]resource{}
	for _, l := range lookups {
		if len(l.owned) > 0 {
			owned[l.resource.GroupVersionResource] = l.resource
		}
	}
	c.follow(q.source, owned)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.Concurrency)
	for _, l := range lookups {
		group.Go(func() error { return c.look(ctx, q.source, l, found) })
	}
	if err := group.Wait(); err != nil {
		return nil, c.failure("read the objects of source "+q.source, nil, err)
	}
	return seen, nil
}

// lookups sorts what is asked for by kind. The served kinds are read again
// once when one is missing that nobody brings.
func (c *Cluster) lookups(ctx context.Context, q question) ([]*lookup, error) {
	var out []*lookup
	err := c.call(ctx, func(ctx context.Context, conn *connection) error {
		served, err := conn.served(ctx, false)
		if err != nil {
			return err
		}
		if out, err = sortByKind(served, q); !errors.Is(err, errNoKind) {
			return err
		}
		if served, err = conn.served(ctx, true); err != nil {
			return err
		}
		out, err = sortByKind(served, q)
		return err
	})
	return out, c.failure("learn about the kinds of the API server", nil, err)
}

func sortByKind(served *kinds, q question) ([]*lookup, error) {
	byResource := map[schema.GroupVersionResource]*lookup{}
	var order []*lookup
	at := func(r resource) *lookup {
		l := byResource[r.GroupVersionResource]
		if l == nil {
			l = &lookup{resource: r, wanted: map[placed]gitops.ObjectKey{}, owned: map[placed]gitops.ObjectKey{}}
			byResource[r.GroupVersionResource] = l
			order = append(order, l)
		}
		return l
	}
	for _, ref := range q.want {
		r, err := served.find(ref, false)
		if errors.Is(err, errNoKind) {
			if q.brings[schema.GroupKind{Group: ref.Group, Kind: ref.Kind}] {
				continue // its definition is applied first; until then there is no such object
			}
			return nil, errors.Join(errNoKind, unknownKind(ref))
		}
		if err != nil {
			return nil, err
		}
		at(r).wanted[placed{r.namespaceOf(ref), ref.Name}] = ref.Key()
	}
	for _, ref := range q.owned {
		r, err := served.find(ref, true)
		if errors.Is(err, errNoKind) {
			continue // the definition is gone, and the objects with it
		}
		if err != nil {
			return nil, err
		}
		at(r).owned[placed{r.namespaceOf(ref), ref.Name}] = ref.Key()
	}
	return order, nil
}

// look reads the objects of one kind.
func (c *Cluster) look(ctx context.Context, source string, l *lookup, found func(gitops.ObjectKey, live)) error {
	open := l.wanted
	if len(l.owned) > 0 {
		open = map[placed]gitops.ObjectKey{}
		for at, key := range l.wanted {
			open[at] = key
		}
		err := c.labelled(ctx, source, l.resource, func(at placed, now live) {
			if key, ok := l.owned[at]; ok {
				found(key, now)
			}
			if key, ok := l.wanted[at]; ok {
				found(key, now)
				delete(open, at)
			}
		})
		if err != nil {
			return err
		}
	}
	if len(open) <= fewObjects {
		for at, key := range open {
			if err := c.read(ctx, l.resource, at, func(m metav1.ObjectMeta) { found(key, summarize(m)) }); err != nil {
				return err
			}
		}
		return nil
	}
	return c.list(ctx, l.resource, sharedNamespace(open), metav1.ListOptions{}, func(at placed, m metav1.ObjectMeta) {
		if key, ok := open[at]; ok {
			found(key, summarize(m))
		}
	})
}

// labelled calls each with every object of a kind that carries the source's
// label: from the watch where there is one, else by a LIST.
func (c *Cluster) labelled(ctx context.Context, source string, r resource, each func(placed, live)) error {
	if s := c.stream(source, r); s != nil && s.snapshot(each) {
		return nil
	}
	opts := metav1.ListOptions{LabelSelector: partOfLabel + "=" + SetID(source)}
	return c.list(ctx, r, "", opts, func(at placed, m metav1.ObjectMeta) { each(at, summarize(m)) })
}

// sharedNamespace is the namespace of all objects, "" when they have several.
func sharedNamespace(objects map[placed]gitops.ObjectKey) string {
	shared, first := "", true
	for at := range objects {
		if !first && at.namespace != shared {
			return ""
		}
		shared, first = at.namespace, false
	}
	return shared
}

// list calls each with the metadata of every object, page by page.
func (c *Cluster) list(ctx context.Context, r resource, namespace string, opts metav1.ListOptions, each func(placed, metav1.ObjectMeta)) error {
	opts.Limit = pageSize
	for {
		var page *metav1.PartialObjectMetadataList
		err := c.call(ctx, func(ctx context.Context, conn *connection) (err error) {
			page, err = conn.metadata.Resource(r.GroupVersionResource).Namespace(namespace).List(ctx, opts)
			return err
		})
		if apierrors.IsNotFound(err) {
			return nil // the kind went away since it was looked up
		}
		if err != nil {
			return err
		}
		for i := range page.Items {
			m := page.Items[i].ObjectMeta
			each(placed{m.Namespace, m.Name}, m)
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			return nil
		}
	}
}

// read calls found with the metadata of one object, if it is there.
func (c *Cluster) read(ctx context.Context, r resource, at placed, found func(metav1.ObjectMeta)) error {
	err := c.call(ctx, func(ctx context.Context, conn *connection) error {
		m, err := conn.metadata.Resource(r.GroupVersionResource).Namespace(at.namespace).Get(ctx, at.name, metav1.GetOptions{})
		if err == nil {
			found(m.ObjectMeta)
		}
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
