// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// remembered is the last rendering: what it depended on and what came of it.
type remembered struct {
	job       string
	root      gitops.Hash
	seen      map[string]string // what every path that was looked at resolved to
	manifests gitops.Manifests
	err       *gitops.Error
}

func remember(j job, t *tree, m gitops.Manifests, err error) *remembered {
	e, _ := typed(err)
	return &remembered{job: j.key(), root: t.root, seen: maps.Clone(t.seen), manifests: m, err: e}
}

func (m *remembered) failed() error {
	if m.err == nil {
		return nil
	}
	return m.err
}

// key holds everything besides the tree; maps encode in the order of their keys.
func (j job) key() string {
	data, _ := json.Marshal(j)
	return string(data)
}

// still reports whether rendering root would read the very same files: every
// path that was looked at, found or not, resolves to the same object.
func (m *remembered) still(ctx context.Context, objects Objects, root gitops.Hash, j job) (bool, error) {
	if m == nil || m.job != j.key() {
		return false, nil
	}
	if m.root == root {
		return true, nil
	}
	t := newTree(ctx, objects, root)
	for p := range m.seen {
		if _, err := t.look(p, oneLevel); err != nil {
			if revisionsFault(err) {
				return false, nil
			}
			return false, err
		}
		if t.seen[p] != m.seen[p] || len(t.missing) > 0 {
			return false, nil
		}
	}
	return true, nil
}
