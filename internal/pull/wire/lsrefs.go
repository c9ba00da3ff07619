// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	fewerRefs = "use a repository, or a mirror of it, with fewer refs"
	tagPrefix = "refs/tags/"
)

// lsRefsRequest asks for the refs that begin with one of prefixes, all of them
// when there is none (gitprotocol-v2, "ls-refs"). Each poll sends it: it names
// no agent and no object format, which servers take for granted, and asks for
// peeled tags only where tags can come.
func lsRefsRequest(prefixes []string) ([]byte, error) {
	req := appendLine(nil, "command=ls-refs")
	peel := len(prefixes) == 0
	for _, p := range prefixes {
		peel = peel || strings.HasPrefix(p, tagPrefix) || strings.HasPrefix(tagPrefix, p)
	}
	req = appendDelim(req)
	if peel {
		req = appendLine(req, "peel")
	}
	for _, p := range prefixes {
		if !isRefText(p) || len(p) > maxRefName {
			return nil, badConfig("ask for refs: no ref begins with %q", printable(p, 80))
		}
		req = appendLine(req, "ref-prefix %s", p)
	}
	return appendFlush(req), nil
}

// readLsRefs reads the answer to lsRefsRequest. A server may send more than was
// asked for; what does not begin with one of prefixes is dropped as it comes.
func readLsRefs(r io.Reader, prefixes []string, limit int64) (Refs, error) {
	in := &lines{r: r, limit: limit}
	refs := newRefList(prefixes)
	for {
		kind, content, err := in.next()
		switch {
		case err != nil:
			return Refs{}, listFailed(fewerRefs, err, limit)
		case kind == flush:
			return Refs{List: refs.list}, nil
		case kind != line:
			return Refs{}, notGit("a mark is where a ref should be")
		}
		if err := refs.addLine(string(content)); err != nil {
			return Refs{}, err
		}
	}
}

// refList gathers the refs that were asked for, each once. The list needs no
// bound of its own: no line is shorter than 45 bytes.
type refList struct {
	prefixes []string
	names    map[string]struct{}
	list     []Ref
}

func newRefList(prefixes []string) *refList {
	return &refList{prefixes: prefixes, names: map[string]struct{}{}}
}

// addLine reads obj-id-or-unborn SP refname *(SP ref-attribute).
func (l *refList) addLine(s string) error {
	id, rest, ok := strings.Cut(s, " ")
	name, attributes, _ := strings.Cut(rest, " ")
	if id == "unborn" && ok {
		return nil
	}
	hash, err := refHash(id)
	if err != nil {
		return err
	}
	ref := Ref{Name: name, ID: hash}
	for attributes != "" {
		var attribute string
		attribute, attributes, _ = strings.Cut(attributes, " ")
		value, isPeeled := strings.CutPrefix(attribute, "peeled:")
		if !isPeeled { // symref-target, or what a later Git adds
			continue
		}
		if ref.Peeled != "" {
			return notGit("a ref is peeled twice")
		}
		if ref.Peeled, err = refHash(value); err != nil {
			return err
		}
	}
	return l.add(ref)
}

func (l *refList) add(ref Ref) error {
	if !l.asked(ref.Name) {
		return nil
	}
	if !isRefName(ref.Name) {
		return notGit(fmt.Sprintf("%q is not the name of a ref", printable(ref.Name, 80)))
	}
	if _, twice := l.names[ref.Name]; twice {
		return notGit(fmt.Sprintf("%q comes twice", ref.Name))
	}
	// The strings were cut from a line that need not stay in memory whole.
	ref.Name = strings.Clone(ref.Name)
	ref.ID = gitops.Hash(strings.Clone(string(ref.ID)))
	ref.Peeled = gitops.Hash(strings.Clone(string(ref.Peeled)))
	l.names[ref.Name] = struct{}{}
	l.list = append(l.list, ref)
	return nil
}

func (l *refList) asked(name string) bool {
	for _, p := range l.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return len(l.prefixes) == 0
}

// refHash checks the id in a list of refs.
func refHash(s string) (gitops.Hash, error) {
	hash := gitops.Hash(s)
	switch {
	case hash.Valid() && strings.Trim(s, "0") != "":
		return hash, nil
	case len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "":
		return "", sha256Repository()
	}
	return "", notGit("a line is neither a ref nor an end")
}

// maxRefName bounds a name: what Git can keep as a file.
const maxRefName = 4096

// isRefName follows git-check-ref-format, and wants the name printable.
func isRefName(s string) bool {
	if s != "HEAD" && !strings.HasPrefix(s, "refs/") || len(s) > maxRefName || !isRefText(s) {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.HasSuffix(s, ".")
}

// isRefText reports whether s can be a part of a ref's name.
func isRefText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsAny(s, " ~^:?*[\\") &&
		!strings.Contains(s, "..") && !strings.Contains(s, "@{") &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
