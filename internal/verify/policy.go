// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	trustDirectory = ".edgeagent"
	trustName      = "trust.yaml"
	trustPath      = trustDirectory + "/" + trustName
)

// ring is the keys of one role.
type ring struct {
	ssh     sshKeys
	pgp     pgpKeys
	keyless keyless
}

// policy is whom a commit's children are believed: what the trust file of its
// tree says, or the node's own files where there is none. It does not change.
type policy struct {
	name  string      // for messages: "the node's files", "trust file version 3"
	blob  gitops.Hash // of the trust file, "" for the node's files
	file  TrustFile   // the zero value for the node's files
	rings map[string]ring
	// revoked are the keys that the trust file itself revokes.
	revoked revokedKeys
}

// inBand reports whether the policy is a trust file of the repository.
func (p *policy) inBand() bool { return p.blob != "" }

// threshold is how many roots it takes to change the trust file, 0 when nobody can.
func (p *policy) threshold() int {
	return p.file.Roles[roleRoot].Threshold
}

// rule is how a decision names the policy that let a signer through.
func (p *policy) rule(who signer) string {
	if !p.inBand() {
		return "signed by an allowed signer"
	}
	return who.role + " by " + p.name
}

// newPolicy makes the rings of a trust file.
func newPolicy(f TrustFile, blob gitops.Hash) (*policy, error) {
	p := &policy{name: fmt.Sprintf("trust file version %d", f.Version), blob: blob, file: f, rings: map[string]ring{}}
	owner := map[string]string{} // key → principal
	for role, r := range f.Roles {
		made := ring{ssh: newSSHKeys(p.name, nil), pgp: pgpKeys{path: p.name}, keyless: newKeyless(p.name)}
		for _, name := range r.Principals {
			signers, keys, err := f.Principals[name].keys(name)
			if err != nil {
				return nil, fmt.Errorf("principal %s: %w", quoted(name), err)
			}
			for _, s := range signers {
				made.ssh.add(s)
				if s.authority && !f.counts(role) {
					continue // an authority may well vouch for everybody who develops
				}
				id := string(s.key.Marshal())
				if other, ok := owner[id]; ok && other != name {
					return nil, fmt.Errorf("principals %s and %s have the same SSH key: they would count as two", quoted(other), quoted(name))
				}
				owner[id] = name
			}
			for _, k := range keys {
				if other, ok := owner[k.primary]; ok && other != name {
					return nil, fmt.Errorf("principals %s and %s have the same OpenPGP key: they would count as two", quoted(other), quoted(name))
				}
				owner[k.primary] = name
				made.pgp.keys = append(made.pgp.keys, k)
			}
			if err := made.keyless.add(name, f.Principals[name], owner); err != nil {
				return nil, err
			}
		}
		p.rings[role] = made
	}
	revoked, err := parseRevoked(p.name, []byte(strings.Join(f.Revoked, "\n")))
	if err != nil {
		return nil, fmt.Errorf("revoked: %w", err)
	}
	p.revoked = revoked
	return p, nil
}

// keys reads a principal's keys under its name.
func (p Principal) keys(name string) ([]allowedSigner, []pgpKey, error) {
	if len(p.SSH)+len(p.OpenPGP)+len(p.Sigstore) == 0 {
		return nil, nil, errors.New("it has no key")
	}
	after, before, err := p.validity()
	if err != nil {
		return nil, nil, err
	}
	var options []string
	if p.ValidAfter != "" {
		options = append(options, `valid-after="`+p.ValidAfter+`"`)
	}
	if p.ValidBefore != "" {
		options = append(options, `valid-before="`+p.ValidBefore+`"`)
	}
	var signers []allowedSigner
	for _, line := range p.SSH {
		if strings.ContainsAny(line, "\n\r") {
			return nil, nil, errors.New("an SSH key has several lines")
		}
		all := options
		if rest, ok := strings.CutPrefix(line, "cert-authority "); ok {
			line, all = rest, append([]string{"cert-authority"}, options...)
		}
		s, err := parseSignerLine(name + " " + strings.Join(all, ",") + " " + line) // as many spaces as one likes
		if err != nil {
			return nil, nil, err
		}
		signers = append(signers, s)
	}
	var keys []pgpKey
	for _, armored := range p.OpenPGP {
		more, err := parseOpenPGPKeys([]byte(armored))
		if err == nil && len(more) == 0 {
			err = errors.New("an OpenPGP entry holds no key")
		}
		if err != nil {
			return nil, nil, err
		}
		for i := range more {
			more[i].user, more[i].after, more[i].before = name, after, before
		}
		keys = append(keys, more...)
	}
	return signers, keys, nil
}

