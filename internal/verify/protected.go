// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxChangedPaths bounds how many changed files of a commit are looked at.
const maxChangedPaths = 20_000

// guardsPaths judges what a commit changes below protected paths: each needs
// its number of approvals, the commit's own signature counted in. What a merge
// took over unchanged from one of its parents was judged there.
func (x *examination) guardsPaths(ctx context.Context, id gitops.Hash, j *judgement) error {
	for _, p := range j.under {
		for _, guard := range p.guards() {
			if len(guard.Paths) == 0 {
				continue
			}
			changed, err := x.touches(ctx, id, j.raw, j.before, guard)
			if err != nil {
				return err
			}
			if changed == "" {
				continue
			}
			if err := x.approved(ctx, id, j.raw, p, guard, changed); err != nil {
				return err
			}
		}
	}
	return nil
}

// guards are the protections of the trust file, and the one that needs no word
// there: what lies beside the trust file is the roots' too.
func (p *policy) guards() []Protection {
	if !p.inBand() {
		return nil
	}
	own := Protection{Paths: []string{trustDirectory + "/*"}, Approvals: p.threshold(), By: []string{roleRoot}}
	return append(slices.Clone(p.file.Protected), own)
}

// approved counts who stands for a protected change.
func (x *examination) approved(ctx context.Context, id gitops.Hash, raw rawCommit, p *policy, guard Protection, what string) error {
	g, err := x.guard(ctx, id, raw, p, guard)
	if err != nil || g.open() {
		return err
	}
	return g.refuses(id, "changes "+quoted(what))
}

// members are the principals in the roles, without those that are named already.
func (p *policy) members(roles, without []string) []string {
	var out []string
	for _, role := range roles {
		for _, name := range p.file.Roles[role].Principals {
			if !slices.Contains(without, name) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// touches names a protected path that differs from what every one of the
// commits that it is compared with holds, "" when there is none. In a merge that
// is not enough: an old version that one parent still has undoes what was
// approved since. There it must be as everybody merges it.
func (x *examination) touches(ctx context.Context, id gitops.Hash, raw rawCommit, with []compared, guard Protection) (string, error) {
	var before []gitops.Hash
	for _, c := range with {
		before = append(before, c.tree)
	}
	d := differ{x: x, ctx: ctx, guard: guard}
	if len(before) > 1 && !x.again {
		for _, one := range before {
			alone := differ{x: x, ctx: ctx, guard: guard}
			changed, err := alone.compare("", raw.tree, []gitops.Hash{one})
			if err != nil {
				return "", err
			}
			if changed != "" {
				return d.merged(id, raw, before)
			}
		}
	}
	return d.compare("", raw.tree, before)
}

// merged compares a merge with its parents and with the one commit that they
// have in common.
func (d *differ) merged(id gitops.Hash, raw rawCommit, before []gitops.Hash) (string, error) {
	d.merge = true
	base := gitops.Hash("")
	if len(raw.parents) == 2 {
		bases, err := d.x.mergeBases(d.ctx, raw.parents[0], raw.parents[1])
		if err != nil {
			return "", blame(err, id)
		}
		if d.based = len(bases) == 1; d.based {
			if base, err = d.x.treeOf(d.ctx, bases[0]); err != nil {
				return "", err
			}
		}
	}
	return d.compare("", raw.tree, append(before, base))
}

// differ looks for the first protected path that is like in none of the trees
// before. Trees that are the same are not opened.
type differ struct {
	x       *examination
	ctx     context.Context
	guard   Protection
	visited int
	merge   bool // the last of the trees before is that of the merge's base
	based   bool // two lines are merged, and there is one base
}

// taken reports whether something was taken over from before.
func taken[T comparable](d *differ, now T, before []T) bool {
	if !d.merge {
		return slices.Contains(before, now)
	}
	last := len(before) - 1
	if !slices.ContainsFunc(before[:last], func(b T) bool { return b != now }) {
		return true
	}
	if !d.based {
		return false
	}
	want, sure := mustBe(before[last], before[0], before[1])
	return sure && want == now
}

// compare returns the first protected difference below a directory. Tree is ""
// where the directory is gone, and a tree before is "" where it was not there.
func (d *differ) compare(dir string, tree gitops.Hash, before []gitops.Hash) (string, error) {
	if taken(d, tree, before) {
		return "", nil
	}
	now, err := d.entries(tree)
	if err != nil {
		return "", err
	}
	then := make([][]gitops.TreeEntry, len(before))
	names := map[string]bool{}
	for _, e := range now {
		names[e.Name] = true
	}
	for i, b := range before {
		if then[i], err = d.entries(b); err != nil {
			return "", err
		}
		for _, e := range then[i] {
			names[e.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		changed, err := d.entry(path.Join(dir, name), named(now, name), pick(then, name))
		if err != nil || changed != "" {
			return changed, err
		}
	}
	return "", nil
}

func (d *differ) entry(at string, now gitops.TreeEntry, then []gitops.TreeEntry) (string, error) {
	now.Name = ""
	for i := range then {
		then[i].Name = ""
	}
	if taken(d, now, then) || d.merge && at == trustPath && slices.Contains(then[:len(then)-1], now) {
		return "", nil // which trust file a merge takes over is for the versions to say
	}
	if d.visited++; d.visited > maxChangedPaths {
		return "", refusal(gitops.NotApproved, "change less in one commit", "more than %d paths are changed at once: what is protected cannot be told", maxChangedPaths)
	}
	if d.guard.covers(at) {
		return at, nil
	}
	if !d.guard.reaches(at) {
		return "", nil
	}
	below := make([]gitops.Hash, len(then))
	for i, e := range then {
		below[i] = treeIn(e)
	}
	return d.compare(at, treeIn(now), below)
}

// treeIn is the directory at an entry, "" where there is none.
func treeIn(e gitops.TreeEntry) gitops.Hash {
	if !e.Directory() {
		return ""
	}
	return e.ID
}

func (d *differ) entries(tree gitops.Hash) ([]gitops.TreeEntry, error) {
	if tree == "" {
		return nil, nil
	}
	return directory(d.ctx, d.x.objects, tree)
}

func pick(dirs [][]gitops.TreeEntry, name string) []gitops.TreeEntry {
	out := make([]gitops.TreeEntry, len(dirs))
	for i, entries := range dirs {
		out[i] = named(entries, name)
	}
	return out
}

// covers reports whether a path is one of the protected ones, or below one. A
// pattern that ends in a slash covers the directory and all that is in it; one
// without a slash at its end covers what it matches, and all below it.
func (g Protection) covers(at string) bool {
	for _, pattern := range g.Paths {
		if matchPath(strings.TrimSuffix(pattern, "/"), at) {
			return true
		}
	}
	return false
}

// matchPath matches a path, or one of the directories that it lies in.
func matchPath(pattern, at string) bool {
	parts := strings.Split(at, "/")
	n := strings.Count(pattern, "/") + 1
	if len(parts) < n {
		return false
	}
	ok, _ := path.Match(pattern, strings.Join(parts[:n], "/")) // no pattern of a trust file is a bad one
	return ok
}

// reaches reports whether something protected can lie below a directory.
func (g Protection) reaches(dir string) bool {
	depth := strings.Count(dir, "/") + 1
	for _, pattern := range g.Paths {
		parts := strings.Split(strings.TrimSuffix(pattern, "/"), "/")
		if len(parts) <= depth {
			continue
		}
		if ok, _ := path.Match(strings.Join(parts[:depth], "/"), dir); ok {
			return true
		}
	}
	return false
}
