// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/klauspost/compress/zstd"
)

func (s *Store) prepareCodec() error {
	var err error
	s.enc, err = zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return fmt.Errorf("prepare compression of the object store: %v", err)
	}
	s.dec, err = zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(s.opts.MaxObject)))
	if err != nil {
		return fmt.Errorf("prepare compression of the object store: %v", err)
	}
	return nil
}

// squeeze is how content is stored.
func (s *Store) squeeze(content []byte) []byte {
	packed := s.enc.EncodeAll(content, nil)
	if len(packed) >= len(content) {
		return content
	}
	return packed
}

// unpack gives a row its content back and checks it against its id.
func (s *Store) unpack(i id, t plumbing.ObjectType, size int64, data []byte) ([]byte, error) {
	if size > s.opts.MaxObject {
		return nil, tooLarge("raise the object size limit again",
			"read object %s: it has %d bytes, the limit is %d", i.hash(), size, s.opts.MaxObject)
	}
	content := data
	if int64(len(data)) != size {
		var err error
		content, err = s.dec.DecodeAll(data, make([]byte, 0, max(size, 0)))
		if err != nil {
			return nil, damaged(i, "its row does not decompress")
		}
	}
	got, err := identify(t, content)
	if err != nil {
		return nil, err
	}
	if got != i {
		return nil, damaged(i, "the stored bytes hash to "+string(got.hash()))
	}
	return content, nil
}
