// SPDX-License-Identifier: Apache-2.0

package pull

import (
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
	short string // as in a revision
	full  string // as the server names it, "" for a commit
	tip   gitops.Hash
}

// choose finds the ref among those that the server has.
func (r Ref) choose(ad advertisement) (choice, error) {
	switch {
	case r.Branch != "":
		return exactly(ad, headPrefix, r.Branch, "branch")
	case r.Tag != "":
		return exactly(ad, tagPrefix, r.Tag, "tag")
	case r.Semver != "":
		return highest(ad, r.Semver)
	default:
		return choice{short: commitRef, tip: gitops.Hash(r.Commit)}, nil
	}
}

func exactly(ad advertisement, prefix, name, what string) (choice, error) {
	if tip, ok := ad.refs[prefix+name]; ok {
		return choice{short: name, full: prefix + name, tip: tip}, nil
	}
	if len(ad.refs) == 0 {
		return choice{}, failed(gitops.RefMissing, "push a commit to it", "find %s %q: the repository is empty", what, name)
	}
	var names []string
	for ref := range ad.refs {
		if short, ok := strings.CutPrefix(ref, prefix); ok {
			names = append(names, short)
		}
	}
	remedy := "correct the ref, or push it"
	if near := nearest(name, names); len(near) > 0 {
		remedy = fmt.Sprintf("the server has %s", strings.Join(near, ", "))
	}
	return choice{}, failed(gitops.RefMissing, remedy, "find %s %q: the server does not have it", what, name)
}

// highest is the tag with the highest version in the range. Two tags of one
// version ("1.2.0" and "v1.2.0") are told apart by name, so that every node
// takes the same.
func highest(ad advertisement, within string) (choice, error) {
	limits, err := semver.NewConstraint(within)
	if err != nil {
		return choice{}, badConfig("read the range %q: %v", within, err)
	}
	var best choice
	var bestVersion *semver.Version
	for ref, tip := range ad.refs {
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
			"find a tag in the range %q: none of the server's %d refs is", within, len(ad.refs))
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
