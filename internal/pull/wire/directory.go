// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/revlist"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// directory reads a repository in a directory, in this process: Git's own
// file transport would run Git, with the hooks and settings that lie there.
// It filters nothing: there is no link that would be spared.
type directory struct {
	cfg     Config
	storage *filesystem.Storage
}

func (r *directory) server() Server {
	return Server{Protocol: "directory", AnyWant: true, AnyCommit: true, Name: "directory"}
}

func (r *directory) open() error {
	if r.storage != nil {
		return nil
	}
	dir := r.cfg.Place.Path
	if info, err := os.Stat(filepath.Join(dir, ".git")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, ".git")
	}
	if _, err := os.Stat(filepath.Join(dir, "objects")); err != nil {
		return failed(gitops.NotGit, "check the path", "read the repository %s: there is none", r.cfg.Place.Shown)
	}
	r.storage = filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRU(4*cache.MiByte))
	return nil
}

func (r *directory) refs(_ context.Context, prefixes []string) (Refs, error) {
	r.end() // what was packed or deleted meanwhile would be read from a cache
	if err := r.open(); err != nil {
		return Refs{}, err
	}
	list := newRefList(prefixes)
	refs, err := r.storage.IterReferences()
	if err != nil {
		return Refs{}, r.failed(err)
	}
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		id, err := refHash(ref.Hash().String())
		if err != nil {
			return err
		}
		return list.add(Ref{Name: ref.Name().String(), ID: id, Peeled: r.peeled(ref.Hash())})
	})
	if err != nil {
		return Refs{}, r.failed(err)
	}
	shallow, err := r.storage.Shallow()
	if err != nil {
		return Refs{}, r.failed(err)
	}
	return Refs{List: list.list, Shallow: len(shallow) > 0}, nil
}

// maxTags bounds tags of tags.
const maxTags = 16

// peeled is what a tag names in the end, "" for anything else.
func (r *directory) peeled(id plumbing.Hash) gitops.Hash {
	var end gitops.Hash
	for range maxTags {
		tag, err := object.GetTag(r.storage, id)
		if err != nil {
			return end
		}
		id = tag.Target
		end = gitops.Hash(id.String())
	}
	return end
}

func (r *directory) failed(err error) error {
	if _, ok := errors.AsType[*gitops.Error](err); ok {
		return err
	}
	return failed(gitops.NotGit, "check the repository with git fsck", "read the repository %s: %s",
		r.cfg.Place.Shown, printable(err.Error(), 200))
}

func (r *directory) fetch(ctx context.Context, q Request) (*Pack, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if len(q.WantRefs) > 0 {
		return nil, wantRefUnsupported()
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	var there []plumbing.Hash
	for _, have := range q.Haves {
		if h := plumbing.NewHash(string(have)); r.storage.HasEncodedObject(h) == nil {
			there = append(there, h)
		}
	}
	old, err := revlist.Objects(r.storage, there, nil)
	if err != nil {
		return nil, r.failed(err)
	}
	var new []plumbing.Hash
	for _, want := range q.Wants {
		h := plumbing.NewHash(string(want))
		if err := r.storage.HasEncodedObject(h); errors.Is(err, plumbing.ErrObjectNotFound) {
			return nil, serverSaid("not our ref " + string(want))
		}
		new = append(new, h)
	}
	objects, err := revlist.Objects(r.storage, new, old)
	if err != nil {
		return nil, r.failed(err)
	}
	return r.encoded(ctx, objects), nil
}

// encoded writes the pack while it is read.
func (r *directory) encoded(ctx context.Context, objects []plumbing.Hash) *Pack {
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = out.CloseWithError(context.Cause(ctx)) })
	var storage storer.EncodedObjectStorer = r.storage
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := packfile.NewEncoder(in, storage, false).Encode(objects, 10)
		_ = in.CloseWithError(err)
	}()
	return &Pack{
		r: &told{r: out, failed: func(err error) error {
			if ctx.Err() != nil {
				return linkFailed(ctx, "read the repository "+r.cfg.Place.Shown, err, r.cfg.Now())
			}
			return r.failed(err)
		}},
		close: func() error {
			stop()
			_ = out.Close()
			<-done
			return nil
		},
	}
}

func (r *directory) end() {
	if r.storage != nil {
		_ = r.storage.Close()
		r.storage = nil
	}
}

func (r *directory) close() { r.end() }
