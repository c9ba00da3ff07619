// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"compress/zlib"
	"context"
	"crypto/sha1" //nolint:gosec // the checksum of Git's pack format
	"encoding/binary"
	"io"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

const (
	// maxDelta: no difference is looked for in what is larger, where it would
	// cost more memory than it saves bytes.
	maxDelta = 16 << 20

	offsetDelta = 6
	refDelta    = 7
)

// packWriter counts, so that a difference can say how far back its base is.
type packWriter struct {
	out    io.Writer
	offset int64
	at     map[plumbing.Hash]int64
	zlib   *zlib.Writer
	repo   *repository
}

func (p *packWriter) Write(b []byte) (int, error) {
	n, err := p.out.Write(b)
	p.offset += int64(n)
	return n, err
}

// writePack writes the items as a pack, in their order: what a difference
// builds on comes before it, so that a pack that is cut off is still of use. A
// base may be outside the pack, as in what `git fetch` receives.
func writePack(ctx context.Context, w io.Writer, repo *repository, items []item) error {
	sum := sha1.New() //nolint:gosec // see above
	p := &packWriter{out: io.MultiWriter(w, sum), at: make(map[plumbing.Hash]int64, len(items)), repo: repo}
	p.zlib = zlib.NewWriter(p)
	head := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(items)))
	if _, err := p.Write(head); err != nil {
		return err
	}
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.item(it); err != nil {
			return err
		}
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

func (p *packWriter) item(it item) error {
	kind, content, err := p.repo.object(it.id)
	if err != nil {
		return err
	}
	start := p.offset
	head := entryHead(byte(kind), len(content))
	if delta, err := difference(p.repo, it, content); err != nil {
		return err
	} else if delta != nil {
		content = delta
		if base, here := p.at[it.base]; here {
			head = append(entryHead(offsetDelta, len(delta)), backwards(start-base)...)
		} else {
			head = append(entryHead(refDelta, len(delta)), it.base[:]...)
		}
	}
	p.at[it.id] = start
	if _, err := p.Write(head); err != nil {
		return err
	}
	p.zlib.Reset(p)
	if _, err := p.zlib.Write(content); err != nil {
		return err
	}
	return p.zlib.Close()
}

// difference is what makes content out of the item's base, or nil where that
// does not pay: a difference half as long as the whole compresses to more.
func difference(repo *repository, it item, content []byte) ([]byte, error) {
	if it.base == plumbing.ZeroHash || len(content) > maxDelta {
		return nil, nil
	}
	_, base, err := repo.object(it.base)
	if err != nil {
		return nil, err
	}
	if len(base) > maxDelta {
		return nil, nil
	}
	delta := packfile.DiffDelta(base, content)
	if len(delta) > len(content)/2-sha1.Size {
		return nil, nil
	}
	return delta, nil
}

// entryHead is an entry's type and size, seven bits after the first four.
func entryHead(kind byte, size int) []byte {
	head := []byte{kind<<4 | byte(size&0xf)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	return head
}

// backwards is a distance: seven bits after the other, the highest first, and
// each but the last counted from one.
func backwards(distance int64) []byte {
	bytes := []byte{byte(distance & 0x7f)}
	for distance >>= 7; distance > 0; distance >>= 7 {
		distance--
		bytes = append(bytes, 0x80|byte(distance&0x7f))
	}
	slices.Reverse(bytes)
	return bytes
}
