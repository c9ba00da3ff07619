// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// advertisement is what a server says first: its refs and what it can do.
// Branches and tags are kept; a forge lists many more refs than those.
type advertisement struct {
	refs    map[string]gitops.Hash
	can     map[string]bool
	shallow bool
}

func newAdvertisement() advertisement {
	return advertisement{refs: map[string]gitops.Hash{}, can: map[string]bool{}}
}

var (
	errRefsTooLarge = errors.New("the list of refs is too large")
	errNotALine     = errors.New("not in Git's line format")
)

// lines reads Git's lines: four hex digits of length, then the content. Over
// go-git's reader it tells an end in the middle of a line from a wrong line.
type lines struct {
	r    io.Reader
	left int64 // bytes that may still come; 0 = any number
	buf  []byte
}

// next returns a line, nil for a flush. It is valid until the next call.
func (l *lines) next() ([]byte, error) {
	var head [4]byte
	if err := l.read(head[:]); err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil || n > 0 && n <= 4:
		return nil, errNotALine
	case n == 0:
		return nil, nil
	}
	l.buf = slices.Grow(l.buf[:0], int(n)-4)[:n-4]
	if err := l.read(l.buf); err != nil {
		return nil, err
	}
	if said, ok := bytes.CutPrefix(l.buf, []byte("ERR ")); ok {
		return nil, serverSaid(string(said))
	}
	return l.buf, nil
}

func (l *lines) read(b []byte) error {
	if l.left > 0 {
		if l.left -= int64(len(b)); l.left <= 0 {
			return errRefsTooLarge
		}
	}
	_, err := io.ReadFull(l.r, b)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readAdvertisement reads the refs in protocol v0. Over HTTP a line that names
// the service comes before them.
func readAdvertisement(r io.Reader, overHTTP bool, limit int64) (advertisement, error) {
	ad := newAdvertisement()
	in := lines{r: r, left: limit}
	if overHTTP {
		line, err := in.next()
		if err != nil {
			return ad, brokenLine(err, limit)
		}
		if strings.TrimSuffix(string(line), "\n") != "# service=git-upload-pack" {
			return ad, notGit("the answer does not begin with the name of the service")
		}
		if line, err = in.next(); err != nil {
			return ad, brokenLine(err, limit)
		}
		if line != nil {
			return ad, notGit("the name of the service is not followed by a flush")
		}
	}
	for first := true; ; first = false {
		line, err := in.next()
		if err != nil {
			return ad, brokenLine(err, limit)
		}
		if line == nil {
			return ad, nil
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if first {
			refLine, abilities, _ := bytes.Cut(line, []byte{0})
			for _, a := range strings.Fields(string(abilities)) {
				ad.can[a] = true
			}
			line = refLine
		}
		if err := ad.add(string(line)); err != nil {
			return ad, err
		}
	}
}

func (ad *advertisement) add(line string) error {
	if strings.HasPrefix(line, "shallow ") {
		ad.shallow = true
		return nil
	}
	hex, name, ok := strings.Cut(line, " ")
	hash := gitops.Hash(hex)
	if len(hex) == 64 && ok {
		return failed(gitops.NotGit, "use a repository with SHA-1 object ids", "read the refs: the repository uses SHA-256")
	}
	if !ok || !hash.Valid() || name == "" {
		return notGit("a line is neither a ref nor an end")
	}
	// The peeled value is not used: the tag itself is read, and hashed.
	if strings.HasSuffix(name, "^{}") {
		return nil
	}
	if strings.HasPrefix(name, headPrefix) || strings.HasPrefix(name, tagPrefix) {
		ad.refs[name] = hash
	}
	return nil
}

func notGit(how string) error {
	return failed(gitops.NotGit, "check the URL: it must name a Git repository", "read the refs: %s", how)
}

// brokenLine gives an error of the line reader its reason.
func brokenLine(err error, limit int64) error {
	switch {
	case errors.Is(err, errRefsTooLarge):
		return failed(gitops.TooLarge, "use a repository, or a mirror of it, with fewer refs",
			"read the refs: they have more than %d bytes", limit)
	case errors.Is(err, errNotALine):
		return notGit("the answer is " + errNotALine.Error())
	}
	return err
}

// serverSaid is an error that the server put into words.
func serverSaid(text string) error {
	text = printable(text, 200)
	if strings.Contains(text, "not our ref") {
		return failed(gitops.RefMissing, "check the ref; it may have moved just now", "fetch: the server says %q", text)
	}
	return failed(gitops.ServerError, "look at the server's log", "fetch: the server says %q", text)
}

// maxHaves bounds a request.
const maxHaves = 64

// request asks for wants, telling the server what is here already.
func request(wants, haves []gitops.Hash, ad advertisement, agent string) ([]byte, error) {
	if !ad.can["side-band-64k"] {
		return nil, failed(gitops.NotGit, "update the Git server", "fetch: the server is too old: it cannot do side-band-64k")
	}
	abilities := "side-band-64k"
	for _, a := range []string{"thin-pack", "ofs-delta", "no-progress"} {
		if ad.can[a] {
			abilities += " " + a
		}
	}
	abilities += " agent=" + agent
	var buf bytes.Buffer
	enc := pktline.NewEncoder(&buf)
	for i, want := range wants {
		line := "want " + string(want)
		if i == 0 {
			line += " " + abilities
		}
		if err := enc.EncodeString(line + "\n"); err != nil {
			return nil, fmt.Errorf("write a request: %v", err)
		}
	}
	if err := enc.Flush(); err != nil {
		return nil, fmt.Errorf("write a request: %v", err)
	}
	for _, have := range haves[:min(len(haves), maxHaves)] {
		if err := enc.EncodeString("have " + string(have) + "\n"); err != nil {
			return nil, fmt.Errorf("write a request: %v", err)
		}
	}
	if err := enc.EncodeString("done\n"); err != nil {
		return nil, fmt.Errorf("write a request: %v", err)
	}
	return buf.Bytes(), nil
}

// packReader takes the pack out of the answer to a request: lines that
// acknowledge haves, then packets of three channels.
type packReader struct {
	lines lines
	rest  []byte
	begun bool
	end   func() // called once the pack is over
}

func newPackReader(r io.Reader, end func()) *packReader {
	return &packReader{lines: lines{r: r}, end: end}
}

func (p *packReader) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		line, err := p.lines.next()
		if errors.Is(err, errNotALine) {
			return 0, notAPack(err.Error())
		}
		if err != nil {
			return 0, err
		}
		if line == nil {
			if !p.begun {
				return 0, notAPack("it has no pack")
			}
			p.end()
			return 0, io.EOF
		}
		switch line[0] {
		case 1:
			p.begun = true
			p.rest = line[1:]
		case 2: // progress, for a person at a terminal
		case 3:
			return 0, serverSaid(string(line[1:]))
		default:
			if p.begun || !bytes.HasPrefix(line, []byte("ACK ")) && !bytes.HasPrefix(line, []byte("NAK")) {
				return 0, notAPack("it has an unknown line")
			}
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func notAPack(how string) error {
	return failed(gitops.ServerError, "look at the server's log", "fetch: the server's answer is not a pack: %s", how)
}
