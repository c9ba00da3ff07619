// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	branchPrefix = "refs/heads/"
	// carriedPrefix is what edgeagent itself keeps in a repository: it travels
	// with every bundle.
	carriedPrefix = "refs/edgeagent/"

	fullClone = "publish from a full clone, made by `git clone --mirror` (in CI: fetch depth 0, no filter)"
)

// repository reads a Git repository on this machine.
type repository struct {
	path  string
	store *filesystem.Storage
}

// openRepository takes a bare repository, or a directory with .git in it.
func openRepository(path string) (*repository, error) {
	dir, err := gitDir(path)
	if err != nil {
		return nil, err
	}
	files := osfs.New(dir)
	if common, err := os.ReadFile(filepath.Join(dir, "commondir")); err == nil {
		shared := strings.TrimSpace(string(common))
		if !filepath.IsAbs(shared) {
			shared = filepath.Join(dir, shared)
		}
		files = dotgit.NewRepositoryFilesystem(files, osfs.New(shared))
	}
	r := &repository{path: path, store: filesystem.NewStorageWithOptions(files, cache.NewObjectLRU(64*cache.MiByte),
		filesystem.Options{AlternatesFS: osfs.New("/")})}
	return r, r.usable()
}

// gitDir follows .git, which is a file in a linked worktree.
func gitDir(path string) (string, error) {
	inner := filepath.Join(path, ".git")
	text, err := os.ReadFile(inner)
	if err == nil {
		target, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
		if ok && !filepath.IsAbs(target) {
			target = filepath.Join(path, target)
		}
		inner = target
	}
	for _, dir := range []string{inner, path} {
		_, head := os.Stat(filepath.Join(dir, "HEAD"))
		if dir != "" && head == nil {
			return filepath.Abs(dir)
		}
	}
	return "", failed(gitops.NotGit, "name a bare repository, or a directory with .git in it", "open the repository %s: there is none", path)
}

// usable refuses what cannot be published whole.
func (r *repository) usable() error {
	config, err := r.store.Config()
	if err != nil {
		return fmt.Errorf("open the repository %s: read its configuration: %v", r.path, err)
	}
	extensions := config.Raw.Section("extensions")
	for _, known := range []struct{ option, value string }{{"objectformat", "sha1"}, {"refstorage", "files"}} {
		if got := extensions.Option(known.option); got != "" && got != known.value {
			return failed(gitops.UnsupportedBundle, "publish from a SHA-1 repository whose refs are files",
				"open the repository %s: its %s is %s", r.path, known.option, printable(got))
		}
	}
	shallow, err := r.store.Shallow()
	if err != nil {
		return fmt.Errorf("open the repository %s: %v", r.path, err)
	}
	if len(shallow) > 0 {
		return failed(gitops.Incomplete, fullClone, "open the repository %s: it is a shallow clone", r.path)
	}
	return nil
}

// refs finds what is asked for, and everything below refs/edgeagent/. Without
// a pattern it is the branch that HEAD names.
func (r *repository) refs(patterns []string) ([]Ref, error) {
	all, err := r.allRefs()
	if err != nil {
		return nil, err
	}
	if len(patterns) == 0 {
		head, err := r.store.Reference(plumbing.HEAD)
		if err != nil || head.Type() != plumbing.SymbolicReference {
			return nil, failed(gitops.RefMissing, "name what to publish, as in --ref refs/heads/main", "publish %s: its HEAD names no branch", r.path)
		}
		patterns = []string{string(head.Target())}
	}
	chosen := map[string]Ref{}
	for _, pattern := range patterns {
		found := strings.Contains(pattern, "*") // there may be none yet
		for _, ref := range all {
			if matches(pattern, ref.Name) {
				chosen[ref.Name], found = ref, true
			}
		}
		if !found {
			return nil, failed(gitops.RefMissing, "look at `git for-each-ref`; a full clone with all branches is made by `git clone --mirror`",
				"publish %s: no ref is %s", r.path, printable(pattern))
		}
	}
	if len(chosen) == 0 {
		return nil, failed(gitops.RefMissing, "name a branch too, as in --ref main", "publish %s: no ref is like %s", r.path, printable(strings.Join(patterns, ", ")))
	}
	for _, ref := range all {
		if strings.HasPrefix(ref.Name, carriedPrefix) {
			chosen[ref.Name] = ref
		}
	}
	refs := make([]Ref, 0, len(chosen))
	for _, ref := range chosen {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b Ref) int { return cmp.Compare(a.Name, b.Name) })
	return refs, nil
}

// matches compares a ref with a branch's name, a full name, or a full name with
// one *, which stands for anything.
func matches(pattern, name string) bool {
	if !strings.HasPrefix(pattern, "refs/") {
		pattern = branchPrefix + pattern
	}
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	return len(name) >= len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
}

func (r *repository) allRefs() ([]Ref, error) {
	iter, err := r.store.IterReferences()
	if err != nil {
		return nil, fmt.Errorf("read the refs of %s: %v", r.path, err)
	}
	var refs []Ref
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		name := string(ref.Name())
		if !strings.HasPrefix(name, "refs/") || !validRefName(name) {
			return nil
		}
		at, err := storer.ResolveReference(r.store, ref.Name())
		if err != nil {
			if ref.Type() == plumbing.SymbolicReference {
				return nil // of a branch that is not there
			}
			return err
		}
		refs = append(refs, Ref{Name: name, ID: gitops.Hash(at.Hash().String())})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the refs of %s: %v", r.path, err)
	}
	return refs, nil
}

// object reads an object and holds it to its id: a disk that lies is found
// here, not on ten thousand nodes.
func (r *repository) object(id plumbing.Hash) (plumbing.ObjectType, []byte, error) {
	o, err := r.store.EncodedObject(plumbing.AnyObject, id)
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound), errors.Is(err, fs.ErrNotExist):
		return 0, nil, because(err, gitops.Incomplete, fullClone, "read %s from %s: it is not there", id, r.path)
	case err != nil:
		return 0, nil, r.damaged(id, err)
	}
	reader, err := o.Reader()
	if err != nil {
		return 0, nil, r.damaged(id, err)
	}
	defer reader.Close()
	content, err := io.ReadAll(reader)
	if err != nil {
		return 0, nil, r.damaged(id, err)
	}
	if got := plumbing.ComputeHash(o.Type(), content); got != id {
		return 0, nil, r.damaged(id, fmt.Errorf("what is there is %s", got))
	}
	return o.Type(), content, nil
}

func (r *repository) damaged(id plumbing.Hash, err error) error {
	return because(err, gitops.Corrupt, "look at it with `git fsck`, and make a new clone", "read %s from %s: %v", id, r.path, err)
}
