// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// directory reads a tree object.
func directory(ctx context.Context, objects Objects, id gitops.Hash) ([]gitops.TreeEntry, error) {
	raw, err := object(ctx, objects, id, gitops.TreeObject)
	if err != nil {
		return nil, err
	}
	entries, err := gitops.ParseTree(raw)
	if err != nil {
		return nil, refusal(gitops.MalformedCommit, "have the commit made anew with git; nothing is taken from it",
			"tree %s is malformed: it has %v", id.Short(), err)
	}
	return entries, nil
}

// named finds an entry, the zero entry when there is none.
func named(entries []gitops.TreeEntry, name string) gitops.TreeEntry {
	if i := slices.IndexFunc(entries, func(e gitops.TreeEntry) bool { return e.Name == name }); i >= 0 {
		return entries[i]
	}
	return gitops.TreeEntry{}
}
