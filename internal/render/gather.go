// SPDX-License-Identifier: Apache-2.0

package render

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// form is how a bundle's directory is rendered.
type form string

const (
	plain     form = "plain"
	kustomize form = "kustomize"
	helm      form = "helm"
)

// gathered is a bundle's closure in memory. Rendering reads nothing else.
type gathered struct {
	form   form
	files  map[string][]byte // by path inside the repository
	plain  []string          // the files that hold manifests, when form is plain
	values [][]byte          // helm's values files, in order
}

// kustomizations are the names that Kustomize looks for.
var kustomizations = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// declared is the bundles of a source: those of its edgeagent.yaml, or else
// the directory as one bundle that is named after the source.
func declared(j job, r *reader) ([]*bundle, error) {
	switch k, err := r.kind(j.Path); {
	case err != nil:
		return nil, err
	case k == isMissing:
		return nil, nil
	case k != isDir:
		return nil, failure(gitops.PathMissing, "correct the source's path, or commit the directory",
			"render source %s: there is no directory %s", j.Source, j.Path)
	}
	file := path.Join(j.Path, declarationFile)
	switch k, err := r.kind(file); {
	case err != nil:
		return nil, err
	case k == isFile:
		content, err := r.content([]string{file})
		if err != nil || content[file] == nil {
			return nil, err
		}
		all, err := declarations(j.Path, file, content[file])
		if err != nil {
			return nil, err
		}
		chosen, err := ordered(file, all, j.Node.Labels)
		if err == nil && len(chosen) == 0 {
			err = failure(gitops.EmptyRender, "give the node labels that a bundle targets, or remove the source from the node",
				"render source %s: none of the %d bundles of %s targets this node", j.Source, len(all), file)
		}
		return chosen, err
	}
	return []*bundle{{
		Bundle: gitops.Bundle{Name: j.Source, Wait: true, Gate: gitops.GateRequired, Prune: true},
		dir:    j.Path,
	}}, nil
}

// gather reads everything that the bundle needs.
func (b *bundle) gather(r *reader) error {
	b.gathered = gathered{files: map[string][]byte{}}
	switch k, err := r.kind(b.dir); {
	case err != nil:
		return err
	case k == isMissing:
		return nil
	case k != isDir:
		return failure(gitops.PathMissing, "correct spec.path, or commit the directory",
			"render bundle %s: there is no directory %s", b.Name, b.dir)
	}
	if err := b.detect(r); err != nil {
		return err
	}
	switch b.gathered.form {
	case helm:
		return b.gatherChart(r)
	case kustomize:
		return b.gatherKustomize(r)
	}
	return b.gatherPlain(r)
}

// detect finds out what the bundle's directory holds.
func (b *bundle) detect(r *reader) error {
	candidates := []string{path.Join(b.dir, "Chart.yaml")}
	for _, name := range kustomizations {
		candidates = append(candidates, path.Join(b.dir, name))
	}
	kinds, err := r.kinds(candidates...)
	if err != nil {
		return err
	}
	var found []string
	b.gathered.form = plain
	for i, k := range kinds {
		if k != isFile {
			continue
		}
		found = append(found, path.Base(candidates[i]))
		b.gathered.form = kustomize
		if i == 0 {
			b.gathered.form = helm
		}
	}
	switch {
	case len(found) > 1:
		return failure(gitops.InvalidBundle, "keep one of them", "render bundle %s: %s holds %s",
			b.Name, b.dir, strings.Join(found, " and "))
	case b.gathered.form == helm && b.hasKustomize:
		return failure(gitops.UnsupportedField, "remove spec.kustomize", "render bundle %s: a chart cannot be kustomized", b.Name)
	case b.gathered.form != helm && (b.helm.ReleaseName != "" || b.helm.Values != nil || b.helm.ValuesFiles != nil):
		return failure(gitops.InvalidBundle, "remove spec.helm, or point spec.path at a chart",
			"render bundle %s: %s holds no Chart.yaml", b.Name, b.dir)
	}
	return nil
}

func isManifest(rel string) bool {
	switch path.Ext(rel) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// gatherPlain reads every manifest below the directory. A chart or
// kustomization further down would be read as manifests, so it is refused.
func (b *bundle) gatherPlain(r *reader) error {
	all, err := r.walk(b.dir, func(rel string) bool { return !hidden(rel) })
	if err != nil {
		return err
	}
	for _, file := range all {
		name := path.Base(file)
		if name == "Chart.yaml" || slices.Contains(kustomizations, name) {
			return failure(gitops.InvalidBundle, "declare that directory as a bundle of its own in "+declarationFile,
				"render bundle %s: plain manifests hold %s", b.Name, file)
		}
		if isManifest(file) && name != declarationFile {
			b.gathered.plain = append(b.gathered.plain, file)
		}
	}
	if err := b.gatherComponents(r); err != nil {
		return err
	}
	content, err := r.content(b.gathered.plain)
	maps.Copy(b.gathered.files, content)
	return err
}
