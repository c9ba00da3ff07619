// SPDX-License-Identifier: Apache-2.0

package pull

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
	"github.com/go-git/go-git/v5/plumbing/revlist"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// fileRemote reads a repository in a directory, in this process: Git's own
// file transport would run Git, with the hooks and settings that lie there.
type fileRemote struct {
	place
	storage *filesystem.Storage
}

func (r *fileRemote) refs(context.Context) (advertisement, error) {
	dir := r.path
	if info, err := os.Stat(filepath.Join(dir, ".git")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, ".git")
	}
	if _, err := os.Stat(filepath.Join(dir, "objects")); err != nil {
		return advertisement{}, failed(gitops.NotGit, "check the path", "read the repository %s: there is none", r.shown)
	}
	r.storage = filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRU(4*cache.MiByte))
	ad := newAdvertisement()
	refs, err := r.storage.IterReferences()
	if err != nil {
		return ad, r.failed(err)
	}
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() != plumbing.HashReference {
			return nil
		}
		return ad.add(ref.Hash().String() + " " + ref.Name().String())
	})
	if err != nil {
		return ad, r.failed(err)
	}
	return ad, nil
}

func (r *fileRemote) failed(err error) error {
	return failed(gitops.NotGit, "check the repository with git fsck", "read the repository %s: %s", r.shown, printable(err.Error(), 200))
}

func (r *fileRemote) pack(ctx context.Context, wants, haves []gitops.Hash, _ advertisement) (io.ReadCloser, error) {
	var there []plumbing.Hash
	for _, have := range haves {
		if h := plumbing.NewHash(string(have)); r.storage.HasEncodedObject(h) == nil {
			there = append(there, h)
		}
	}
	old, err := revlist.Objects(r.storage, there, nil)
	if err != nil {
		return nil, r.failed(err)
	}
	var new []plumbing.Hash
	for _, want := range wants {
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
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = out.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_, err := packfile.NewEncoder(in, r.storage, false).Encode(objects, 10)
		_ = in.CloseWithError(err)
	}()
	return out, nil
}

func (r *fileRemote) end() {
	if r.storage != nil {
		_ = r.storage.Close()
		r.storage = nil
	}
}
