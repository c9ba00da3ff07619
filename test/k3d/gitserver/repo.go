// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Repo is a repository as its users see it: a work tree where commits are made,
// and the bare repository that Push updates and a Server serves.
type Repo struct {
	Name string // of the bare repository, e.g. fleet.git
	Bare string // its path
	Work string // the work tree
}

// NewRepo makes an empty repository whose branch is main. Its bare half is
// DIR/NAME.git, so that a Server with root DIR serves it.
func NewRepo(ctx context.Context, dir, name string) (*Repo, error) {
	work, err := os.MkdirTemp(dir, name+"-work-")
	if err != nil {
		return nil, fmt.Errorf("make the work tree of %s: %w", name, err)
	}
	r := &Repo{Name: name + ".git", Bare: filepath.Join(dir, name+".git"), Work: work}
	setup := [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", r.Bare},
		// As forges have it: parts of the repository and any object of it can
		// be asked for.
		{"-C", r.Bare, "config", "uploadpack.allowFilter", "true"},
		{"-C", r.Bare, "config", "uploadpack.allowAnySHA1InWant", "true"},
		{"-C", r.Bare, "config", "gc.auto", "0"},
		{"init", "--quiet", "--initial-branch=main", r.Work},
		{"config", "gc.auto", "0"},
		{"config", "gpg.format", "ssh"},
		{"remote", "add", "origin", r.Bare},
	}
	for _, args := range setup {
		if _, err := git(ctx, r.Work, args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Git runs any git command in the work tree.
func (r *Repo) Git(ctx context.Context, args ...string) (string, error) {
	return git(ctx, r.Work, args...)
}

// Write puts a file into the work tree, to be committed.
func (r *Repo) Write(path, content string) error {
	full := filepath.Join(r.Work, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return fmt.Errorf("make the directory of %s: %w", path, err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Remove takes a file or a directory out of the work tree, to be committed.
func (r *Repo) Remove(path string) error {
	full := filepath.Join(r.Work, filepath.FromSlash(path))
	if _, err := os.Lstat(full); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	if err := os.RemoveAll(full); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// Commit commits everything in the work tree, changed or not, and returns the
// commit's id. A nil signer leaves it unsigned.
func (r *Repo) Commit(ctx context.Context, message string, signer *Signer) (string, error) {
	if _, err := r.Git(ctx, "add", "--all"); err != nil {
		return "", err
	}
	args := append(signWith(signer), "commit", "--quiet", "--allow-empty", "--message", message)
	if _, err := r.Git(ctx, append(args, signFlag(signer, "--gpg-sign", "--no-gpg-sign"))...); err != nil {
		return "", err
	}
	return r.Head(ctx)
}

// Merge merges branch into the current one, always with a merge commit.
func (r *Repo) Merge(ctx context.Context, branch string, signer *Signer) (string, error) {
	args := append(signWith(signer), "merge", "--quiet", "--no-ff", "--no-edit", signFlag(signer, "--gpg-sign", "--no-gpg-sign"), branch)
	if _, err := r.Git(ctx, args...); err != nil {
		return "", err
	}
	return r.Head(ctx)
}

// Head is the id of the current commit.
func (r *Repo) Head(ctx context.Context) (string, error) { return r.Git(ctx, "rev-parse", "HEAD") }

// Branch makes a branch at the current commit and goes to it.
func (r *Repo) Branch(ctx context.Context, name string) error {
	_, err := r.Git(ctx, "checkout", "--quiet", "-b", name)
	return err
}

// Checkout goes to a branch.
func (r *Repo) Checkout(ctx context.Context, name string) error {
	_, err := r.Git(ctx, "checkout", "--quiet", name)
	return err
}

// Tag makes an annotated tag at the current commit, replacing an old one. A nil
// signer leaves it unsigned.
func (r *Repo) Tag(ctx context.Context, name string, signer *Signer) error {
	args := append(signWith(signer), "tag", "--force", "--message", name, signFlag(signer, "--sign", "--annotate"), name)
	_, err := r.Git(ctx, args...)
	return err
}

// Reset moves the current branch, and the work tree, to a commit.
func (r *Repo) Reset(ctx context.Context, commit string) error {
	_, err := r.Git(ctx, "reset", "--quiet", "--hard", commit)
	return err
}

// Push makes all branches and tags of the bare repository those of the work
// tree. Without force, a branch that would go back is an error.
func (r *Repo) Push(ctx context.Context, force bool) error {
	args := []string{"push", "--quiet", "--prune", "origin", "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"}
	if force {
		args = slices.Insert(args, 1, "--force")
	}
	_, err := r.Git(ctx, args...)
	return err
}

func signWith(signer *Signer) []string {
	if signer == nil {
		return nil
	}
	return []string{"-c", "user.signingKey=" + signer.KeyFile}
}

func signFlag(signer *Signer, yes, no string) string {
	if signer == nil {
		return no
	}
	return yes
}
