// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	headPrefix = "refs/heads/"
	tagPrefix  = "refs/tags/"
	// commitRef stands for the ref in a revision whose source names a commit.
	commitRef = "commit"
)

// choice is what a ref of the configuration names on a server now.
type choice struct {
	short   string // as in a revision
	full    string // as the server names it, "" for a commit
	tip     gitops.Hash
	wants   []gitops.Hash          // what is asked for where the tip may not be
	carried map[string]gitops.Hash // the refs that are kept beside it
}

// refs are the names that a place has, as far as they were asked for.
type refs map[string]gitops.Hash

// prefixes are how the names begin that the ref can be among. None are asked
// for where a commit is named by its id.
func (r Ref) prefixes() []string {
	switch {
	case r.Branch != "":
		return []string{headPrefix + r.Branch}
	case r.Tag != "":
		return []string{tagPrefix + r.Tag}
	case r.Semver != "":
		return []string{tagPrefix}
	}
	return nil
}

// choose finds the ref among those that the server has.
func (r Ref) choose(on refs) (choice, error) {
	switch {
	case r.Branch != "":
		return exactly(on, headPrefix, r.Branch, "branch")
	case r.Tag != "":
		return exactly(on, tagPrefix, r.Tag, "tag")
	case r.Semver != "":
		return highest(on, r.Semver)
	default:
		return choice{short: commitRef, tip: gitops.Hash(r.Commit)}, nil
	}
}

func exactly(on refs, prefix, name, what string) (choice, error) {
	if tip, ok := on[prefix+name]; ok {
		return choice{short: name, full: prefix + name, tip: tip}, nil
	}
	return choice{}, failed(gitops.RefMissing, "correct the ref, or push it", "find %s %q: the server does not have it", what, name)
}

// missing explains that the ref is not among all that a place has.
func (r Ref) missing(all refs, err error) error {
	prefix, name := headPrefix, r.Branch
	if name == "" {
		prefix, name = tagPrefix, r.Tag
	}
	e, ok := errors.AsType[*gitops.Error](err)
	if !ok || name == "" {
		return err
	}
	if len(all) == 0 {
		return failed(gitops.RefMissing, "push a commit to it", "find %q: the repository is empty", name)
	}
	var names []string
	for ref := range all {
		if short, ok := strings.CutPrefix(ref, prefix); ok {
			names = append(names, short)
		}
	}
	if near := nearest(name, names); len(near) > 0 {
		return failed(e.Reason, "the server has "+strings.Join(near, ", "), "%s", e.Message)
	}
	return err
}

// highest is the tag with the highest version in the range. Two tags of one
// version ("1.2.0" and "v1.2.0") are told apart by name, so that every node
// takes the same.
func highest(on refs, within string) (choice, error) {
	limits, err := semver.NewConstraint(within)
	if err != nil {
		return choice{}, badConfig("read the range %q: %v", within, err)
	}
	var best choice
	var bestVersion *semver.Version
	for ref, tip := range on {
		name, isTag := strings.CutPrefix(ref, tagPrefix)
		if !isTag {
			continue
		}
		v, err := semver.NewVersion(name)
		if err != nil || !limits.Check(v) {
			continue
		}
		if bestVersion != nil {
			if c := v.Compare(bestVersion); c < 0 || c == 0 && name < best.short {
				continue
			}
		}
		best, bestVersion = choice{short: name, full: ref, tip: tip}, v
	}
	if bestVersion == nil {
		return choice{}, failed(gitops.RefMissing, "push a tag in the range, or widen it",
			"find a tag in the range %q: none of the server's %d tags is", within, len(on))
	}
	return best, nil
}

// nearest are at most three names that name may have meant, quoted.
func nearest(name string, names []string) []string {
	const most, tooLong = 3, 100
	type near struct {
		name     string
		distance int
	}
	var found []near
	slices.Sort(names)
	for _, n := range names[:min(len(names), 5000)] {
		if len(n) <= tooLong && len(name) <= tooLong {
			found = append(found, near{n, distance(name, n)})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.distance - b.distance })
	var out []string
	for _, f := range found[:min(len(found), most)] {
		out = append(out, fmt.Sprintf("%q", f.name))
	}
	return out
}

// distance is how many bytes must be put in, taken out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
