// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// TreeEntry is one line of a tree object.
type TreeEntry struct {
	Mode string // as Git writes it: "40000", "100644", "100755", "100664", "120000", "160000"
	Name string
	ID   Hash
}

// The modes of tree entries.
const (
	ModeDirectory  = "40000"
	ModeFile       = "100644"
	ModeExecutable = "100755"
	ModeSymlink    = "120000"
	ModeSubmodule  = "160000"
	// modeGroupFile is what very old versions of Git wrote for a file.
	modeGroupFile = "100664"
)

// Directory reports whether the entry is a tree.
func (e TreeEntry) Directory() bool { return e.Mode == ModeDirectory }

// File reports whether the entry is an ordinary file.
func (e TreeEntry) File() bool {
	return e.Mode == ModeFile || e.Mode == ModeExecutable || e.Mode == modeGroupFile
}

// maxEntryName is more than any file system lets a name have.
const maxEntryName = 4096

// ParseTree reads a whole tree object, as TreeEntries does.
func ParseTree(content []byte) ([]TreeEntry, error) {
	var out []TreeEntry
	for e, err := range TreeEntries(content) {
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// TreeEntries reads a tree object by a grammar that is stricter than Git's: what
// it accepts, every reader takes for the same set of paths. Names must rise as
// Git sorts them, none may be there twice, and none may lead elsewhere. After an
// error there is nothing more.
func TreeEntries(content []byte) iter.Seq2[TreeEntry, error] {
	return func(yield func(TreeEntry, error) bool) {
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

func nextEntry(content []byte, order *treeOrder) (TreeEntry, []byte, error) {
	mode, rest, ok := bytes.Cut(content, []byte(" "))
	if !ok || len(mode) > 6 {
		return TreeEntry{}, nil, errors.New("an entry without a mode")
	}
	name, rest, ok := bytes.Cut(rest, []byte{0})
	if !ok || len(rest) < 20 {
		return TreeEntry{}, nil, errors.New("an entry that is cut short")
	}
	e := TreeEntry{Mode: string(mode), Name: string(name), ID: Hash(hex.EncodeToString(rest[:20]))}
	switch e.Mode {
	case ModeDirectory, ModeFile, ModeExecutable, modeGroupFile, ModeSymlink, ModeSubmodule:
	default:
		return TreeEntry{}, nil, fmt.Errorf("an entry of mode %q", e.Mode)
	}
	if len(name) > maxEntryName {
		return TreeEntry{}, nil, fmt.Errorf("an entry with a name of %d bytes", len(name))
	}
	if leadsElsewhere(e.Name) {
		return TreeEntry{}, nil, fmt.Errorf("an entry named %q", e.Name)
	}
	if err := order.next(e.Name, e.Directory()); err != nil {
		return TreeEntry{}, nil, err
	}
	return e, rest[20:], nil
}

func leadsElsewhere(name string) bool {
	return name == "" || name == "." || name == ".." || strings.EqualFold(name, ".git") || strings.Contains(name, "/")
}

// treeOrder checks that names rise as Git sorts them (a directory as if it
// ended in "/") and that no file shares its name with a directory. The two
// need not be neighbours: "a", "a.b", "a/" is in order.
type treeOrder struct {
	last  string
	files []string // names that may still come again as a directory
}

func (o *treeOrder) next(name string, dir bool) error {
	key := name
	if dir {
		key += "/"
	}
	if key <= o.last || name == strings.TrimSuffix(o.last, "/") {
		return fmt.Errorf("entries %q and %q, which are out of order or the same", o.last, key)
	}
	o.last = key
	for len(o.files) > 0 && !strings.HasPrefix(name, o.files[len(o.files)-1]) {
		o.files = o.files[:len(o.files)-1]
	}
	switch {
	case !dir:
		o.files = append(o.files, name)
	case len(o.files) > 0 && o.files[len(o.files)-1] == name:
		return fmt.Errorf("two entries named %q", name)
	}
	return nil
}
