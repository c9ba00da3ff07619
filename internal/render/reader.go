// SPDX-License-Identifier: Apache-2.0

package render

import (
	"path"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// files is a verified tree as the rendering sees it: in the agent's process a
// tree, in the worker a pipe to it.
type files interface {
	stat(paths []string) ([]entry, error)
	list(dir string) ([]entry, error)
	read(paths []string) ([][]byte, error)
}

// reader refuses what the closure must not hold and notes when an object is
// missing. Its callers go on without what is missing, so that one pass names
// as much of it as it can.
type reader struct {
	files      files
	incomplete bool
}

// kinds says what each path is. Symlinks and submodules are refused: what they
// lead to is not what was signed.
func (r *reader) kinds(paths ...string) ([]kind, error) {
	entries, err := r.files.stat(paths)
	if err != nil {
		return nil, err
	}
	out := make([]kind, len(entries))
	for i, e := range entries {
		if err := r.check(e); err != nil {
			return nil, err
		}
		out[i] = e.Kind
	}
	return out, nil
}

func (r *reader) kind(p string) (kind, error) {
	k, err := r.kinds(p)
	if err != nil {
		return "", err
	}
	return k[0], nil
}

func (r *reader) check(e entry) error {
	switch e.Kind {
	case isMissing:
		r.incomplete = true
	case isSymlink:
		return failure(gitops.Symlink, "commit the file itself in its place", "read %s: it is a symlink", e.Path)
	case isSubmodule:
		return failure(gitops.PathOutside, "commit the files in its place", "read %s: it is a submodule, whose content is outside the repository", e.Path)
	}
	return nil
}

// content reads files; what is missing or no file is not in the result.
func (r *reader) content(paths []string) (map[string][]byte, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	data, err := r.files.read(paths)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(paths))
	for i, p := range paths {
		if data[i] == nil {
			r.incomplete = true
			continue
		}
		out[p] = data[i]
	}
	return out, nil
}

// file reads one file that has to be there; nil when it is missing.
func (r *reader) file(what, p string) ([]byte, error) {
	k, err := r.kind(p)
	if err != nil {
		return nil, err
	}
	switch k {
	case isAbsent, isDir:
		return nil, failure(gitops.PathMissing, "correct the path, or commit the file", "read %s: there is no file %s", what, p)
	case isMissing:
		return nil, nil
	}
	content, err := r.content([]string{p})
	return content[p], err
}

// walk lists the files below a directory, in Git's order. keep says of each
// path, directories with a trailing slash, whether it belongs to the closure.
func (r *reader) walk(dir string, keep func(rel string) bool) ([]string, error) {
	var out []string
	var descend func(string) error
	descend = func(at string) error {
		entries, err := r.files.list(at)
		if err != nil {
			return err
		}
		for _, e := range entries {
			rel := e.Path
			if dir != "." {
				rel = strings.TrimPrefix(e.Path, dir+"/")
			}
			if e.Kind == isDir {
				rel += "/"
			}
			if !keep(rel) {
				continue
			}
			if err := r.check(e); err != nil {
				return err
			}
			if e.Kind == isFile {
				out = append(out, e.Path)
				continue
			}
			// A directory that is missing is listed all the same: so the tree knows
			// that everything below it is wanted, and its neighbours are named too.
			if _, err := r.kind(e.Path); err != nil {
				return err
			}
			if err := descend(e.Path); err != nil {
				return err
			}
		}
		return nil
	}
	return out, descend(dir)
}

// hidden reports whether a name is not meant for the cluster: dot files hold
// the settings of forges and editors.
func hidden(rel string) bool {
	return strings.HasPrefix(path.Base(rel), ".")
}
