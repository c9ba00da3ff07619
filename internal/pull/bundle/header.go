// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	signature2 = "# v2 git bundle"
	signature3 = "# v3 git bundle"

	// maxHeaderLine holds a ref of 4 kB, which is as long as a path of Linux.
	maxHeaderLine = 5 << 10
	// DefaultHeaderBytes bounds a header: about 60,000 refs.
	DefaultHeaderBytes = 4 << 20

	anotherCopy = "take a new copy of the bundle"
)

// Ref is a name in a bundle, and the object it stands for.
type Ref struct {
	Name string
	ID   gitops.Hash
}

// Header is what a bundle says of the pack that follows it.
type Header struct {
	Version int // 2 or 3
	// Prerequisites are commits that whoever reads the pack has already, with
	// everything they reach.
	Prerequisites []gitops.Hash
	Refs          []Ref
	// Filter says what the pack leaves out, as in `git rev-list --filter`; "" nothing.
	Filter string
}

// Ref is the object that a full ref name stands for.
func (h Header) Ref(name string) (gitops.Hash, bool) {
	for _, r := range h.Refs {
		if r.Name == name {
			return r.ID, true
		}
	}
	return "", false
}

// ReadHeader reads a header of at most limit bytes (0: DefaultHeaderBytes) and
// leaves r at the first byte of the pack.
func ReadHeader(r *bufio.Reader, limit int64) (Header, error) {
	if limit <= 0 {
		limit = DefaultHeaderBytes
	}
	p := headerParser{r: r, left: limit, seen: map[string]bool{}, needed: map[gitops.Hash]bool{}}
	if err := p.signature(); err != nil {
		return Header{}, err
	}
	for {
		line, err := p.line()
		if err != nil {
			return Header{}, err
		}
		if line == "" {
			return p.header, nil
		}
		if err := p.entry(line); err != nil {
			return Header{}, err
		}
	}
}

// headerParser reads line by line. The parts come in order: capabilities,
// prerequisites, refs.
type headerParser struct {
	r      *bufio.Reader
	left   int64
	number int
	part   int
	header Header
	seen   map[string]bool      // names of refs, and of capabilities with their @
	needed map[gitops.Hash]bool // prerequisites
}

const (
	partCapabilities = iota
	partPrerequisites
	partRefs
)

// line is the next one without its newline.
func (p *headerParser) line() (string, error) {
	p.number++
	var line []byte
	for {
		b, err := p.r.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return "", because(io.ErrUnexpectedEOF, gitops.Corrupt, anotherCopy, "read the bundle's header: it ends in line %d", p.number)
		case err != nil:
			return "", fmt.Errorf("read the bundle's header: %w", err)
		case b == '\n':
			return string(line), nil
		}
		if p.left--; p.left < 0 || len(line) == maxHeaderLine {
			return "", failed(gitops.TooLarge, "make the bundle with fewer refs", "read the bundle's header: line %d goes over what is read", p.number)
		}
		line = append(line, b)
	}
}

// signature reads the first line, and no more than its length of what is no
// bundle: a web page may be one long line.
func (p *headerParser) signature() error {
	start, err := p.r.Peek(len(signature2) + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the bundle's header: %w", err)
	}
	switch text := string(start); {
	case text == signature2+"\n":
		p.header.Version = 2
	case text == signature3+"\n":
		p.header.Version = 3
	case strings.HasPrefix(text, "# v") && strings.HasSuffix(text, " git bundle\n"):
		return failed(gitops.UnsupportedBundle, "make it with `git bundle create --version=3`",
			"read the bundle's header: %s is not a version that is read", printable(strings.TrimSuffix(text, "\n")))
	case len(text) < len(signature2)+1 && (strings.HasPrefix(signature2, text) || strings.HasPrefix(signature3, text)):
		return because(io.ErrUnexpectedEOF, gitops.Corrupt, anotherCopy, "read the bundle's header: it ends in line 1")
	default:
		return failed(gitops.NotGit, "give a file that `git bundle create`, `edgeagent export` or `edgeagent publish` wrote",
			"read the bundle's header: it begins with %s, which no bundle does", printable(text))
	}
	_, err = p.line()
	return err
}

