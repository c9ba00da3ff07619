// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"io"
	"math"
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

// newPack reads an answer to a fetch up to its pack (gitprotocol-v2, "fetch",
// output). Each section may come once; their order is not Git's own, which
// sends wanted refs before the limits of a shallow history. The Pack's reader
// takes the pack out of its packets, limit bytes of it at most. An end before
// the end of the answer is io.ErrUnexpectedEOF, an error of r comes back as it is.
func newPack(r io.Reader, a abilities, limit int64) (*Pack, error) {
	in := &lines{r: r, limit: maxAside}
	packets := &packReader{in: in, limit: limit, acks: a.protocol == 0}
	pack := &Pack{r: packets, packets: packets}
	if a.protocol == 0 {
		return pack, nil
	}
	seen := map[string]bool{}
	for {
		kind, content, err := in.next()
		if err != nil {
			return nil, packFailed(err)
		}
		if kind != line {
			return nil, notAPack("it has no pack")
		}
		name := string(content)
		if seen[name] {
			return nil, notAPack("it has a section twice")
		}
		seen[name] = true
		switch name {
		case "acknowledgments":
			err = readSection(in, func(s string) bool { return s == "ready" || isAcknowledgement(s) })
		case "wanted-refs":
			err = readSection(in, func(s string) bool { return pack.addWanted(s) })
		case "shallow-info":
			err = readSection(in, func(s string) bool {
				id, ok := strings.CutPrefix(s, "shallow ")
				pack.Shallow = append(pack.Shallow, gitops.Hash(id))
				return ok && gitops.Hash(id).Valid()
			})
		case "packfile":
			return pack, nil
		case "packfile-uris":
			return nil, failed(gitops.UnsupportedServer, "unset uploadpack.blobPackfileUri on the server",
				"the server wants objects to be got from elsewhere")
		default:
			return nil, notAPack("it has an unknown section")
		}
		if err != nil {
			return nil, err
		}
	}
}

// addWanted reads obj-id SP refname.
func (p *Pack) addWanted(s string) bool {
	id, name, _ := strings.Cut(s, " ")
	p.Wanted = append(p.Wanted, Ref{Name: name, ID: gitops.Hash(id)})
	return gitops.Hash(id).Valid() && isRefName(name)
}

// answers checks that the refs of a request, and no others, came with the pack.
func (p *Pack) answers(r Request) error {
	names := make([]string, 0, len(p.Wanted))
	for _, ref := range p.Wanted {
		names = append(names, ref.Name)
	}
	asked := slices.Sorted(slices.Values(r.WantRefs))
	if slices.Sort(names); !slices.Equal(names, slices.Compact(asked)) {
		return notAPack("it names other refs than those that were asked for")
	}
	return nil
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
	// counts is called with each packet by which the server says that it is
	// still at work on the pack.
	counts func()
}

// working passes a sign of work on.
func (p *packReader) working() {
	if p.counts != nil {
		p.counts()
	}
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

// room is how much of the pack may still come.
func (p *packReader) room() int64 {
	if p.limit <= 0 {
		return math.MaxInt64
	}
	return p.limit - p.got
}

// packet returns the pack's part of the next packet, nothing if it has none. A
// packet holds 64 kB at most, and a link may be cut in each: what came of it is
// returned beside the error.
func (p *packReader) packet() ([]byte, error) {
	kind, content, err := p.in.raw()
	switch {
	case err != nil && len(content) > 1 && content[0] == 1:
		came := min(int64(len(content)-1), p.room())
		return content[1 : 1+came], packFailed(err)
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
		if len(content) == 0 { // keeps the connection alive
			p.working()
			return nil, nil
		}
		// The pack has its own limit.
		p.in.refund(len(content) + 5)
		over := int64(len(content)) > p.room()
		if p.got += int64(len(content)); over {
			return nil, failed(gitops.TooLarge, "ask for less at once, or use a smaller repository",
				"the pack has more than %d bytes", p.limit)
		}
		return content, nil
	case 2:
		p.working()
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
