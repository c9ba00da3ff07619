// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// PublishOptions say what goes where.
type PublishOptions struct {
	// Repo is a repository on this machine, Dir what a static host serves.
	Repo, Dir string
	// Refs are names of branches, or full names of refs, in which * stands for
	// anything. None: the branch that HEAD names. What is below refs/edgeagent/
	// goes with them. Every bundle names every ref, so that the youngest one says
	// all: a thousand tags make each of them 60 kB larger.
	Refs []string
	// BaseURL is where Dir is served, for a list with whole URLs in it: Git
	// before 2.40 does not know relative ones. "": the list says names only, and
	// may be served from anywhere.
	BaseURL string
	// Now is the clock, nil for the machine's.
	Now func() time.Time

	before func(step string) // for tests that stop in the middle
}

// Published says what a run did.
type Published struct {
	// List is the list's path, Bundles and Bytes what it names.
	List    string `json:"list"`
	Bundles int    `json:"bundles"`
	Bytes   int64  `json:"bytes"`
	// Unchanged: nothing was written, the list is the same to the byte.
	Unchanged bool `json:"unchanged"`
	// Full says why everything was written again, "" when it was not.
	Full    string   `json:"full,omitempty"`
	Written []Part   `json:"written"`
	Removed []string `json:"removed,omitempty"`
}

// Part is a bundle that a run wrote.
type Part struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Objects int    `json:"objects"`
	// Prerequisites: how many commits it builds on; 0 for one that holds everything.
	Prerequisites int `json:"prerequisites"`
}

// Publish brings the directory up to the repository: first the bundles, then
// the list that names them, each by a rename. Whoever still has the list of
// before finds its bundles until the next change. A run that is killed leaves
// the list of before, or the new one, with all that it names.
func Publish(ctx context.Context, o PublishOptions) (Published, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	base, err := baseURL(o.BaseURL)
	if err != nil {
		return Published{}, err
	}
	repo, err := openRepository(o.Repo)
	if err != nil {
		return Published{}, err
	}
	refs, err := repo.refs(o.Refs)
	if err != nil {
		return Published{}, err
	}
	dir, err := openDirectory(o.Dir, o.before)
	if err != nil {
		return Published{}, err
	}
	defer dir.close()
	p := &publisher{ctx: ctx, dir: dir, repo: repo, reach: newReach(ctx, repo), refs: refs, base: base}
	return p.run(o.Now())
}

type publisher struct {
	ctx   context.Context
	dir   *directory
	repo  *repository
	reach *reach
	refs  []Ref
	base  string // before the name of each bundle in the list
	done  Published
}

func baseURL(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", failed(gitops.BadRequest, "give it as in https://cdn.example.com/fleet/, without a user", "publish: the URL of the directory cannot be used")
	}
	return strings.TrimSuffix(u.String(), "/") + "/", nil
}

func (p *publisher) run(now time.Time) (Published, error) {
	if _, err := p.dir.clean(nil); err != nil {
		return Published{}, err
	}
	before, text, err := p.dir.list()
	if err != nil {
		return Published{}, err
	}
	p.done.List = filepath.Join(p.dir.path, listName)
	chain, err := p.usable(before)
	if err != nil {
		return Published{}, err
	}
	if n := len(chain); n == 0 || !slices.Equal(chain[n-1].Header.Refs, p.refs) {
		if chain, err = p.grow(chain, token(before, now)); err != nil {
			return Published{}, err
		}
	}
	if p.done.Unchanged, err = p.writeList(chain, text); err != nil || p.done.Unchanged {
		return p.sum(chain), err
	}
	keep := map[string]bool{}
	for _, e := range before.Bundles {
		keep[fileOf(e.URI)] = true
	}
	for _, l := range chain {
		keep[l.Name] = true
	}
	p.done.Removed, err = p.dir.clean(keep)
	return p.sum(chain), err
}

func (p *publisher) sum(chain []link) Published {
	p.done.Bundles, p.done.Bytes = len(chain), 0
	for _, l := range chain {
		p.done.Bytes += l.Size
	}
	return p.done
}

// token is greater than every token that was ever in the list, and the time
// where clocks allow: after the directory was lost, clients of Git that
// remember a token still see that there is something younger.
func token(before List, now time.Time) uint64 {
	next := uint64(max(now.Unix(), 1))
	for _, e := range before.Bundles {
		next = max(next, e.CreationToken+1)
	}
	return next
}

