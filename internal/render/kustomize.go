// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"path"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	memoryRoot  = "/repository" // where the closure lies in Kustomize's file system
	overlayRoot = "/overlay"    // and what the bundle file adds to it
)

// oneBuild: the OpenAPI schema that Kustomize works with is global to the
// process, and a build may set it.
var oneBuild sync.Mutex

// renderKustomize builds the closure in memory. The file system holds what the
// scan allowed and nothing else.
func (b *bundle) renderKustomize() ([]document, error) {
	fs := filesys.MakeFsInMemory()
	for p, data := range b.gathered.files {
		if err := fs.WriteFile(path.Join(memoryRoot, p), data); err != nil {
			return nil, failure(gitops.KustomizeFailed, "", "render bundle %s: %s", b.Name, brief(err))
		}
	}
	if b.gathered.form == plain {
		if err := b.writePlain(fs); err != nil {
			return nil, err
		}
	}
	root := path.Join(memoryRoot, b.dir)
	if b.hasKustomize || b.targetNamespace != "" {
		root = overlayRoot
		if err := b.writeOverlay(fs); err != nil {
			return nil, err
		}
	}
	oneBuild.Lock()
	defer oneBuild.Unlock()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, root)
	if err != nil {
		return nil, failure(gitops.KustomizeFailed, "run kustomize build on the directory", "render bundle %s: build %s: %s", b.Name, b.dir, brief(err))
	}
	return b.fromKustomize(built)
}

func (b *bundle) fromKustomize(built resmap.ResMap) ([]document, error) {
	var out []document
	for _, res := range built.Resources() {
		place := fmt.Sprintf("%s, %s %s", path.Join(b.dir, "kustomization"), res.GetKind(), res.GetName())
		data, err := res.AsYAML()
		if err != nil {
			return nil, failure(gitops.KustomizeFailed, "", "render bundle %s: write %s: %s", b.Name, place, brief(err))
		}
		body, err := decode(place, data)
		if err != nil {
			return nil, err
		}
		docs, err := expand(document{place, body})
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

// writePlain makes a kustomization of plain manifests.
func (b *bundle) writePlain(fs filesys.FileSystem) error {
	k := kustypes.Kustomization{}
	for _, file := range b.gathered.plain {
		data := b.gathered.files[file]
		docs, err := documents(file, data) // the same checks as without Kustomize
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			continue
		}
		k.Resources = append(k.Resources, strings.TrimPrefix(file, prefix(b.dir)))
	}
	if len(k.Resources) == 0 {
		return b.empty()
	}
	return b.write(fs, path.Join(memoryRoot, b.dir, kustomizations[0]), k)
}

func prefix(dir string) string {
	if dir == "." {
		return ""
	}
	return dir + "/"
}

// writeOverlay puts what the bundle file says on top.
func (b *bundle) writeOverlay(fs filesys.FileSystem) error {
	k := kustypes.Kustomization{
		Resources: []string{path.Join("..", memoryRoot, b.dir)},
		Namespace: b.targetNamespace,
		Images:    b.kustomize.Images,
		Patches:   b.kustomize.Patches,
	}
	for _, component := range b.kustomize.Components {
		k.Components = append(k.Components, path.Join("..", memoryRoot, b.dir, component))
	}
	return b.write(fs, path.Join(overlayRoot, kustomizations[0]), k)
}

func (b *bundle) write(fs filesys.FileSystem, file string, k kustypes.Kustomization) error {
	data, err := yaml.Marshal(k)
	if err == nil {
		err = fs.WriteFile(file, data)
	}
	if err != nil {
		return failure(gitops.KustomizeFailed, "", "render bundle %s: %s", b.Name, brief(err))
	}
	return nil
}
