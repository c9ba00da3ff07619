// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	branchRefs = "refs/heads/"
	tagRefs    = "refs/tags/"
	// defaultRef is what nodes follow where nobody says otherwise.
	defaultRef = "main"
)

// FullRef is a ref as nodes name it: a short name is a branch. "" is the one
// that trust init noted, else main.
func (r *Repository) FullRef(name string) string {
	if name == "" {
		name = r.setting("edgeagent.ref")
	}
	if name == "" {
		name = defaultRef
	}
	if strings.HasPrefix(name, "refs/") {
		return name
	}
	return branchRefs + name
}

// At is what nodes would find under a ref if a revision were pushed to it. For
// a tag it is the tag that is here. Without a revision it is what the ref names
// here or was seen to name at origin, else HEAD.
func (r *Repository) At(fullRef, revision string) (gitops.Commit, error) {
	short := strings.TrimPrefix(strings.TrimPrefix(fullRef, branchRefs), tagRefs)
	c := gitops.Commit{FullRef: fullRef}
	if revision == "" {
		revision = "HEAD"
		for _, name := range []string{fullRef, "refs/remotes/origin/" + short} {
			if _, err := r.named(name); err == nil {
				revision = name
				break
			}
		}
	}
	id, err := r.Resolve(revision)
	if err != nil {
		return c, err
	}
	if strings.HasPrefix(fullRef, tagRefs) {
		tag, err := r.named(fullRef)
		if err != nil {
			return c, fmt.Errorf("look for %s: %v", fullRef, err)
		}
		if tag != id {
			c.Tag = tag
		}
	}
	c.Revision = gitops.NewRevision(short, id)
	return c, nil
}

// Resolve finds the commit that a revision names: an id or its beginning, a
// ref, a short name, each with ~N and ^ behind it.
func (r *Repository) Resolve(revision string) (gitops.Hash, error) {
	base, back := strings.TrimRight(revision, "^"), 0
	back = len(revision) - len(base)
	if name, n, ok := strings.Cut(base, "~"); ok {
		steps, err := strconv.Atoi(n)
		if n == "" {
			steps, err = 1, nil
		}
		if err != nil || steps < 0 {
			return "", fmt.Errorf("%q is no revision; write a commit id, a branch, a tag, or one of them with ~N", revision)
		}
		base, back = name, back+steps
	}
	id, err := r.base(base)
	if err != nil {
		return "", err
	}
	commit, err := r.commit(id)
	for ; err == nil && back > 0; back-- {
		if len(commit.ParentHashes) == 0 {
			return "", fmt.Errorf("%s has no ancestor that far back", revision)
		}
		commit, err = r.commit(gitops.Hash(commit.ParentHashes[0].String()))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %v", revision, err)
	}
	return gitops.Hash(commit.Hash.String()), nil
}

// base resolves a name without anything behind it.
func (r *Repository) base(name string) (gitops.Hash, error) {
	if id := gitops.Hash(strings.ToLower(name)); id.Valid() {
		return id, nil
	}
	for _, prefix := range []string{"", "refs/", tagRefs, branchRefs, "refs/remotes/"} {
		if full := prefix + name; full == "HEAD" || strings.HasPrefix(full, "refs/") {
			if id, err := r.named(full); err == nil {
				return id, nil
			}
		}
	}
	if len(name) >= 4 {
		if prefix, err := hex.DecodeString(strings.ToLower(name[:len(name)/2*2])); err == nil {
			return r.beginning(strings.ToLower(name), prefix)
		}
	}
	return "", fmt.Errorf("%q is not here; name a commit id, a branch or a tag, or fetch it first", name)
}

func (r *Repository) beginning(name string, prefix []byte) (gitops.Hash, error) {
	all, err := r.store.HashesWithPrefix(prefix)
	if err != nil {
		return "", fmt.Errorf("look for %q: %v", name, err)
	}
	found := map[gitops.Hash]bool{}
	for _, id := range all {
		if hash := gitops.Hash(id.String()); strings.HasPrefix(string(hash), name) {
			if _, err := r.commit(hash); err == nil {
				found[hash] = true
			}
		}
	}
	if len(found) > 1 {
		return "", fmt.Errorf("%q is the beginning of %d commits; write more of it", name, len(found))
	}
	for id := range found {
		return id, nil
	}
	return "", fmt.Errorf("%q is not here; name a commit id, a branch or a tag, or fetch it first", name)
}

// named is the object that a ref names in the end.
func (r *Repository) named(ref string) (gitops.Hash, error) {
	at, err := storer.ResolveReference(r.store, plumbing.ReferenceName(ref))
	if err != nil {
		return "", err
	}
	return gitops.Hash(at.Hash().String()), nil
}

// commit reads a commit, through tags of it.
func (r *Repository) commit(id gitops.Hash) (*object.Commit, error) {
	o, err := object.GetObject(r.store, plumbing.NewHash(string(id)))
	if err != nil {
		return nil, fmt.Errorf("%s is not here; fetch it first", id.Short())
	}
	switch o := o.(type) {
	case *object.Commit:
		return o, nil
	case *object.Tag:
		return o.Commit()
	}
	return nil, fmt.Errorf("%s is a %s, not a commit", id.Short(), o.Type())
}

// Introduction is what git's configuration says that it is, "" where it does not.
func (r *Repository) Introduction() string { return r.setting("edgeagent.introduction") }
