// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// link is an object that another one names, and the type it must have.
type link struct {
	id   id
	kind plumbing.ObjectType
}

// history is what a commit names.
type history struct {
	tree    id
	parents []id
}

// checkForm refuses bytes that two readers could take differently: a tree that
// Git would read in another way than we do is no ground for a decision.
func checkForm(t plumbing.ObjectType, content []byte) error {
	var err error
	switch t {
	case plumbing.CommitObject:
		_, err = commitLinks(content)
	case plumbing.TreeObject:
		for _, err = range entries(content) {
			if err != nil {
				break
			}
		}
	case plumbing.TagObject:
		_, err = tagLink(content)
	case plumbing.BlobObject:
	default:
		err = fmt.Errorf("unknown object type %d", t)
	}
	return err
}

// commitLinks are the tree of a commit and its parents.
func commitLinks(content []byte) (history, error) {
	var h history
	tree, rest, err := idLine(content, "tree ")
	if err != nil {
		return h, err
	}
	h.tree = tree
	for bytes.HasPrefix(rest, []byte("parent ")) {
		var parent id
		parent, rest, err = idLine(rest, "parent ")
		if err != nil {
			return h, err
		}
		h.parents = append(h.parents, parent)
	}
	if !bytes.HasPrefix(rest, []byte("author ")) {
		return h, errors.New("no author after the tree and the parents")
	}
	return h, nil
}

// tagLink is what a tag names.
func tagLink(content []byte) (link, error) {
	target, rest, err := idLine(content, "object ")
	if err != nil {
		return link{}, err
	}
	line, _, ok := bytes.Cut(rest, []byte("\n"))
	name, isType := bytes.CutPrefix(line, []byte("type "))
	if !ok || !isType {
		return link{}, errors.New("no type after the object")
	}
	t, err := plumbing.ParseObjectType(string(name))
	if err != nil || t.IsDelta() {
		return link{}, fmt.Errorf("unknown type %q", name)
	}
	return link{target, t}, nil
}

// idLine cuts "<prefix><40 lower-case hex digits>\n" off.
func idLine(content []byte, prefix string) (id, []byte, error) {
	var i id
	n := len(prefix) + 40
	if len(content) <= n || string(content[:len(prefix)]) != prefix || content[n] != '\n' {
		return i, nil, fmt.Errorf("no line %q with an object id", strings.TrimSpace(prefix))
	}
	digits := content[len(prefix):n]
	if bytes.ContainsAny(digits, "ABCDEF") {
		return i, nil, fmt.Errorf("the object id after %q is not in lower case", strings.TrimSpace(prefix))
	}
	if _, err := hex.Decode(i[:], digits); err != nil {
		return i, nil, fmt.Errorf("no object id after %q", strings.TrimSpace(prefix))
	}
	return i, content[n+1:], nil
}

// entry is one line of a tree.
type entry struct {
	link // of kind AnyObject for a gitlink
	name string
}

// entries reads a tree strictly. After an error there is nothing more. A
// gitlink names a commit of another repository: nothing of it is fetched.
func entries(content []byte) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		for e, err := range gitops.TreeEntries(content) {
			out := entry{name: e.Name}
			switch {
			case err != nil:
			case e.Directory():
				out.kind = plumbing.TreeObject
			case e.Mode == gitops.ModeSubmodule:
				out.kind = plumbing.AnyObject
			default:
				out.kind = plumbing.BlobObject
			}
			if err == nil {
				out.id, err = parseID(e.ID)
			}
			if !yield(out, err) {
				return
			}
		}
	}
}
