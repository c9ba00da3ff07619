// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Objects is where verified objects are read from. It hashes what it returns.
type Objects interface {
	Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error)
}

// kind is what a path of the tree names.
type kind string

const (
	isAbsent    kind = "absent"
	isMissing   kind = "missing" // it is in the tree, its object is not in the store
	isFile      kind = "file"
	isDir       kind = "directory"
	isSymlink   kind = "symlink"
	isSubmodule kind = "submodule"
)

// entry is one path of the tree. Path differs from the path that was asked for
// when a symlink or submodule is crossed on the way: it then names that one.
type entry struct {
	Path string `json:"path"`
	Kind kind   `json:"kind"`
	id   gitops.Hash
}

// tree reads paths of one verified tree. It collects the objects that the
// store lacks instead of failing at the first, and remembers what every path
// resolved to, so that a later tree can be compared (see cache.go).
type tree struct {
	ctx     context.Context
	objects Objects
	root    gitops.Hash
	dirs    map[gitops.Hash]*directory
	missing map[gitops.Hash]gitops.MissingObject
	seen    map[string]string // path → kind and id
	broken  error             // the failure that ended the reading from a worker
	bytes   int
	entries int
}

func newTree(ctx context.Context, objects Objects, root gitops.Hash) *tree {
	return &tree{
		ctx: ctx, objects: objects, root: root,
		dirs:    map[gitops.Hash]*directory{},
		missing: map[gitops.Hash]gitops.MissingObject{},
		seen:    map[string]string{},
	}
}

// How much is wanted of a tree object that the store lacks. The worker says
// what it does with a directory by the question it asks.
const (
	everything = 0 // it is listed: that is done to read all that is below it
	itself     = 1 // it only leads to a path
	oneLevel   = 2 // it is looked for: what use it will be of is not known before it is read
)

