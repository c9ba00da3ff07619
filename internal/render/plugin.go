// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// followPlugins checks the configurations of generators, transformers and
// validators: only those built into Kustomize may run, and what they name has
// to be in the tree.
func (s *scan) followPlugins(file, dir, user string, refs []string, dirs map[string]string) error {
	for _, ref := range refs {
		if unlessInline(ref) == "" {
			if err := s.plugin(file, user, []byte(ref)); err != nil {
				return err
			}
			continue
		}
		p, k, err := s.locate(file, dir, ref, true, true)
		if err != nil {
			return err
		}
		if k == isDir {
			dirs[p] = user
			continue
		}
		data, err := s.r.file(file, p)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		s.bundle.gathered.files[p] = data
		if err := s.plugin(p, user, data); err != nil {
			return err
		}
	}
	return nil
}

// plugin checks one configuration. Files that it names are looked for relative
// to the kustomization that uses it.
func (s *scan) plugin(place, dir string, data []byte) error {
	docs, err := documents(place, data)
	if err != nil {
		return err
	}
	for _, d := range docs {
		refuse := func(what string) error {
			return failure(gitops.PluginRefused, "use what is built into Kustomize",
				"render bundle %s: %s: %s", s.bundle.Name, d.place, what)
		}
		metadata, _ := d.body["metadata"].(map[string]any)
		annotations, _ := metadata["annotations"].(map[string]any)
		for _, key := range []string{"config.kubernetes.io/function", "config.k8s.io/function"} {
			if _, ok := annotations[key]; ok {
				return refuse("functions in containers or programs do not run here")
			}
		}
		if d.body["apiVersion"] != "builtin" || d.body["kind"] == "HelmChartInflationGenerator" {
			return refuse(fmt.Sprintf("%v %v is no plugin that may run here", d.body["apiVersion"], d.body["kind"]))
		}
		var candidates []string
		pathsIn(d.body, &candidates)
		if err := s.pluginFiles(d.place, dir, candidates); err != nil {
			return err
		}
	}
	return nil
}

// pluginFiles reads those candidates that are files of the tree. The others
// are field paths such as metadata/labels, which share the key.
func (s *scan) pluginFiles(place, dir string, candidates []string) error {
	for _, ref := range candidates {
		p, err := s.inside(place, dir, ref)
		if err != nil {
			return err
		}
		k, err := s.r.kind(p)
		if err != nil {
			return err
		}
		if k != isFile {
			continue
		}
		content, err := s.r.content([]string{p})
		if err != nil {
			return err
		}
		if data, ok := content[p]; ok {
			s.bundle.gathered.files[p] = data
		}
	}
	return nil
}

// pathKeys are the keys under which built-in plugins take paths.
var pathKeys = []string{"path", "paths", "files", "envs", "env"}

func pathsIn(value any, out *[]string) {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			pathsIn(item, out)
		}
	case map[string]any:
		for key, inner := range value {
			if slices.Contains(pathKeys, key) {
				stringsIn(inner, out)
				continue
			}
			pathsIn(inner, out)
		}
	}
}

func stringsIn(value any, out *[]string) {
	switch value := value.(type) {
	case string:
		*out = appendPath(*out, unlessInline(withoutKey(value)))
	case []any:
		for _, item := range value {
			stringsIn(item, out)
		}
	default:
		pathsIn(value, out)
	}
}
