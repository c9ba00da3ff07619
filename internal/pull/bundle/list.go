// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	// maxListBytes and maxBundles bound a list; ours have at most a few dozen bundles.
	maxListBytes = 256 << 10
	maxBundles   = 1000

	notAList = "check the URL: it must name a bundle list, as `edgeagent publish` writes it"
)

// The modes of a list: all of its bundles together, or any one of them, are
// the whole.
const (
	ModeAll = "all"
	ModeAny = "any"
)

// CreationToken is the heuristic that Git knows: a greater token is a younger bundle.
const CreationToken = "creationToken"

// List says which bundles a static place has.
type List struct {
	Mode, Heuristic string
	Bundles         []Entry
}

// Entry is one bundle of a list.
type Entry struct {
	ID string
	// URI is as the list has it, often relative to the list's own place.
	URI           string
	CreationToken uint64
}

// Newest lists the bundles, the youngest first. Whoever has the prerequisites
// of one needs none after it.
func (l List) Newest() []Entry {
	entries := slices.Clone(l.Bundles)
	slices.Reverse(entries) // without tokens: as they stand in the file, oldest first
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(b.CreationToken, a.CreationToken) })
	return entries
}

// ParseList reads a list, which is in the syntax of Git's configuration.
func ParseList(r io.Reader) (List, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxListBytes+1))
	if err != nil {
		return List{}, fmt.Errorf("read the bundle list: %w", err)
	}
	if len(text) > maxListBytes {
		return List{}, failed(gitops.TooLarge, notAList, "read the bundle list: it is larger than %d bytes", maxListBytes)
	}
	settings, err := parseSettings(string(text))
	if err != nil {
		return List{}, err
	}
	p := listParser{at: map[string]int{}, seen: map[string]bool{}}
	for _, s := range settings {
		if err := p.set(s); err != nil {
			return List{}, err
		}
	}
	return p.finish()
}

type listParser struct {
	list    List
	version bool
	at      map[string]int  // bundle by id
	seen    map[string]bool // what may be said once
}

func (p *listParser) set(s setting) error {
	known := s.id == "" && slices.Contains([]string{"version", "mode", "heuristic"}, s.key) ||
		s.id != "" && slices.Contains([]string{"uri", "creationtoken"}, s.key)
	if known {
		name := s.id + "\x00" + s.key
		if p.seen[name] {
			return s.malformed("is given twice")
		}
		p.seen[name] = true
	}
	if s.id != "" {
		return p.bundle(s)
	}
	switch s.key {
	case "version":
		if s.value != "1" {
			return failed(gitops.UnsupportedBundle, "publish a list of version 1", "read the bundle list: its version is %s", printable(s.value))
		}
		p.version = true
	case "mode":
		if s.value != ModeAll && s.value != ModeAny {
			return s.malformed("must be all or any")
		}
		p.list.Mode = s.value
	case "heuristic":
		p.list.Heuristic = s.value
	}
	// What else there may be are hints, and Git skips those it does not know.
	return nil
}

func (p *listParser) bundle(s setting) error {
	i, ok := p.at[s.id]
	if !ok {
		if i = len(p.list.Bundles); i == maxBundles {
			return failed(gitops.TooLarge, notAList, "read the bundle list: it names more than %d bundles", maxBundles)
		}
		p.at[s.id] = i
		p.list.Bundles = append(p.list.Bundles, Entry{ID: s.id})
	}
	entry := &p.list.Bundles[i]
	switch s.key {
	case "uri":
		entry.URI = s.value
	case "creationtoken":
		token, err := strconv.ParseUint(s.value, 10, 64)
		if err != nil {
			return s.malformed("is no number")
		}
		entry.CreationToken = token
	}
	return nil
}

func (p *listParser) finish() (List, error) {
	if !p.version || p.list.Mode == "" {
		return List{}, failed(gitops.NotGit, notAList, "read the bundle list: it has no bundle.version or no bundle.mode")
	}
	for _, e := range p.list.Bundles {
		if e.URI == "" {
			return List{}, failed(gitops.Corrupt, notAList, "read the bundle list: bundle %s has no uri", printable(e.ID))
		}
	}
	return p.list, nil
}

// Write writes the list. The same list gives the same bytes.
func (l List) Write(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "[bundle]\n\tversion = 1\n\tmode = %s\n", l.Mode)
	if l.Heuristic != "" {
		fmt.Fprintf(&text, "\theuristic = %s\n", l.Heuristic)
	}
	for _, e := range l.Bundles {
		fmt.Fprintf(&text, "[bundle %s]\n\turi = %s\n", quoted(e.ID), quoted(e.URI))
		if e.CreationToken != 0 {
			fmt.Fprintf(&text, "\tcreationToken = %d\n", e.CreationToken)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// Resolve is where a bundle is, seen from its list: on the same host only, so
// that neither a credential nor a request goes where nobody has configured it.
func Resolve(list *url.URL, uri string) (*url.URL, error) {
	refused := func(why string) error {
		return failed(gitops.RedirectRefused, "publish the bundles beside their list", "read the bundle list: the URI %s %s", printable(withoutUser(uri)), why)
	}
	ref, err := url.Parse(uri)
	if err != nil {
		return nil, refused("cannot be read")
	}
	at := list.ResolveReference(ref)
	switch {
	case ref.User != nil:
		return nil, refused("has a user in it")
	case at.Scheme != list.Scheme || !strings.EqualFold(at.Host, list.Host):
		return nil, refused("is not on the list's host")
	case at.Fragment != "":
		return nil, refused("has a fragment")
	}
	at.User = list.User // relative references drop it; the client decides whether it travels
	return at, nil
}

// withoutUser takes out what may be a password.
func withoutUser(uri string) string {
	if i := strings.LastIndexByte(uri, '@'); i >= 0 {
		return "…" + uri[i:]
	}
	return uri
}
