// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxDepth bounds a chain of differences, as Git does.
const maxDepth = 50

// item is an object for a pack. With a base, which comes before it in the pack
// or is below a prerequisite, it may be written as the difference to that.
type item struct {
	id, base plumbing.Hash
}

// reach finds what lies between two states of a repository.
type reach struct {
	ctx     context.Context
	repo    *repository
	commits map[plumbing.Hash]commit // all that were read

	items []item
	depth map[plumbing.Hash]int  // of what is listed
	held  map[plumbing.Hash]bool // below a prerequisite
	// boundary are the commits that the listed ones build on, in the order in which they were found.
	boundary []plumbing.Hash
}

type commit struct {
	tree    plumbing.Hash
	parents []plumbing.Hash
}

func newReach(ctx context.Context, repo *repository) *reach {
	return &reach{ctx: ctx, repo: repo, commits: map[plumbing.Hash]commit{}}
}

func (r *reach) commit(id plumbing.Hash) (commit, error) {
	if c, ok := r.commits[id]; ok {
		return c, nil
	}
	if err := r.ctx.Err(); err != nil {
		return commit{}, err
	}
	kind, content, err := r.repo.object(id)
	if err != nil {
		return commit{}, err
	}
	var decoded object.Commit
	if err := decoded.Decode(memory(kind, content)); err != nil {
		return commit{}, r.repo.damaged(id, err)
	}
	c := commit{tree: decoded.TreeHash, parents: decoded.ParentHashes}
	r.commits[id] = c
	return c, nil
}

func memory(kind plumbing.ObjectType, content []byte) plumbing.EncodedObject {
	o := &plumbing.MemoryObject{}
	o.SetType(kind)
	_, _ = o.Write(content)
	return o
}

// history lists the commits of tips that are not in without, parents first.
func (r *reach) history(tips []plumbing.Hash, without map[plumbing.Hash]bool) ([]plumbing.Hash, error) {
	type step struct {
		id   plumbing.Hash
		left []plumbing.Hash // parents that were not looked at
	}
	var found []plumbing.Hash
	seen := map[plumbing.Hash]bool{}
	for _, tip := range tips {
		stack := []step{{left: []plumbing.Hash{tip}}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.left) == 0 {
				if top.id != plumbing.ZeroHash {
					found = append(found, top.id)
				}
				stack = stack[:len(stack)-1]
				continue
			}
			next := top.left[0]
			top.left = top.left[1:]
			if seen[next] || without[next] {
				continue
			}
			seen[next] = true
			c, err := r.commit(next)
			if err != nil {
				return nil, err
			}
			stack = append(stack, step{next, c.parents})
		}
	}
	return found, nil
}

// between lists what refs reach and from's branches do not. Refs other than
// branches are not counted as held, except for those that say the same as
// before: whoever has only the branches can still use the bundle.
func (r *reach) between(from, to []Ref) error {
	r.items, r.boundary = nil, nil
	r.depth, r.held = map[plumbing.Hash]int{}, map[plumbing.Hash]bool{}
	old, err := r.history(branchTips(from), nil)
	if err != nil {
		return err
	}
	without := setOf(old)
	var tips, others []plumbing.Hash
	for _, ref := range to {
		id := plumbing.NewHash(string(ref.ID))
		if !isBranch(ref) {
			if slices.Contains(from, ref) && !strings.HasPrefix(ref.Name, carriedPrefix) {
				continue
			}
			others = append(others, id)
			if id, err = r.peeled(id); err != nil {
				return err
			}
		}
		if id != plumbing.ZeroHash {
			tips = append(tips, id)
		}
	}
	commits, err := r.history(tips, without)
	if err != nil {
		return err
	}
	if err := r.findBoundary(commits, without); err != nil {
		return err
	}
	for _, id := range commits {
		if err := r.addCommit(id); err != nil {
			return err
		}
	}
	for _, id := range others {
		if err := r.add(id); err != nil {
			return err
		}
	}
	return nil
}

