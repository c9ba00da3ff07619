// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

const statementRefs = "refs/edgeagent/"

// Repository is a Git repository on this machine.
type Repository struct {
	at     string // what was asked for, as a person typed it
	work   string // of the work tree, "" for a bare repository
	shared string // .git, of the main work tree where there are several
	store  *filesystem.Storage
	local  *gitconfig.Config
	own    *gitconfig.Config // ~/.gitconfig
}

// Open finds the repository that a directory is in, as git does.
func Open(path string) (*Repository, error) {
	start, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the repository %s: %v", path, err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		git, work, err := gitDir(dir)
		if err != nil {
			return nil, fmt.Errorf("open the repository %s: %v", path, err)
		}
		if git != "" {
			return open(path, git, work)
		}
		if dir == filepath.Dir(dir) {
			return nil, fmt.Errorf("open the repository %s: there is none, nor above it; go into one, or name it with --repo", path)
		}
	}
}

// gitDir looks at one directory: for .git, which is a file in a linked work
// tree, and for a bare repository.
func gitDir(dir string) (git, work string, err error) {
	inner := filepath.Join(dir, ".git")
	info, err := os.Stat(inner)
	switch {
	case err == nil && info.IsDir():
		return inner, dir, nil
	case err == nil:
		text, err := os.ReadFile(inner)
		if err != nil {
			return "", "", err
		}
		target, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
		if !ok {
			return "", "", fmt.Errorf("%s does not say gitdir: DIRECTORY", inner)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		return target, dir, nil
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
		return "", "", err
	}
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", "", nil
		}
	}
	return dir, "", nil
}

func open(at, git, work string) (*Repository, error) {
	files, config := osfs.New(git), git
	if common, err := os.ReadFile(filepath.Join(git, "commondir")); err == nil {
		shared := strings.TrimSpace(string(common))
		if !filepath.IsAbs(shared) {
			shared = filepath.Join(git, shared)
		}
		files, config = dotgit.NewRepositoryFilesystem(files, osfs.New(shared)), shared
	}
	r := &Repository{at: at, work: work, shared: config, store: filesystem.NewStorageWithOptions(files, cache.NewObjectLRU(32*cache.MiByte),
		filesystem.Options{AlternatesFS: osfs.New("/")})}
	var err error
	if r.local, err = r.store.Config(); err != nil {
		return nil, fmt.Errorf("open the repository %s: read its configuration: %v", git, err)
	}
	if format := r.local.Raw.Section("extensions").Option("objectformat"); format != "" && format != "sha1" {
		return nil, fmt.Errorf("open the repository %s: its object format %q is not supported; use a SHA-1 repository", git, format)
	}
	if r.own, err = gitconfig.LoadConfig(gitconfig.GlobalScope); err != nil {
		return nil, fmt.Errorf("read your git configuration: %v; correct it", err)
	}
	return r, nil
}

// setting is a value of git's configuration, "section.key".
func (r *Repository) setting(name string) string {
	section, key, _ := strings.Cut(name, ".")
	for _, c := range []*gitconfig.Config{r.local, r.own} {
		if value := c.Raw.Section(section).Option(key); value != "" {
			return value
		}
	}
	return ""
}

// remember adds what statements are made with to the repository's
// configuration. It is appended: git takes the last value, and what people wrote
// there stays as it is.
func (r *Repository) remember(introduction, ref string) error {
	f, err := os.OpenFile(filepath.Join(r.shared, "config"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("write the repository's configuration: %v", err)
	}
	_, err = fmt.Fprintf(f, "[edgeagent]\n\tintroduction = %s\n\tref = %s\n", introduction, ref)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the repository's configuration: %v", err)
	}
	section := r.local.Raw.Section("edgeagent")
	section.SetOption("introduction", introduction).SetOption("ref", ref)
	return nil
}

// Object implements verify.Objects.
func (r *Repository) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	o, err := r.store.EncodedObject(plumbing.AnyObject, plumbing.NewHash(string(id)))
	if errors.Is(err, plumbing.ErrObjectNotFound) || errors.Is(err, fs.ErrNotExist) {
		return "", nil, &gitops.Error{Reason: gitops.Incomplete, Err: err,
			Message: "read " + id.Short() + " from the repository: it is not there",
			Remedy:  "fetch it; in CI, fetch with depth 0 and without a filter"}
	}
	if err != nil {
		return "", nil, err
	}
	reader, err := o.Reader()
	if err != nil {
		return "", nil, err
	}
	defer reader.Close()
	raw, err := io.ReadAll(reader)
	return gitops.ObjectKind(o.Type().String()), raw, err
}

// Carried implements verify.Config.Carried: the statements that are here.
func (r *Repository) Carried(ctx context.Context) (map[string]gitops.Hash, error) {
	iter, err := r.store.IterReferences()
	if err != nil {
		return nil, fmt.Errorf("read the refs of the repository: %v", err)
	}
	carried := map[string]gitops.Hash{}
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		if name := string(ref.Name()); strings.HasPrefix(name, statementRefs) && ref.Type() == plumbing.HashReference {
			carried[name] = gitops.Hash(ref.Hash().String())
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the refs of the repository: %v", err)
	}
	return carried, nil
}

// TrustFile reads the trust file of a commit. Without one it is the zero value.
func (r *Repository) TrustFile(ctx context.Context, commit gitops.Hash) (verify.TrustFile, error) {
	raw, err := r.file(ctx, commit, verify.TrustPath)
	if err != nil || raw == nil {
		return verify.TrustFile{}, err
	}
	f, err := verify.CheckTrustFile(raw)
	if err != nil {
		return f, fmt.Errorf("the trust file %s of commit %s: %v", verify.TrustPath, commit.Short(), err)
	}
	return f, nil
}

// file is the content of a file of a commit, nil when it is not there.
func (r *Repository) file(ctx context.Context, commit gitops.Hash, path string) ([]byte, error) {
	_, raw, err := r.Object(ctx, commit)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	id := gitops.Hash(strings.TrimPrefix(string(line), "tree "))
	for name := range strings.SplitSeq(path, "/") {
		_, tree, err := r.Object(ctx, id)
		if err != nil {
			return nil, err
		}
		entries, err := gitops.ParseTree(tree)
		if err != nil {
			return nil, fmt.Errorf("tree %s has %v", id.Short(), err)
		}
		id = ""
		for _, e := range entries {
			if e.Name == name {
				id = e.ID
			}
		}
		if id == "" {
			return nil, nil
		}
	}
	_, raw, err = r.Object(ctx, id)
	return raw, err
}

// point makes a ref name an object. It must name what it named before.
func (r *Repository) point(name string, id, before gitops.Hash) error {
	ref := plumbing.NewHashReference(plumbing.ReferenceName(name), plumbing.NewHash(string(id)))
	var old *plumbing.Reference
	if before != "" {
		old = plumbing.NewHashReference(plumbing.ReferenceName(name), plumbing.NewHash(string(before)))
	}
	if err := r.store.CheckAndSetReference(ref, old); err != nil {
		return fmt.Errorf("write %s: %v", name, err)
	}
	return nil
}

// put writes an object.
func (r *Repository) put(kind plumbing.ObjectType, raw []byte) (gitops.Hash, error) {
	o := r.store.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	if err != nil {
		return "", err
	}
	if _, err := w.Write(raw); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	id, err := r.store.SetEncodedObject(o)
	if err != nil {
		return "", fmt.Errorf("write a %s into the repository: %v", kind, err)
	}
	return gitops.Hash(id.String()), nil
}
