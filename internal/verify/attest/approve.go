// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/utils/merkletrie"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// maxChanges bounds how many changed files are listed.
const maxChanges = 200

// Change is a file that a commit changes.
type Change struct {
	Path      string `json:"path"`
	Action    string `json:"action"` // added, changed, deleted
	Protected bool   `json:"protected,omitempty"`
}

// Approval is what was approved, by whom, and what nodes still ask for.
type Approval struct {
	Commit       gitops.Hash          `json:"commit"`
	Subject      string               `json:"subject"`
	Author       string               `json:"author"`
	From         gitops.Hash          `json:"from,omitempty"`
	Ref          string               `json:"ref"`
	Introduction gitops.Hash          `json:"introduction"`
	Principal    string               `json:"principal,omitempty"`
	Key          string               `json:"key,omitempty"`
	Statement    string               `json:"statement,omitempty"` // the ref that was written
	Changed      []Change             `json:"changed"`
	More         int                  `json:"more,omitempty"` // changed files that are not listed
	Approved     []string             `json:"approved"`
	Asked        []verify.Requirement `json:"asked"`
	Push         string               `json:"push,omitempty"`
}

// Approve signs the approval of a commit for a ref. A dry run only shows what
// would be approved.
func (r *Repository) Approve(ctx context.Context, revision string, o Options, dry bool) (Approval, error) {
	id, err := r.Resolve(revision)
	if err != nil {
		return Approval{}, fmt.Errorf("approve %s: %v", revision, err)
	}
	c := gitops.Commit{FullRef: r.FullRef(o.Ref)}
	c.Revision = gitops.NewRevision(strings.TrimPrefix(c.FullRef, branchRefs), id)
	out, files, err := r.review(ctx, c)
	if err != nil {
		return out, fmt.Errorf("approve %s: %v", id.Short(), err)
	}
	if out.Introduction, err = r.introduction(ctx, o, files...); err != nil {
		return out, err
	}
	carried, err := r.Carried(ctx)
	if err != nil {
		return out, err
	}
	ask := func() error {
		out.Approved, out.Asked, err = verify.Require(ctx, verify.Config{
			Introduction: string(out.Introduction), Sigstore: verify.SigstoreConfig{TrustedRoot: o.TrustedRoot},
			Carried: func(context.Context) (map[string]gitops.Hash, error) { return carried, nil },
		}, r, c)
		return err
	}
	if err := ask(); err != nil || dry {
		return out, err
	}
	signer, principal, done, err := r.speaker(o, files)
	if err != nil {
		return out, fmt.Errorf("approve %s: %v", id.Short(), err)
	}
	defer done()
	err = r.approve(o, &out, signer, principal, carried, ask)
	return out, err
}

// approve makes the tag, asks whether it counts as a node would, and only then
// makes the ref.
func (r *Repository) approve(o Options, out *Approval, signer ssh.Signer, principal string, carried map[string]gitops.Hash, ask func() error) error {
	out.Principal, out.Key = principal, fingerprint(signer.PublicKey())
	s := statement{
		ref: verify.ApprovalRef(out.Commit, principal), object: out.Commit, kind: gitops.CommitObject,
		message: verify.ApprovalMessage(out.Introduction, out.Ref, out.From, out.Commit),
	}
	before := carried[s.ref]
	if before != "" && !o.Replace {
		if slices.Contains(out.Approved, principal) {
			return fmt.Errorf("%s has approved %s for %s already; --replace signs it again", principal, out.Commit.Short(), out.Ref)
		}
		return fmt.Errorf("%s is there already, and does not count for %s: it is for another ref or repository, or its key counts no more; --replace takes its place", s.ref, out.Ref)
	}
	tag, err := r.sign(s, signer, principal, o.Now)
	if err != nil {
		return err
	}
	carried[s.ref] = tag
	if err := ask(); err != nil {
		return err
	}
	if !slices.Contains(out.Approved, principal) {
		return fmt.Errorf("an approval by the key %s of %s would not count: it is revoked, out of its time, or too weak; sign with another one", out.Key, principal)
	}
	if err := r.point(s.ref, tag, before); err != nil {
		return err
	}
	out.Statement, out.Push = s.ref, r.push(s.ref)
	if before != "" {
		out.Push = r.push("+" + s.ref)
	}
	return nil
}

// review reads what is to be approved, and the trust files that say who may.
func (r *Repository) review(ctx context.Context, c gitops.Commit) (Approval, []verify.TrustFile, error) {
	out := Approval{Commit: c.Revision.Hash(), Ref: c.FullRef, Changed: []Change{}}
	commit, err := r.commit(out.Commit)
	if err != nil {
		return out, nil, err
	}
	out.Subject, _, _ = strings.Cut(strings.TrimSpace(commit.Message), "\n")
	out.Author = commit.Author.Name + " <" + commit.Author.Email + ">"
	own, err := r.TrustFile(ctx, out.Commit)
	if err != nil {
		return out, nil, err
	}
	files := []verify.TrustFile{own}
	for _, parent := range commit.ParentHashes {
		f, err := r.TrustFile(ctx, gitops.Hash(parent.String()))
		if err != nil {
			return out, nil, err
		}
		files = append(files, f)
	}
	slices.Reverse(files) // who may comes from what was there before
	if !slices.ContainsFunc(files, func(f verify.TrustFile) bool { return f.Version > 0 }) {
		return out, nil, fmt.Errorf("neither it nor what it builds on has a trust file: nobody counts approvals; write one with edgeagent trust init")
	}
	if len(commit.ParentHashes) > 0 {
		out.From = gitops.Hash(commit.ParentHashes[0].String())
	}
	return out, files, r.changes(&out, commit, files)
}

// changes lists what a commit changes against its first parent.
func (r *Repository) changes(out *Approval, commit *object.Commit, files []verify.TrustFile) error {
	trees := [2]*object.Tree{{}, {}}
	ids := [2]plumbing.Hash{{}, commit.TreeHash}
	if out.From != "" {
		parent, err := r.commit(out.From)
		if err != nil {
			return err
		}
		ids[0] = parent.TreeHash
	}
	for i, id := range ids {
		if id.IsZero() {
			continue
		}
		var err error
		if trees[i], err = object.GetTree(r.store, id); err != nil {
			return fmt.Errorf("read its files: %v", err)
		}
	}
	diff, err := object.DiffTree(trees[0], trees[1])
	if err != nil {
		return fmt.Errorf("compare it with its parent: %v", err)
	}
	changed := map[string]Change{}
	for _, d := range diff {
		action, err := d.Action()
		if err != nil {
			return err
		}
		name := d.To.Name
		if action == merkletrie.Delete {
			name = d.From.Name
		}
		word := map[merkletrie.Action]string{merkletrie.Insert: "added", merkletrie.Delete: "deleted", merkletrie.Modify: "changed"}[action]
		protected := slices.ContainsFunc(files, func(f verify.TrustFile) bool { return f.Version > 0 && f.Protects(name) })
		changed[name] = Change{Path: name, Action: word, Protected: protected}
	}
	all := slices.SortedFunc(maps.Values(changed), func(a, b Change) int {
		if a.Protected != b.Protected {
			return map[bool]int{true: -1, false: 1}[a.Protected]
		}
		return strings.Compare(a.Path, b.Path)
	})
	out.Changed = append(out.Changed, all[:min(len(all), maxChanges)]...)
	out.More = len(all) - len(out.Changed)
	return nil
}
