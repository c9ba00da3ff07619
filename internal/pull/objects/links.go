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

// entryKinds are the modes that a tree may hold. 100664 is what very old
// versions of Git wrote for a file. A gitlink names a commit of another
// repository: nothing of it is fetched.
func entryKind(mode string) (plumbing.ObjectType, bool) {
	switch mode {
	case "40000":
		return plumbing.TreeObject, true
	case "100644", "100755", "100664", "120000":
		return plumbing.BlobObject, true
	case "160000":
		return plumbing.AnyObject, true
	}
	return plumbing.InvalidObject, false
}

// entry is one line of a tree.
type entry struct {
	link // of kind AnyObject for a gitlink
	name string
}

// entries reads a tree strictly. After an error there is nothing more.
func entries(content []byte) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		var order treeOrder
		for len(content) > 0 {
			e, rest, err := nextEntry(content, &order)
			if !yield(e, err) || err != nil {
				return
			}
			content = rest
		}
	}
}

func nextEntry(content []byte, order *treeOrder) (entry, []byte, error) {
	mode, rest, ok := bytes.Cut(content, []byte(" "))
	if !ok || len(mode) > 6 {
		return entry{}, nil, errors.New("an entry without a mode")
	}
	name, rest, ok := bytes.Cut(rest, []byte{0})
	if !ok || len(rest) < len(id{}) {
		return entry{}, nil, errors.New("an entry that is cut short")
	}
	t, ok := entryKind(string(mode))
	if !ok {
		return entry{}, nil, fmt.Errorf("an entry of mode %q", mode)
	}
	if err := entryName(string(name)); err != nil {
		return entry{}, nil, err
	}
	if err := order.next(name, t == plumbing.TreeObject); err != nil {
		return entry{}, nil, err
	}
	return entry{link{id(rest[:20]), t}, string(name)}, rest[len(id{}):], nil
}

// maxName is more than any file system lets a name have.
const maxName = 4096

func entryName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("an entry with a name of %d bytes", len(name))
	}
	if name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.Contains(name, "/") {
		return fmt.Errorf("an entry named %q", name)
	}
	return nil
}

// treeOrder checks that names rise as Git sorts them (a directory as if it
// ended in "/") and that no file shares its name with a directory. The two
// need not be neighbours: "a", "a.b", "a/" is in order.
type treeOrder struct {
	last    []byte
	lastDir bool
	files   [][]byte // names that may still come again as a directory
}

func (o *treeOrder) next(name []byte, dir bool) error {
	if o.last != nil && !sortsBefore(o.last, o.lastDir, name, dir) {
		return fmt.Errorf("entries %q and %q, which are out of order or the same", o.last, name)
	}
	o.last, o.lastDir = name, dir
	for len(o.files) > 0 && !bytes.HasPrefix(name, o.files[len(o.files)-1]) {
		o.files = o.files[:len(o.files)-1]
	}
	switch {
	case !dir:
		o.files = append(o.files, name)
	case len(o.files) > 0 && bytes.Equal(o.files[len(o.files)-1], name):
		return fmt.Errorf("two entries named %q", name)
	}
	return nil
}

func sortsBefore(a []byte, aDir bool, b []byte, bDir bool) bool {
	n := min(len(a), len(b))
	if c := bytes.Compare(a[:n], b[:n]); c != 0 {
		return c < 0
	}
	end := func(name []byte, dir bool) byte {
		switch {
		case len(name) > n:
			return name[n]
		case dir:
			return '/'
		}
		return 0
	}
	return end(a, aDir) < end(b, bDir)
}
