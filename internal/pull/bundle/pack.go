// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"compress/zlib"
	"context"
	"crypto/sha1" //nolint:gosec // the checksum of Git's pack format
	"encoding/binary"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

const (
	// maxDelta: no difference is looked for in what is larger, where it would
	// cost more memory than it saves bytes.
	maxDelta = 16 << 20
	refDelta = 7
)

// writePack writes the items as a pack, in their order: what a difference
// builds on comes before it, so that a pack that is cut off is still of use. A
// base may be outside the pack, as in what `git fetch` receives.
func writePack(ctx context.Context, w io.Writer, repo *repository, items []item) error {
	sum := sha1.New() //nolint:gosec // see above
	out := io.MultiWriter(w, sum)
	head := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(items)))
	if _, err := out.Write(head); err != nil {
		return err
	}
	z := zlib.NewWriter(out)
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writeItem(out, z, repo, it); err != nil {
			return err
		}
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

func writeItem(out io.Writer, z *zlib.Writer, repo *repository, it item) error {
	kind, content, err := repo.object(it.id)
	if err != nil {
		return err
	}
	head := entryHead(byte(kind), len(content))
	if delta, err := difference(repo, it, content); err != nil {
		return err
	} else if delta != nil {
		content = delta
		head = append(entryHead(refDelta, len(delta)), it.base[:]...)
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	z.Reset(out)
	if _, err := z.Write(content); err != nil {
		return err
	}
	return z.Close()
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