// findBoundary notes the parents that are not listed, and what is below them.
func (r *reach) findBoundary(commits []plumbing.Hash, without map[plumbing.Hash]bool) error {
	for _, id := range commits {
		for _, parent := range r.commits[id].parents {
			if !without[parent] {
				continue
			}
			r.boundary = append(r.boundary, parent)
			c, err := r.commit(parent)
			if err != nil {
				return err
			}
			if err := r.hold(c.tree); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reach) hold(tree plumbing.Hash) error {
	if r.held[tree] {
		return nil
	}
	r.held[tree] = true
	entries, err := r.entries(tree)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Mode {
		case filemode.Submodule:
		case filemode.Dir:
			if err := r.hold(e.Hash); err != nil {
				return err
			}
		default:
			r.held[e.Hash] = true
		}
	}
	return nil
}

func (r *reach) entries(tree plumbing.Hash) ([]object.TreeEntry, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	kind, content, err := r.repo.object(tree)
	if err != nil {
		return nil, err
	}
	var decoded object.Tree
	if err := decoded.Decode(memory(kind, content)); err != nil {
		return nil, r.repo.damaged(tree, err)
	}
	return decoded.Entries, nil
}

func (r *reach) addCommit(id plumbing.Hash) error {
	if !r.list(id, plumbing.ZeroHash) {
		return nil
	}
	c := r.commits[id]
	var before plumbing.Hash
	if len(c.parents) > 0 {
		parent, err := r.commit(c.parents[0])
		if err != nil {
			return err
		}
		before = parent.tree
	}
	return r.addTree(c.tree, before)
}

// addTree lists a tree and what is below it; before is what was at its path, or
// a neighbour that it may be like.
func (r *reach) addTree(tree, before plumbing.Hash) error {
	if !r.list(tree, before) {
		return nil
	}
	entries, err := r.entries(tree)
	if err != nil {
		return err
	}
	was := map[string]object.TreeEntry{}
	if before != plumbing.ZeroHash {
		old, err := r.entries(before)
		if err != nil {
			return err
		}
		for _, e := range old {
			was[e.Name] = e
		}
	}
	like := map[string]plumbing.Hash{} // the last neighbour of each kind
	for _, e := range entries {
		if e.Mode == filemode.Submodule {
			continue
		}
		kind := neighbours(e)
		base := like[kind]
		if old, ok := was[e.Name]; ok && old.Mode != filemode.Submodule && (old.Mode == filemode.Dir) == (e.Mode == filemode.Dir) {
			base = old.Hash
		}
		if e.Mode != filemode.Dir {
			r.list(e.Hash, base)
		} else if err := r.addTree(e.Hash, base); err != nil {
			return err
		}
		if _, listed := r.depth[e.Hash]; listed {
			like[kind] = e.Hash
		}
	}
	return nil
}

// neighbours says which entries of a directory are likely to be alike: folders,
// such as those of a fleet's nodes, and files of one type. Only those in the same
// pack count: a reader that holds a part of the repository has its own paths, not
// what is beside them.
func neighbours(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return "/"
	}
	return path.Ext(e.Name)
}

// add lists what a ref names: a tag and what it names, in most cases.
func (r *reach) add(id plumbing.Hash) error {
	if r.known(id) {
		return nil
	}
	kind, content, err := r.repo.object(id)
	if err != nil {
		return err
	}
	switch kind {
	case plumbing.CommitObject:
		return nil // with the history, or held
	case plumbing.TreeObject:
		return r.addTree(id, plumbing.ZeroHash)
	case plumbing.TagObject:
		r.list(id, plumbing.ZeroHash)
		var tag object.Tag
		if err := tag.Decode(memory(kind, content)); err != nil {
			return r.repo.damaged(id, err)
		}
		return r.add(tag.Target)
	}
	r.list(id, plumbing.ZeroHash)
	return nil
}

// peeled is the commit that a ref stands for, or zero.
func (r *reach) peeled(id plumbing.Hash) (plumbing.Hash, error) {
	for {
		kind, content, err := r.repo.object(id)
		switch {
		case err != nil:
			return plumbing.ZeroHash, err
		case kind == plumbing.CommitObject:
			return id, nil
		case kind != plumbing.TagObject:
			return plumbing.ZeroHash, nil
		}
		var tag object.Tag
		if err := tag.Decode(memory(kind, content)); err != nil {
			return plumbing.ZeroHash, r.repo.damaged(id, err)
		}
		id = tag.Target
	}
}

func (r *reach) known(id plumbing.Hash) bool {
	_, listed := r.depth[id]
	return listed || r.held[id]
}

// list lists an object once. Its base is left out where the reader would not
// have it, or would have to go through too many others for it.
func (r *reach) list(id, base plumbing.Hash) bool {
	if r.known(id) {
		return false
	}
	depth, listed := r.depth[base]
	if !listed && !r.held[base] || depth+1 >= maxDepth {
		base = plumbing.ZeroHash
	}
	if base != plumbing.ZeroHash {
		r.depth[id] = depth + 1
	} else {
		r.depth[id] = 0
	}
	r.items = append(r.items, item{id, base})
	return true
}

func isBranch(ref Ref) bool { return strings.HasPrefix(ref.Name, branchPrefix) }

func branchTips(refs []Ref) []plumbing.Hash {
	var tips []plumbing.Hash
	for _, ref := range refs {
		if isBranch(ref) {
			tips = append(tips, plumbing.NewHash(string(ref.ID)))
		}
	}
	return tips
}

func setOf(ids []plumbing.Hash) map[plumbing.Hash]bool {
	set := make(map[plumbing.Hash]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

func hashOf(id plumbing.Hash) gitops.Hash { return gitops.Hash(id.String()) }