// stat says what each path is.
func (t *tree) stat(paths []string) ([]entry, error) {
	out := make([]entry, len(paths))
	for i, p := range paths {
		e, err := t.look(p, oneLevel)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

// list is a directory's entries in Git's order, nothing when it is missing.
func (t *tree) list(p string) ([]entry, error) {
	e, err := t.look(p, everything)
	if err != nil || e.Kind != isDir {
		return nil, err
	}
	dir, err := t.open(e, everything)
	if err != nil || dir == nil {
		return nil, err
	}
	out := slices.Clone(dir.list)
	for i := range out {
		out[i].Path = path.Join(e.Path, out[i].Path)
	}
	return out, nil
}

// read is the content of each file, nil where it is missing or no file.
func (t *tree) read(paths []string) ([][]byte, error) {
	out := make([][]byte, len(paths))
	for i, p := range paths {
		e, err := t.look(p, oneLevel)
		if err != nil {
			return nil, err
		}
		if e.Kind != isFile {
			continue
		}
		data, err := t.object(e, gitops.BlobObject, everything)
		if err != nil {
			return nil, err
		}
		if t.bytes += len(data); t.bytes > maxInput {
			return nil, failure(gitops.TooLarge, "keep large files out of the bundles' paths",
				"read %s: the files of this source exceed %d MiB", p, maxInput>>20)
		}
		out[i] = data
	}
	return out, nil
}

// look resolves a clean path relative to the root, "." for the root itself. How
// much is wanted of it if it is a directory that the store lacks is depth.
func (t *tree) look(p string, depth int) (entry, error) {
	if len(t.seen) > maxFiles {
		return entry{}, failure(gitops.TooLarge, "point the source's path at fewer files",
			"look up %s: more than %d paths are needed", p, maxFiles)
	}
	e, err := t.resolve(p, depth)
	if err == nil {
		t.seen[p] = string(e.Kind) + " " + string(e.id) + " " + e.Path
	}
	return e, err
}

func (t *tree) resolve(p string, depth int) (entry, error) {
	at := entry{Path: ".", Kind: isDir, id: t.root}
	if p == "." {
		return t.present(at, depth)
	}
	names := strings.Split(p, "/")
	if len(names) > maxPathDepth || path.IsAbs(p) || path.Clean(p) != p || names[0] == ".." {
		return entry{}, failure(gitops.PathOutside, "use paths inside the repository", "look up %q: not a path inside the repository", p)
	}
	for _, name := range names {
		if at.Kind != isDir {
			break
		}
		dir, err := t.open(at, itself)
		if err != nil {
			return entry{}, err
		}
		if dir == nil {
			return entry{Path: p, Kind: isMissing}, nil
		}
		child, ok := dir.byName[name]
		if !ok {
			return entry{Path: p, Kind: isAbsent}, nil
		}
		child.Path = path.Join(at.Path, name)
		at = child
	}
	if at.Path != p && at.Kind == isFile {
		return entry{Path: p, Kind: isAbsent}, nil
	}
	return t.present(at, depth)
}

// present turns a directory whose tree object is not there into a missing one.
func (t *tree) present(e entry, depth int) (entry, error) {
	if e.Kind != isDir {
		return e, nil
	}
	dir, err := t.open(e, depth)
	if err != nil {
		return entry{}, err
	}
	if dir == nil {
		e.Kind = isMissing
	}
	return e, nil
}

// directory is a parsed tree object. The entries' paths are names.
type directory struct {
	list   []entry
	byName map[string]entry
}

// open is the directory of an entry, nil when its object is missing.
func (t *tree) open(e entry, depth int) (*directory, error) {
	if dir, ok := t.dirs[e.id]; ok {
		return dir, nil
	}
	data, err := t.object(e, gitops.TreeObject, depth)
	if err != nil || data == nil {
		return nil, err
	}
	list, err := parseTree(data)
	if err != nil {
		return nil, failure(gitops.InvalidManifest, "rewrite the commit with an ordinary Git client",
			"read directory %s: %s", e.Path, err)
	}
	if t.entries += len(list); t.entries > maxFiles {
		return nil, failure(gitops.TooLarge, "point the source's path at fewer files",
			"read directory %s: more than %d files are in reach", e.Path, maxFiles)
	}
	dir := &directory{list: list, byName: make(map[string]entry, len(list))}
	for _, child := range list {
		dir.byName[child.Path] = child
	}
	t.dirs[e.id] = dir
	return dir, nil
}

// object reads the object of an entry, nil when the store does not hold it.
func (t *tree) object(e entry, want gitops.ObjectKind, depth int) ([]byte, error) {
	got, data, err := t.objects.Object(t.ctx, e.id)
	if gitops.ReasonOf(err) == gitops.Incomplete {
		t.want(gitops.MissingObject{ID: e.id, Kind: want, Path: e.Path, Depth: depth})
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, failure(gitops.Corrupt, "", "read object %s: it is a %s where the tree names a %s", e.id, got, want)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// want notes that an object is missing. One that is wanted twice is wanted as
// far as the use that needs more of it.
func (t *tree) want(m gitops.MissingObject) {
	before, ok := t.missing[m.ID]
	if ok && (before.Depth == everything || m.Depth != everything && m.Depth <= before.Depth) {
		return
	}
	t.missing[m.ID] = m
}

// wanted is what the store lacks, by path.
func (t *tree) wanted() []gitops.MissingObject {
	return slices.SortedFunc(maps.Values(t.missing), func(a, b gitops.MissingObject) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.ID, b.ID))
	})
}

// parseTree reads a tree object by the strict grammar, and refuses names that
// lead elsewhere on other file systems.
func parseTree(data []byte) ([]entry, error) {
	var out []entry
	for line, err := range gitops.TreeEntries(data) {
		if err != nil {
			return nil, fmt.Errorf("it has %w", err)
		}
		if !validName(line.Name) {
			return nil, fmt.Errorf("entry %q has a name that leads elsewhere", line.Name)
		}
		out = append(out, entry{Path: line.Name, Kind: modes[line.Mode], id: line.ID})
	}
	return out, nil
}

var modes = map[string]kind{
	"100644": isFile, "100755": isFile, "100664": isFile,
	"40000": isDir, "120000": isSymlink, "160000": isSubmodule,
}

// validName refuses names that would leave the directory or reach Git's own,
// on any file system: names are compared without case, and control characters
// (which .git lookalikes use) are out.
func validName(name string) bool {
	switch strings.ToLower(name) {
	case "", ".", "..", ".git", "git~1":
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == '\\' || r < 0x20 || r == 0x7f || r == '\u200c' || r == '\ufeff'
	})
}