// check verifies a signature by a principal of one of the roles. The first role
// that lets it through is the signer's.
func (p *policy) check(s signed, at moment, revoked revocations, roles ...string) (signer, error) {
	var last error = refusal(gitops.UnknownSigner, "have it signed by somebody who may",
		"%s: %s gives nobody the role %s", s.what, p.name, strings.Join(roles, " or "))
	for _, role := range roles {
		r, ok := p.rings[role]
		if !ok {
			continue
		}
		who, err := r.check(s, at, revoked)
		if err == nil {
			who.role = role
			return who, nil
		}
		if gitops.ReasonOf(last) == gitops.UnknownSigner {
			last = err // a key that is out of its time says more than one that is not there
		}
	}
	return signer{}, last
}

// policyOf is the policy in force for the children of a commit.
func (x *examination) policyOf(ctx context.Context, id gitops.Hash) (*policy, error) {
	tree, err := x.treeOf(ctx, id)
	if err != nil {
		return nil, err
	}
	return x.policyIn(ctx, tree, id)
}

// treeOf reads the tree of a commit that others are compared with. It may lie
// below what is judged, where nobody asks for more than Git itself does.
func (x *examination) treeOf(ctx context.Context, id gitops.Hash) (gitops.Hash, error) {
	if tree, ok := x.trees[id]; ok {
		return tree, nil
	}
	raw, err := object(ctx, x.objects, id, gitops.CommitObject)
	if err != nil {
		return "", blame(err, id)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	tree := gitops.Hash(strings.TrimPrefix(line, "tree "))
	if !tree.Valid() || !strings.HasPrefix(line, "tree ") {
		return "", blame(refusal(gitops.MalformedCommit, "have it made anew with git; nothing is taken from it",
			"commit %s is malformed: it does not begin with its tree", id.Short()), id)
	}
	x.trees[id] = tree
	return tree, nil
}

// policyIn reads the trust file of a tree. One that does not parse is refused
// with the commit that holds it: it cannot be passed over, because what it
// replaces is not known to be weaker or stronger.
func (x *examination) policyIn(ctx context.Context, tree, commit gitops.Hash) (*policy, error) {
	blob, err := x.trustBlob(ctx, tree)
	if err != nil {
		return nil, blame(err, commit)
	}
	if blob == "" {
		return x.node, nil
	}
	if p, ok := x.policies[blob]; ok {
		return p, nil
	}
	raw, err := object(ctx, x.objects, blob, gitops.BlobObject)
	if err != nil {
		return nil, blame(err, commit)
	}
	p, err := x.readPolicy(raw, blob)
	if err != nil {
		return nil, blame(refusal(gitops.TrustFileRefused, "correct it by a commit that the roots sign",
			"the trust file %s of commit %s: %v", trustPath, commit.Short(), err), commit)
	}
	x.policies[blob] = p
	return p, nil
}

func (x *examination) readPolicy(raw []byte, blob gitops.Hash) (*policy, error) {
	f, err := ParseTrustFile(raw)
	if err != nil {
		return nil, err
	}
	if start := x.v.start; f.Introduction != "" && start != "" && f.Introduction != start {
		return nil, fmt.Errorf("it is for the repository that begins with %s, this one begins with %s", f.Introduction.Short(), start.Short())
	}
	p, err := newPolicy(f, blob)
	if err == nil {
		p.within(x.sigstore)
	}
	return p, err
}

// trustBlob is the id of the trust file in a tree, "" when there is none.
func (x *examination) trustBlob(ctx context.Context, tree gitops.Hash) (gitops.Hash, error) {
	if blob, ok := x.blobs[tree]; ok {
		return blob, nil
	}
	root, err := directory(ctx, x.objects, tree)
	if err != nil {
		return "", err
	}
	blob := gitops.Hash("")
	if dir := named(root, trustDirectory); dir.Directory() {
		entries, err := directory(ctx, x.objects, dir.ID)
		if err != nil {
			return "", err
		}
		switch e := named(entries, trustName); {
		case e.File():
			blob = e.ID
		case e.ID != "":
			return "", refusal(gitops.TrustFileRefused, "replace it by an ordinary file", "%s is not a file (mode %s)", trustPath, e.Mode)
		}
	} else if dir.ID != "" {
		return "", refusal(gitops.TrustFileRefused, "remove it", "%s is not a directory (mode %s)", trustDirectory, dir.Mode)
	}
	x.blobs[tree] = blob
	return blob, nil
}
