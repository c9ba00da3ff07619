// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // the checksum of Git's pack format
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// checkFile reads a bundle from its beginning to the checksum at its end. That
// finds what a disk or a link did; what people did is found by the ids of the
// objects, and by their signatures.
func checkFile(f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return diskFailed(err)
	}
	r := bufio.NewReaderSize(f, 64<<10)
	if _, err := ReadHeader(r, 0); err != nil {
		return err
	}
	if err := checkPack(r); err != nil {
		return err
	}
	return nil
}

// checkPack holds a pack to the checksum that it ends with.
func checkPack(r io.Reader) error {
	sum := sha1.New() //nolint:gosec // see above
	start := make([]byte, 4)
	if _, err := io.ReadFull(r, start); err != nil || string(start) != "PACK" {
		return failed(gitops.Corrupt, anotherCopy, "read the bundle: no pack follows its header")
	}
	sum.Write(start)
	// The last 20 bytes are held back: they are the sum of those before.
	var held, chunk = make([]byte, 0, sha1.Size+32<<10), make([]byte, 32<<10)
	for {
		n, err := r.Read(chunk)
		held = append(held, chunk[:n]...)
		if surplus := len(held) - sha1.Size; surplus > 0 {
			sum.Write(held[:surplus])
			held = held[:copy(held, held[surplus:])]
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the bundle: %w", err)
		}
	}
	if !bytes.Equal(held, sum.Sum(nil)) {
		return because(io.ErrUnexpectedEOF, gitops.Corrupt, anotherCopy, "read the bundle: its pack is cut off or damaged, the checksum does not match")
	}
	return nil
}

// syncDir makes renames in a directory last.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
