// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxAside bounds what an answer may hold beside its pack: acknowledgements, the
// limits of a shallow history, progress, and the empty packets that keep a
// connection alive while the server counts. Git sends one of five bytes every
// five seconds. Each is a byte that moved: to the guard of a request the link is
// alive, so that endless ones, however small, must end here.
const maxAside = 1 << 20

// sections are what an answer may consist of, in their order (gitprotocol-v2,
// "fetch"). Packfile URIs and wanted refs are not asked for.
var sections = []string{"acknowledgments", "shallow-info", "packfile"}

// newPack reads an answer to a fetch up to its pack. The Pack's reader takes the
// pack out of its packets, limit bytes of it at most. An end before the end of
// the answer is io.ErrUnexpectedEOF, an error of r comes back as it is.
func newPack(r io.Reader, a abilities, limit int64) (*Pack, error) {
	in := &lines{r: r, limit: maxAside}
	pack := &Pack{r: &packReader{in: in, limit: limit, acks: a.protocol == 0}}
	if a.protocol == 0 {
		return pack, nil
	}
	for last := -1; ; {
		kind, name, err := in.next()
		if err != nil {
			return nil, packFailed(err)
		}
		if kind != line {
			return nil, notAPack("it has no pack")
		}
		section := slices.Index(sections, string(name))
		if section <= last {
			return nil, unknownSection(string(name))
		}
		last = section
		switch sections[section] {
		case "acknowledgments":
			err = readSection(in, func(s string) bool { return s == "ready" || isAcknowledgement(s) })
		case "shallow-info":
			err = readSection(in, func(s string) bool {
				id, ok := strings.CutPrefix(s, "shallow ")
				pack.Shallow = append(pack.Shallow, gitops.Hash(id))
				return ok && gitops.Hash(id).Valid()
			})
		case "packfile":
			return pack, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readSection reads lines up to the mark after which the next section begins.
func readSection(in *lines, accept func(s string) bool) error {
	for {
		kind, content, err := in.next()
		switch {
		case err != nil:
			return packFailed(err)
		case kind == delim:
			return nil
		case kind != line:
			return notAPack("it has no pack")
		case !accept(string(content)):
			return notAPack("it has an unknown line")
		}
	}
}

// isAcknowledgement reports whether a line says which haves are common.
func isAcknowledgement(s string) bool {
	id, ok := strings.CutPrefix(s, "ACK ")
	return s == "NAK" || ok && gitops.Hash(id).Valid()
}

// packReader takes a pack out of packets of three channels: the pack, progress
// for a person at a terminal, and the error that ends it.
type packReader struct {
	in    *lines
	limit int64 // of the pack, 0 = any number
	got   int64
	rest  []byte
	acks  bool // protocol v0: acknowledgements may come before the first packet
	over  error
}

func (p *packReader) Read(b []byte) (int, error) {
	for len(p.rest) == 0 && p.over == nil {
		p.rest, p.over = p.packet()
	}
	if len(p.rest) == 0 {
		return 0, p.over
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// packet returns the pack's part of the next packet, nothing if it has none. A
// packet holds 64 kB at most, and a link may be cut in each: what came of it is
// returned beside the error.
func (p *packReader) packet() ([]byte, error) {
	kind, content, err := p.in.raw()
	switch {
	case err != nil && len(content) > 1 && content[0] == 1:
		p.got += int64(len(content) - 1)
		return content[1:], packFailed(err)
	case err != nil:
		return nil, packFailed(err)
	case kind == flush && p.got == 0:
		return nil, notAPack("it has no pack")
	case kind == flush:
		return nil, io.EOF
	case kind != line || len(content) == 0:
		return nil, notAPack("it has an unknown line")
	}
	channel, content := content[0], content[1:]
	switch channel {
	case 1:
		p.acks = false
		if len(content) == 0 {
			return nil, nil // keeps the connection alive
		}
		// The pack has its own limit.
		p.in.refund(len(content) + 5)
		if p.got += int64(len(content)); p.limit > 0 && p.got > p.limit {
			return nil, failed(gitops.TooLarge, "ask for less at once, or use a smaller repository",
				"the pack has more than %d bytes", p.limit)
		}
		return content, nil
	case 2:
		return nil, nil
	case 3:
		return nil, serverSaid(string(content[:min(len(content), maxSaid)]))
	}
	whole := string(bytes.TrimSuffix(append([]byte{channel}, content...), []byte("\n")))
	if p.acks && isAcknowledgement(whole) {
		return nil, nil
	}
	return nil, notAPack("it has an unknown line")
}

// packFailed gives an error of lines its reason, where a pack is read.
func packFailed(err error) error {
	switch {
	case errors.Is(err, errTooLong):
		return failed(gitops.TooLarge, "look at what the server does: it may be stuck",
			"the answer has more than %d bytes beside the pack", maxAside)
	case errors.Is(err, errNotALine):
		return notAPack("it is " + errNotALine.Error())
	}
	return err
}

func notAPack(how string) error {
	return failed(gitops.ServerError, "look at the server's log", "the server's answer is not a pack: %s", how)
}

// unknownSection is a part of an answer that was not asked for.
func unknownSection(name string) error {
	if name == "packfile-uris" {
		return failed(gitops.UnsupportedServer, "set uploadpack.blobPackfileUri off on the server",
			"the server wants objects to be got from elsewhere")
	}
	return notAPack("it has an unknown section")
}
