// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// link is an object that another one names, and the type it must have.
type link struct {
	id   id
	kind plumbing.ObjectType
}

// links lists what an object needs to be whole, and refuses bytes that two
// readers could take differently: a tree that Git would read in another way
// than we do is no ground for a decision.
func links(t plumbing.ObjectType, content []byte) ([]link, error) {
	switch t {
	case plumbing.CommitObject:
		return commitLinks(content)
	case plumbing.TreeObject:
		return treeLinks(content)
	case plumbing.TagObject:
		return tagLinks(content)
	case plumbing.BlobObject:
		return nil, nil
	default:
		return nil, fmt.Errorf("unknown object type %d", t)
	}
}

func commitLinks(content []byte) ([]link, error) {
	tree, rest, err := idLine(content, "tree ")
	if err != nil {
		return nil, err
	}
	out := []link{{tree, plumbing.TreeObject}}
	for bytes.HasPrefix(rest, []byte("parent ")) {
		var parent id
		parent, rest, err = idLine(rest, "parent ")
		if err != nil {
			return nil, err
		}
		out = append(out, link{parent, plumbing.CommitObject})
	}
	if !bytes.HasPrefix(rest, []byte("author ")) {
		return nil, errors.New("no author after the tree and the parents")
	}
	return out, nil
}

func tagLinks(content []byte) ([]link, error) {
	target, rest, err := idLine(content, "object ")
	if err != nil {
		return nil, err
	}
	line, _, ok := bytes.Cut(rest, []byte("\n"))
	name, isType := bytes.CutPrefix(line, []byte("type "))
	if !ok || !isType {
		return nil, errors.New("no type after the object")
	}
	t, err := plumbing.ParseObjectType(string(name))
	if err != nil || t.IsDelta() {
		return nil, fmt.Errorf("unknown type %q", name)
	}
	return []link{{target, t}}, nil
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

func treeLinks(content []byte) ([]link, error) {
	var out []link
	var order treeOrder
	for len(content) > 0 {
		mode, rest, ok := bytes.Cut(content, []byte(" "))
		if !ok || len(mode) > 6 {
			return nil, errors.New("an entry without a mode")
		}
		name, rest, ok := bytes.Cut(rest, []byte{0})
		if !ok || len(rest) < len(id{}) {
			return nil, errors.New("an entry that is cut short")
		}
		t, ok := entryKind(string(mode))
		if !ok {
			return nil, fmt.Errorf("an entry of mode %q", mode)
		}
		if err := entryName(string(name)); err != nil {
			return nil, err
		}
		if err := order.next(name, t == plumbing.TreeObject); err != nil {
			return nil, err
		}
		if t != plumbing.AnyObject {
			out = append(out, link{id(rest[:20]), t})
		}
		content = rest[len(id{}):]
	}
	return out, nil
}

func entryName(name string) error {
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
