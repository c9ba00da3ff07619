// SPDX-License-Identifier: Apache-2.0

package render

import (
	"github.com/edgeagent/edgeagent/internal/gitops"
)

// job is everything besides the tree that the output depends on.
type job struct {
	Source       string              `json:"source"`
	Path         string              `json:"path"` // expanded and clean
	Node         Node                `json:"node"`
	Capabilities gitops.Capabilities `json:"capabilities"`
	Version      string              `json:"version,omitempty"`
	// ClosureOnly stops when everything is read: the cluster is not known yet.
	ClosureOnly bool `json:"closureOnly,omitempty"`
}

// result is the bundles, dependencies first, and the objects in the order of
// the canonical bytes.
type result struct {
	bundles []gitops.Bundle
	objects []gitops.Manifest
}

// build renders a tree. First the closure of all bundles is read; when
// something of it is missing there is no result, and the tree knows what.
func build(j job, f files) (*result, error) {
	r := &reader{files: f}
	bundles, err := declared(j, r)
	if err != nil {
		return nil, err
	}
	for _, b := range bundles {
		if err := b.gather(r); err != nil {
			return nil, err
		}
	}
	if r.incomplete || j.ClosureOnly {
		return nil, nil
	}
	var objects []*object
	for _, b := range bundles {
		of, err := b.objects(j)
		if err != nil {
			return nil, err
		}
		if objects = append(objects, of...); len(objects) > maxObjects {
			return nil, failure(gitops.TooManyObjects, "split the source", "render source %s: more than %d objects", j.Source, maxObjects)
		}
		b.gathered = gathered{} // the memory is needed for the next bundle
	}
	if err := identify(bundles, objects); err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, failure(gitops.EmptyRender, "commit manifests; to remove everything, remove the source",
			"render source %s: no objects come out of the directory %q", j.Source, j.Path)
	}
	return canonical(j, bundles, objects)
}

// objects renders one bundle.
func (b *bundle) objects(j job) ([]*object, error) {
	docs, err := b.documents(j)
	if err != nil {
		return nil, err
	}
	variables := b.variables(j.Node)
	var out []*object
	for _, d := range docs {
		if variables != nil {
			if d, err = substitute(d, variables); err != nil {
				return nil, err
			}
		}
		o, err := newObject(d)
		if err != nil {
			return nil, err
		}
		if o == nil {
			continue
		}
		o.bundle = b.Name
		if rendered, err := o.readHook(b.gathered.form == helm); err != nil {
			return nil, err
		} else if rendered {
			out = append(out, o)
		}
	}
	setWaves(out)
	return out, nil
}

func (b *bundle) documents(j job) ([]document, error) {
	switch b.gathered.form {
	case helm:
		return b.renderChart(j)
	case kustomize:
		return b.renderKustomize()
	}
	return b.renderPlain()
}

// identify settles every object's namespace and refuses an object that is
// there twice: the second would silently win.
func identify(bundles []*bundle, objects []*object) error {
	known := scopes{}
	for _, o := range objects {
		known.learn(o)
	}
	namespaces := map[string]string{}
	for _, b := range bundles {
		namespaces[b.Name] = b.targetNamespace
	}
	places := map[gitops.ObjectKey]string{}
	for _, o := range objects {
		known.place(o, namespaces[o.bundle])
		key := o.ref.Key()
		if first, ok := places[key]; ok {
			e := failure(gitops.DuplicateObject, "remove one of them", "render %s: it is in %s (%s) and in %s", o.ref, o.place, o.bundle, first)
			e.Object = &o.ref
			return e
		}
		places[key] = o.place + " (" + o.bundle + ")"
	}
	return nil
}

func canonical(j job, bundles []*bundle, objects []*object) (*result, error) {
	sortObjects(objects)
	out := &result{}
	for _, b := range bundles {
		out.bundles = append(out.bundles, b.Bundle)
	}
	size := 0
	for _, o := range objects {
		m, err := o.manifest()
		if err != nil {
			return nil, err
		}
		if size += len(m.YAML); size > maxOutput {
			return nil, failure(gitops.TooLarge, "split the source", "render source %s: the manifests exceed %d MiB", j.Source, maxOutput>>20)
		}
		out.objects = append(out.objects, m)
	}
	return out, nil
}
