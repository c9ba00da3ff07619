// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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

var errRefsTooLarge = errors.New("the list of refs is too large")

// capped fails, instead of ending, where more than n bytes come.
type capped struct {
	r io.Reader
	n int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.n <= 0 {
		return 0, errRefsTooLarge
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.n)])
	c.n -= int64(n)
	return n, err
}

// readAdvertisement reads the refs in protocol v0. Over HTTP a line that names
// the service comes before them.
func readAdvertisement(r io.Reader, overHTTP bool, limit int64) (advertisement, error) {
	ad := newAdvertisement()
	lines := pktline.NewScanner(&capped{r, limit})
	if overHTTP {
		if !lines.Scan() {
			return ad, brokenLine(lines.Err(), limit)
		}
		if strings.TrimSuffix(string(lines.Bytes()), "\n") != "# service=git-upload-pack" {
			return ad, notGit("the answer does not begin with the name of the service")
		}
		if !lines.Scan() {
			return ad, brokenLine(lines.Err(), limit)
		}
		if len(lines.Bytes()) != 0 {
			return ad, notGit("the name of the service is not followed by a flush")
		}
	}
	for first := true; ; first = false {
		if !lines.Scan() {
			return ad, brokenLine(lines.Err(), limit)
		}
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\n"))
		if len(line) == 0 {
			return ad, nil
		}
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

// brokenLine gives an error of the line reader its reason. nil is an end
// without a flush: the connection was cut.
func brokenLine(err error, limit int64) error {
	if said, ok := errors.AsType[*pktline.ErrorLine](err); ok {
		return serverSaid(said.Text)
	}
	switch {
	case err == nil:
		return io.ErrUnexpectedEOF
	case errors.Is(err, errRefsTooLarge):
		return failed(gitops.TooLarge, "use a repository, or a mirror of it, with fewer refs",
			"read the refs: they have more than %d bytes", limit)
	case errors.Is(err, pktline.ErrInvalidPktLen):
		return notGit("the answer is not in Git's line format")
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
	lines *pktline.Scanner
	rest  []byte
	begun bool
	end   func() // called once the pack is over
}

func newPackReader(r io.Reader, end func()) *packReader {
	return &packReader{lines: pktline.NewScanner(r), end: end}
}

func (p *packReader) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if !p.lines.Scan() {
			return 0, brokenLine(p.lines.Err(), 0)
		}
		line := p.lines.Bytes()
		if len(line) == 0 {
			if !p.begun {
				return 0, failed(gitops.ServerError, "look at the server's log", "fetch: the server sent no pack")
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
				return 0, failed(gitops.ServerError, "look at the server's log",
					"fetch: the server's answer is not in Git's format")
			}
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
