// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/klauspost/compress/zstd"
)

const (
	keySize = 32
	// maxUnpacked bounds what one compressed row may become in memory.
	maxUnpacked = 64 << 20
	// sealVersion is the first byte of a sealed row.
	sealVersion = 1
)

// vault compresses and encrypts rows under the node's key.
type vault struct {
	aead cipher.AEAD
	// id tells one key from another without giving it away.
	id   string
	pack *zstd.Encoder
	open *zstd.Decoder
}

// loadKey reads the node's key. It is nil when there is none yet.
func loadKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, "journal.key")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, keyFailed(path, err)
	}
	defer f.Close()
	key := make([]byte, keySize+1)
	n, err := f.Read(key)
	if err != nil || n != keySize {
		return nil, keyFailed(path, fmt.Errorf("it must hold %d bytes", keySize))
	}
	return key[:keySize], nil
}

// makeKey writes a new key. The name appears only when the bytes are durable: a
// crash leaves either no key or a whole one, and the first row is sealed after.
func makeKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, "journal.key")
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, notWritable(dir, err)
	}
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, notWritable(dir, err)
	}
	if err := errors.Join(os.Rename(tmp, path), syncDir(dir)); err != nil {
		return nil, notWritable(dir, err)
	}
	return key, nil
}

func keyFailed(path string, err error) error {
	return &gitops.Error{
		Reason:  gitops.JournalFailed,
		Message: fmt.Sprintf("read the journal's key %s: %v", path, err),
		Remedy:  keyRemedy,
		Err:     err,
	}
}

const keyRemedy = "restore journal.key from a backup of the state directory, or begin a new journal: edgeagent run --rebuild-journal"

func newVault(key []byte) (*vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use the journal's key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("use the journal's key: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("edgeagent journal key id"))
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fmt.Errorf("start the compressor: %w", err)
	}
	open, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("start the decompressor: %w", err)
	}
	return &vault{aead: aead, id: hex.EncodeToString(mac.Sum(nil)[:8]), pack: pack, open: open}, nil
}

// compress packs what holds no secret.
func (v *vault) compress(plain []byte) []byte { return v.pack.EncodeAll(plain, nil) }

func (v *vault) decompress(packed []byte) ([]byte, error) { return v.open.DecodeAll(packed, nil) }

// seal compresses and encrypts. name is authenticated with it, so that a row
// that was moved under another name does not open.
func (v *vault) seal(plain []byte, name string) []byte {
	out := make([]byte, 1+v.aead.NonceSize(), 64+len(plain))
	out[0] = sealVersion
	rand.Read(out[1:]) // never fails
	return v.aead.Seal(out, out[1:], v.compress(plain), []byte(name))
}

func (v *vault) unseal(sealed []byte, name string) ([]byte, error) {
	head := 1 + v.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealVersion {
		return nil, errors.New("it was sealed by another version")
	}
	packed, err := v.aead.Open(nil, sealed[1:head], sealed[head:], []byte(name))
	if err != nil {
		return nil, errors.New("it does not open with journal.key")
	}
	return v.decompress(packed)
}
