// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/base64"
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v2"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	partOfLabel         = "applyset.kubernetes.io/part-of"
	localConfig         = "config.kubernetes.io/local-config"
	syncWaveAnnotation  = "argocd.argoproj.io/sync-wave"
	substituteDisabled  = "kustomize.toolkit.fluxcd.io/substitute"
	helmHookAnnotation  = "helm.sh/hook"
	helmHookWeight      = "helm.sh/hook-weight"
	helmHookDelete      = "helm.sh/hook-delete-policy"
	argoHookAnnotation  = "argocd.argoproj.io/hook"
	argoHookDeleteAfter = "argocd.argoproj.io/hook-delete-policy"
)

// object is one manifest on its way to the canonical form.
type object struct {
	document
	ref    gitops.ObjectRef
	bundle string
	wave   int
	hook   *hook
	// annotations are the object's own, read once; never nil.
	annotations map[string]string
}

// invalid is a manifest's failure, which names the place in Git.
func invalid(d document, remedy, format string, args ...any) *gitops.Error {
	e := failure(gitops.InvalidManifest, remedy, format, args...)
	e.Message = "read " + d.place + ": " + e.Message
	return e
}

// newObject checks what every object has to have and drops what only a live
// object has. Nil without an error means that the object is not for a cluster.
func newObject(d document) (*object, error) {
	apiVersion, _ := d.body["apiVersion"].(string)
	kind, _ := d.body["kind"].(string)
	switch {
	case apiVersion == "":
		return nil, invalid(d, "make it a Kubernetes object, or move it out of the bundle's path", "there is no apiVersion")
	case kind == "" || strings.ContainsAny(kind, "/ "):
		return nil, invalid(d, "make it a Kubernetes object, or move it out of the bundle's path", "there is no kind")
	}
	metadata, _ := d.body["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	if name == "" {
		if metadata["generateName"] != nil {
			return nil, invalid(d, "give it a fixed name", "%s has generateName: it would be another object every time", kind)
		}
		return nil, invalid(d, "add metadata.name", "%s has no metadata.name", kind)
	}
	namespace, isString := metadata["namespace"].(string)
	if metadata["namespace"] != nil && !isString {
		return nil, invalid(d, "quote it", "%s %s: metadata.namespace is no string", kind, name)
	}
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	o := &object{document: d, ref: gitops.ObjectRef{Group: group, Version: version, Kind: kind, Namespace: namespace, Name: name}}
	if !segment(name) || namespace != "" && !segment(namespace) || version == "" || strings.Contains(version, "/") {
		return nil, invalid(d, "", "%s is no valid name of an object", o.ref)
	}
	if err := o.readLabels(metadata); err != nil {
		return nil, err
	}
	if o.annotations[localConfig] == "true" {
		return nil, nil
	}
	o.strip(metadata)
	return o, o.foldStringData()
}

// segment reports whether a name can be one segment of an API path.
func segment(name string) bool {
	return name != "." && name != ".." && len(name) <= 253 && !strings.ContainsAny(name, "/%")
}

// readLabels checks labels and annotations: a value that YAML took for a
// number or boolean is refused here, with its key, and not by the API server
// in the middle of an apply.
func (o *object) readLabels(metadata map[string]any) error {
	o.annotations = map[string]string{}
	for _, field := range []string{"labels", "annotations"} {
		if metadata[field] == nil {
			continue
		}
		values, ok := metadata[field].(map[string]any)
		if !ok {
			return invalid(o.document, "", "%s: metadata.%s is no mapping", o.ref, field)
		}
		for key, value := range values {
			text, ok := value.(string)
			switch {
			case !ok && value != nil:
				return invalid(o.document, "quote the value", "%s: metadata.%s.%s is no string", o.ref, field, key)
			case key == partOfLabel:
				return invalid(o.document, "remove the label", "%s carries %s, which says who owns an object and is set by edgeagent", o.ref, partOfLabel)
			case field == "annotations":
				o.annotations[key] = text
			}
		}
	}
	wave, ok := o.annotations[syncWaveAnnotation]
	if !ok {
		return nil
	}
	number, err := strconv.ParseInt(wave, 10, 32)
	if err != nil {
		return invalid(o.document, "write a whole number", "%s: annotation %s is %q", o.ref, syncWaveAnnotation, wave)
	}
	o.wave = int(number)
	return nil
}

// strip drops what the API server writes: an exported object is a valid input,
// and a status in Git is not what we want to hold.
func (o *object) strip(metadata map[string]any) {
	delete(o.body, "status")
	dropNullTimes(o.body)
	for _, field := range []string{"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
		"generation", "managedFields", "resourceVersion", "selfLink", "uid", "generateName"} {
		delete(metadata, field)
	}
	for _, field := range []string{"labels", "annotations", "namespace"} {
		switch value := metadata[field].(type) {
		case nil:
			delete(metadata, field)
		case string:
			if value == "" {
				delete(metadata, field)
			}
		case map[string]any:
			if len(value) == 0 {
				delete(metadata, field)
			}
		}
	}
}

// dropNullTimes removes the "creationTimestamp: null" that Go programs write
// into every metadata, those of templates inside the object included.
func dropNullTimes(value any) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			dropNullTimes(item)
		}
	case map[string]any:
		for key, inner := range value {
			if metadata, ok := inner.(map[string]any); ok && key == "metadata" {
				if at, ok := metadata["creationTimestamp"]; ok && at == nil {
					delete(metadata, "creationTimestamp")
				}
			}
			dropNullTimes(inner)
		}
	}
}

// foldStringData moves a Secret's stringData into data. The API server does
// the same on every write, but under server-side apply the keys then belong to
// nobody and never leave the Secret.
func (o *object) foldStringData() error {
	if o.ref.Kind != "Secret" || o.ref.Group != "" || o.body["stringData"] == nil {
		return nil
	}
	plain, ok := o.body["stringData"].(map[string]any)
	data, isMap := o.body["data"].(map[string]any)
	if !ok || o.body["data"] != nil && !isMap {
		return invalid(o.document, "", "%s: data or stringData is no mapping", o.ref)
	}
	if data == nil {
		data = map[string]any{}
	}
	for key, value := range plain {
		text, ok := value.(string)
		if !ok {
			return invalid(o.document, "quote the value", "%s: stringData.%s is no string", o.ref, key)
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	delete(o.body, "stringData")
	if len(data) > 0 {
		o.body["data"] = data
	}
	return nil
}

// manifest is the canonical form.
func (o *object) manifest() (gitops.Manifest, error) {
	// Directly, not through JSON: everything in body was decoded from JSON, so
	// both ways give the same bytes, and this one takes a third of the time.
	data, err := goyaml.Marshal(o.body)
	if err != nil {
		return gitops.Manifest{}, invalid(o.document, "", "write %s: %s", o.ref, brief(err))
	}
	m := gitops.Manifest{Ref: o.ref, YAML: data, Digest: gitops.Digest(data), Bundle: o.bundle, Wave: o.wave}
	if o.hook != nil {
		m.Hook = &o.hook.Hook
	}
	return m, nil
}
