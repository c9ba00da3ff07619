// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"compress/zlib"
	"context"
	"crypto"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/hash"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Pack writes a pack that holds ids, each of which is named once, without
// deltas. Every object is hashed as it is read.
func (s *Store) Pack(ctx context.Context, w io.Writer, ids []gitops.Hash) (err error) {
	defer s.quarantine(ctx, &err)
	sum := hash.New(crypto.SHA1)
	out := io.MultiWriter(w, sum)
	head := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(ids)))
	if _, err := out.Write(head); err != nil {
		return fmt.Errorf("write a pack: %w", err)
	}
	z := zlib.NewWriter(out)
	for _, h := range ids {
		i, err := parseID(h)
		if err != nil {
			return err
		}
		o, err := s.read(ctx, i)
		if err != nil {
			return err
		}
		if err := writeEntry(out, z, o); err != nil {
			return fmt.Errorf("write a pack: %w", err)
		}
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("write a pack: %w", err)
	}
	return nil
}

func writeEntry(out io.Writer, z *zlib.Writer, o object) error {
	if _, err := out.Write(entryHead(o.kind, len(o.content))); err != nil {
		return err
	}
	z.Reset(out)
	if _, err := z.Write(o.content); err != nil {
		return err
	}
	return z.Close()
}

// entryHead is the type and size of an entry: 4 bits of the size, then 7 in
// each byte.
func entryHead(t plumbing.ObjectType, size int) []byte {
	b := []byte{byte(t)<<4 | byte(size&0x0f)}
	for size >>= 4; size > 0; size >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(size&0x7f))
	}
	return b
}