func (p *headerParser) entry(line string) error {
	switch line[0] {
	case '@':
		return p.capability(line)
	case '-':
		return p.prerequisite(line)
	}
	return p.ref(line)
}

// enter refuses a line that comes after its part.
func (p *headerParser) enter(part int) error {
	if part < p.part {
		return p.malformed("comes too late")
	}
	p.part = part
	return nil
}

func (p *headerParser) malformed(what string) error {
	return failed(gitops.Corrupt, anotherCopy, "read the bundle's header: line %d %s", p.number, what)
}

// capability is a condition for reading the bundle: one that is not known means
// that it cannot be read.
func (p *headerParser) capability(line string) error {
	if p.header.Version < 3 {
		return p.malformed("is a capability, which a version 2 bundle does not have")
	}
	if err := p.enter(partCapabilities); err != nil {
		return err
	}
	key, value, _ := strings.Cut(line[1:], "=")
	if p.seen["@"+key] {
		return p.malformed("gives a capability again")
	}
	p.seen["@"+key] = true
	switch {
	case key == "object-format" && value == "sha1":
		return nil
	case key == "filter" && validFilter(value):
		p.header.Filter = value
		return nil
	}
	return failed(gitops.UnsupportedBundle, "make it from a SHA-1 repository, with no capability besides filter",
		"read the bundle's header: it demands %s", printable(line[1:]))
}

// validFilter accepts the characters that Git's filter specs are made of.
func validFilter(spec string) bool {
	for _, c := range []byte(spec) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return spec != ""
}

// prerequisite is "-ID comment"; the comment says nothing.
func (p *headerParser) prerequisite(line string) error {
	if err := p.enter(partPrerequisites); err != nil {
		return err
	}
	id, _, _ := strings.Cut(line[1:], " ")
	hash := gitops.Hash(id)
	if !hash.Valid() {
		return p.malformed("has no object id")
	}
	if !p.needed[hash] {
		p.needed[hash] = true
		p.header.Prerequisites = append(p.header.Prerequisites, hash)
	}
	return nil
}

func (p *headerParser) ref(line string) error {
	if err := p.enter(partRefs); err != nil {
		return err
	}
	id, name, _ := strings.Cut(line, " ")
	switch {
	case !gitops.Hash(id).Valid():
		return p.malformed("has no object id")
	case !validRefName(name):
		return p.malformed("names " + printable(name) + ", which is no ref")
	case p.seen[name]:
		return p.malformed("names " + printable(name) + " again")
	}
	p.seen[name] = true
	p.header.Refs = append(p.header.Refs, Ref{Name: name, ID: gitops.Hash(id)})
	return nil
}

// validRefName is what `git check-ref-format` accepts; HEAD too, which Git
// writes into bundles.
func validRefName(name string) bool {
	if name == "HEAD" {
		return true
	}
	if !strings.HasPrefix(name, "refs/") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") || strings.Contains(name, "@{") {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`~^:?*[\`, c) >= 0 {
			return false
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// Write writes the header; the pack comes right behind it.
func (h Header) Write(w io.Writer) error {
	var text strings.Builder
	switch h.Version {
	case 2:
		if h.Filter != "" {
			return errors.New("write a bundle's header: version 2 cannot say what is left out; make it version 3")
		}
		text.WriteString(signature2 + "\n")
	case 3:
		text.WriteString(signature3 + "\n@object-format=sha1\n")
		if h.Filter != "" {
			text.WriteString("@filter=" + h.Filter + "\n")
		}
	default:
		return fmt.Errorf("write a bundle's header: there is no version %d; write 2 or 3", h.Version)
	}
	for _, id := range h.Prerequisites {
		text.WriteString("-" + string(id) + " \n")
	}
	for _, r := range h.Refs {
		if !r.ID.Valid() || !validRefName(r.Name) {
			return fmt.Errorf("write a bundle's header: %s is no ref", printable(r.Name))
		}
		text.WriteString(string(r.ID) + " " + r.Name + "\n")
	}
	text.WriteString("\n")
	_, err := io.WriteString(w, text.String())
	return err
}