// usable is the chain to go on with: none where nothing was published, where a
// bundle is damaged, and where history was rewritten.
func (p *publisher) usable(list List) ([]link, error) {
	if len(list.Bundles) == 0 {
		p.done.Full = "nothing was published before"
		return nil, nil
	}
	chain, damage := p.dir.chain(list)
	if damage != "" {
		p.done.Full = damage
		return nil, nil
	}
	published := chain[len(chain)-1].Header.Refs
	if slices.Equal(published, p.refs) {
		return chain, nil
	}
	now, err := p.reach.history(branchTips(p.refs), nil)
	if err != nil {
		return nil, err
	}
	reached := setOf(now)
	for _, ref := range published {
		if isBranch(ref) && !reached[plumbing.NewHash(string(ref.ID))] {
			p.done.Full = ref.Name + " was rewritten or deleted"
			return nil, nil
		}
	}
	return chain, nil
}

// grow adds what is new, and merges neighbours.
func (p *publisher) grow(chain []link, token uint64) ([]link, error) {
	var from []Ref
	if n := len(chain); n > 0 {
		from = chain[n-1].Header.Refs
	}
	newest, err := p.bundle(from, p.refs, token)
	if err != nil {
		return nil, err
	}
	chain = append(chain, newest)
	sizes := make([]int64, len(chain))
	for i, l := range chain {
		sizes[i] = l.Size
	}
	from = nil
	var grown []link
	for _, group := range compact(sizes) {
		l := chain[group-1]
		if group > 1 {
			if l, err = p.bundle(from, p.still(l.Header.Refs), l.Token); err != nil {
				return nil, err
			}
		}
		grown = append(grown, l)
		from, chain = chain[group-1].Header.Refs, chain[group:]
	}
	return grown, nil
}

// still leaves out what is no branch and says something else by now: the objects
// may be gone, and a younger bundle has the new ones.
func (p *publisher) still(refs []Ref) []Ref {
	return slices.DeleteFunc(slices.Clone(refs), func(ref Ref) bool {
		return !isBranch(ref) && !slices.Contains(p.refs, ref)
	})
}

// bundle writes one bundle with what lies between two states.
func (p *publisher) bundle(from, to []Ref, token uint64) (link, error) {
	if err := p.reach.between(from, to); err != nil {
		return link{}, err
	}
	header := Header{Version: 2, Refs: to}
	for _, id := range p.reach.boundary {
		header.Prerequisites = append(header.Prerequisites, hashOf(id))
	}
	if len(header.Prerequisites) == 0 {
		// Nothing of it builds on what was there, yet it is not the whole.
		for _, id := range branchTips(from) {
			header.Prerequisites = append(header.Prerequisites, hashOf(id))
		}
	}
	slices.Sort(header.Prerequisites)
	header.Prerequisites = slices.Compact(header.Prerequisites)
	fill := func(w io.Writer) error {
		if err := header.Write(w); err != nil {
			return err
		}
		return writePack(p.ctx, w, p.repo, p.reach.items)
	}
	name, size, err := p.dir.write(fill, func(sum []byte) string { return fmt.Sprintf("%d-%s.bundle", token, shortSum(sum)) })
	if err != nil {
		return link{}, err
	}
	p.done.Written = append(p.done.Written, Part{name, size, len(p.reach.items), len(header.Prerequisites)})
	return link{Name: name, Token: token, Header: header, Size: size}, nil
}

// writeList comes last. The same list is not written again, so that it keeps
// its time and its tag.
func (p *publisher) writeList(chain []link, before []byte) (same bool, err error) {
	list := List{Mode: ModeAll, Heuristic: CreationToken}
	for _, l := range chain {
		list.Bundles = append(list.Bundles, Entry{ID: strings.TrimSuffix(l.Name, ".bundle"), URI: p.base + l.Name, CreationToken: l.Token})
	}
	var text bytes.Buffer
	if err := list.Write(&text); err != nil {
		return false, err
	}
	if bytes.Equal(text.Bytes(), before) {
		return true, nil
	}
	fill := func(w io.Writer) error { _, err := w.Write(text.Bytes()); return err }
	_, _, err = p.dir.write(fill, func([]byte) string { return listName })
	return false, err
}
