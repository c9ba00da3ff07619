// SPDX-License-Identifier: Apache-2.0

package render

import "github.com/edgeagent/edgeagent/internal/gitops"

// renderPlain decodes the bundle's manifests. Kustomize is used only where the
// bundle asks for something of it: it is many times slower.
func (b *bundle) renderPlain() ([]document, error) {
	if b.hasKustomize || b.targetNamespace != "" {
		return b.renderKustomize()
	}
	var out []document
	for _, file := range b.gathered.plain {
		docs, err := documents(file, b.gathered.files[file])
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	if len(out) == 0 {
		return nil, b.empty()
	}
	return out, nil
}

func (b *bundle) empty() error {
	return failure(gitops.EmptyRender, "commit manifests, or remove the bundle",
		"render bundle %s: there are no manifests in %s", b.Name, b.dir)
}
