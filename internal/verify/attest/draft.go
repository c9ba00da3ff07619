// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/edgeagent/edgeagent/internal/verify"
)

// Draft is the trust file of a work tree while it is changed.
type Draft struct {
	repo      *Repository
	committed verify.TrustFile // of HEAD, the zero value without one
	before    verify.TrustFile // in the work tree
	doc       yaml.Node
	done      []string
	keyless   bool // a new key is an identity of Sigstore
}

// Changed is what became of a trust file, and what it takes to put it in force.
type Changed struct {
	File    string   `json:"file"`
	Version int      `json:"version"`
	Done    []string `json:"done"`
	// Need is who has to sign or approve the commit that brings the file.
	Need  []verify.Requirement `json:"need"`
	Next  []string             `json:"next"`
	After *Published           `json:"published,omitempty"`
}

// Draft opens the trust file of the work tree.
func (r *Repository) Draft(ctx context.Context) (*Draft, error) {
	path, err := r.trustPath()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there; write it with edgeagent trust init", path)
	}
	if err != nil {
		return nil, err
	}
	d := &Draft{repo: r}
	if d.before, err = verify.CheckTrustFile(data); err != nil {
		return nil, fmt.Errorf("%s: %v; correct it first", path, err)
	}
	if err := yaml.Unmarshal(data, &d.doc); err != nil {
		return nil, fmt.Errorf("%s: %v", path, err)
	}
	if head, err := r.Resolve("HEAD"); err == nil {
		if d.committed, err = r.TrustFile(ctx, head); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (r *Repository) trustPath() (string, error) {
	if r.work == "" {
		return "", errors.New("the repository is bare: the trust file is changed in a work tree; make one with git clone")
	}
	return filepath.Join(r.work, filepath.FromSlash(verify.TrustPath)), nil
}

func (d *Draft) root() *yaml.Node { return d.doc.Content[0] }

func (d *Draft) note(format string, args ...any) {
	d.done = append(d.done, fmt.Sprintf(format, args...))
}

// Add gives a principal keys and roles.
func (d *Draft) Add(principal string, keys []PublicKey, roles []string) error {
	_, known := d.before.Principals[principal]
	if !known && len(keys) == 0 {
		return fmt.Errorf("%s is new: name a key", principal)
	}
	if !known && len(roles) == 0 {
		return fmt.Errorf("%s is new: name a role, as in --role developer; without one, nothing that is signed counts", principal)
	}
	p := ensure(ensure(d.root(), "principals", yaml.MappingNode), principal, yaml.MappingNode)
	for _, key := range keys {
		if err := key.check(); err != nil {
			return err
		}
		d.keyless = d.keyless || key.keyless()
		if slices.Contains(d.before.Revoked, key.Print) {
			return fmt.Errorf("the key %s is revoked in this trust file; make a new key", key.Print)
		}
		if !put(p, key) {
			return fmt.Errorf("%s has the key %s already", principal, key.Print)
		}
		d.note("%s has the key %s", principal, key.Print)
	}
	for _, role := range roles {
		d.give(principal, role)
	}
	return nil
}

// put adds a key to a principal's node.
func put(p *yaml.Node, key PublicKey) bool {
	switch {
	case key.SSH != "":
		return add(ensure(p, "ssh", yaml.SequenceNode), key.SSH)
	case key.OpenPGP != "":
		p.Style = 0
		list := ensure(p, "openpgp", yaml.SequenceNode)
		list.Style = 0
		if !add(list, key.OpenPGP) {
			return false
		}
		list.Content[len(list.Content)-1].Style = yaml.LiteralStyle
		return true
	}
	list := ensure(p, "sigstore", yaml.SequenceNode)
	for _, have := range list.Content {
		if node := child(have, "issuer"); node != nil && node.Value == key.Sigstore.Issuer && child(have, "subject").Value == key.Sigstore.Subject {
			return false
		}
	}
	entry := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	entry.Content = []*yaml.Node{textNode("issuer"), textNode(key.Sigstore.Issuer), textNode("subject"), textNode(key.Sigstore.Subject)}
	list.Content = append(list.Content, entry)
	return true
}

// Threshold sets how many roots it takes.
func (d *Draft) Threshold(n int) {
	set(ensure(ensure(d.root(), "roles", yaml.MappingNode), roleRoot, yaml.MappingNode), "threshold", strconv.Itoa(n))
	d.note("it takes %d roots", n)
}

// Rotate gives a principal a new key in the place of all that they have.
func (d *Draft) Rotate(principal string, key PublicKey) error {
	old, known := d.before.Principals[principal]
	if !known {
		return fmt.Errorf("%s is no principal of the trust file; edgeagent trust add adds one", principal)
	}
	if err := key.check(); err != nil {
		return err
	}
	d.keyless = key.keyless()
	if slices.Contains(prints(old), key.Print) {
		return fmt.Errorf("%s has the key %s already; rotate to a new one", principal, key.Print)
	}
	p := child(child(d.root(), "principals"), principal)
	for _, kind := range []string{"ssh", "openpgp", "sigstore"} {
		drop(p, kind)
	}
	if slices.Contains(d.before.Revoked, key.Print) {
		return fmt.Errorf("the key %s is revoked in this trust file; make a new key", key.Print)
	}
	put(p, key)
	d.note("%s has the key %s, in the place of %s", principal, key.Print, strings.Join(prints(old), ", "))
	return nil
}

// Revoke takes the keys of a principal, or one key, away for good: they signed
// nothing, whenever they did. It returns how lists name the keys.
func (d *Draft) Revoke(target string) ([]string, error) {
	revoked, err := d.targets(target)
	if err != nil {
		return nil, err
	}
	list := ensure(d.root(), "revoked", yaml.SequenceNode)
	for _, print := range revoked {
		if add(list, print) {
			d.note("%s is revoked", print)
		}
	}
	for name, p := range d.before.Principals {
		held := prints(p)
		if !slices.ContainsFunc(held, func(print string) bool { return slices.Contains(revoked, print) }) {
			continue
		}
		d.strip(name, p, revoked)
	}
	return revoked, nil
}

// targets are the keys that a person means: a principal's, one in the file, or
// any other, by its fingerprint.
func (d *Draft) targets(target string) ([]string, error) {
	// Who was removed before it was signed is still known by the last commit.
	for _, f := range []verify.TrustFile{d.before, d.committed} {
		if p, ok := f.Principals[target]; ok {
			return prints(p), nil
		}
	}
	if strings.HasPrefix(target, "SHA256:") || strings.Trim(strings.ToUpper(strings.ReplaceAll(target, " ", "")), "0123456789ABCDEF") == "" {
		return []string{strings.ReplaceAll(target, " ", "")}, nil
	}
	key, err := ReadPublicKey(target)
	if err != nil {
		return nil, fmt.Errorf("revoke %s: it is neither a principal of the trust file, nor a fingerprint, nor a key: %v; the key of somebody who was removed already is named by its fingerprint, as under revoked in the trust file", target, err)
	}
	return []string{key.Print}, nil
}

// strip takes keys away from a principal, and the principal where none is left.
func (d *Draft) strip(name string, p verify.Principal, revoked []string) {
	principals := child(d.root(), "principals")
	node := child(principals, name)
	gone := 0
	for _, kind := range []string{"ssh", "openpgp", "sigstore"} {
		list := child(node, kind)
		if list == nil {
			continue
		}
		list.Content = slices.DeleteFunc(list.Content, func(n *yaml.Node) bool {
			var one verify.Principal
			switch kind {
			case "ssh":
				one.SSH = []string{n.Value}
			case "openpgp":
				one.OpenPGP = []string{n.Value}
			case "sigstore":
				if issuer, subject := child(n, "issuer"), child(n, "subject"); issuer != nil && subject != nil {
					one.Sigstore = []verify.SigstoreSigner{{Issuer: issuer.Value, Subject: subject.Value}}
				}
			}
			names := prints(one)
			if len(names) == 0 || !slices.Contains(revoked, names[0]) {
				return false
			}
			gone++
			return true
		})
	}
	if gone < len(p.SSH)+len(p.OpenPGP)+len(p.Sigstore) {
		return
	}
	drop(principals, name)
	roles := child(d.root(), "roles")
	for i := 1; roles != nil && i < len(roles.Content); i += 2 {
		remove(child(roles.Content[i], "principals"), name)
	}
	d.note("%s has no key left, and is removed", name)
}
