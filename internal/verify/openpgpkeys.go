// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	armorPublicKey  = "PGP PUBLIC KEY BLOCK"
	armorPrivateKey = "PGP PRIVATE KEY BLOCK"
)

// pgpKey is a primary key or subkey of the key file that signatures can name.
type pgpKey struct {
	public      *packet.PublicKey
	fingerprint string // in full, upper-case hexadecimal
	primary     string // fingerprint of the primary key
	user        string
	signs       bool
	revoked     bool
	weak        string    // what is too weak about it, "" if nothing
	expires     time.Time // zero = never
	// after and before are when its principal may sign, zero = always.
	after, before time.Time
}

// parseOpenPGPKeys reads every armored block of a key file. The library's own
// reader takes the first block and passes over keys that it cannot read; a
// person who added a key would learn of it from a refused commit.
func parseOpenPGPKeys(data []byte) ([]pgpKey, error) {
	blocks, err := publicKeyBlocks(string(data))
	if err != nil {
		return nil, err
	}
	var out []pgpKey
	for i, block := range blocks {
		packets := packet.NewReader(bytes.NewReader(block))
		for {
			entity, err := openpgp.ReadEntity(packets)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("key block %d: %w", i+1, err)
			}
			keys, err := keysOf(entity)
			if err != nil {
				return nil, fmt.Errorf("key block %d: %w", i+1, err)
			}
			out = append(out, keys...)
		}
	}
	return out, nil
}

// publicKeyBlocks finds the armored blocks; text between them is a comment.
func publicKeyBlocks(text string) ([][]byte, error) {
	var out [][]byte
	var block []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case line == beginLine(armorPrivateKey):
			return nil, errors.New("it holds a private key; take that away from the node and export the public key only")
		case line == beginLine(armorPublicKey):
			if block != nil {
				return nil, fmt.Errorf("key block %d does not end", len(out)+1)
			}
			block = []string{line}
		case block == nil:
		case line == endLine(armorPublicKey):
			data, err := dearmor(strings.Join(append(block, line), "\n"), armorPublicKey)
			if err != nil {
				return nil, fmt.Errorf("key block %d: %w", len(out)+1, err)
			}
			out, block = append(out, data), nil
		default:
			block = append(block, line)
		}
	}
	if block != nil {
		return nil, fmt.Errorf("key block %d does not end", len(out)+1)
	}
	return out, nil
}

// keysOf lists what an entity can sign with. ReadEntity has checked the binding
// signature of each subkey, and the cross-signature of those that may sign.
func keysOf(e *openpgp.Entity) ([]pgpKey, error) {
	self, identity := e.PrimarySelfSignature()
	if self == nil {
		return nil, fmt.Errorf("key %s has no self-signature", fingerprint(e.PrimaryKey))
	}
	primary := pgpKey{
		public:      e.PrimaryKey,
		fingerprint: fingerprint(e.PrimaryKey),
		primary:     fingerprint(e.PrimaryKey),
		signs:       self.FlagsValid && self.FlagSign,
		weak:        weakOpenPGP(e.PrimaryKey, self),
		expires:     earliest(keyEnd(e.PrimaryKey, self), signatureEnd(self)),
		// Any revocation counts, whatever its reason and time: the library
		// takes one that says "superseded" back when the clock is behind it.
		revoked: len(e.Revocations) > 0,
	}
	primary.user = primary.fingerprint
	if identity != nil {
		primary.user = printable(identity.Name)
		primary.revoked = primary.revoked || len(identity.Revocations) > 0
	}
	keys := []pgpKey{primary}
	for _, sub := range e.Subkeys {
		key := primary
		key.public = sub.PublicKey
		key.fingerprint = fingerprint(sub.PublicKey)
		key.signs = sub.Sig.FlagsValid && sub.Sig.FlagSign
		key.revoked = primary.revoked || len(sub.Revocations) > 0
		key.expires = earliest(primary.expires, keyEnd(sub.PublicKey, sub.Sig), signatureEnd(sub.Sig))
		if key.weak == "" {
			key.weak = weakOpenPGP(sub.PublicKey, sub.Sig)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func fingerprint(key *packet.PublicKey) string {
	return strings.ToUpper(hex.EncodeToString(key.Fingerprint))
}

// keyEnd is when a key expires by its newest self-signature or binding.
func keyEnd(key *packet.PublicKey, sig *packet.Signature) time.Time {
	return lifetime(key.CreationTime, sig.KeyLifetimeSecs)
}

// signatureEnd is when a signature itself expires.
func signatureEnd(sig *packet.Signature) time.Time {
	return lifetime(sig.CreationTime, sig.SigLifetimeSecs)
}

func lifetime(start time.Time, seconds *uint32) time.Time {
	if seconds == nil || *seconds == 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(*seconds) * time.Second)
}

// earliest is the first of the times that are set, zero if none is.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// weakOpenPGP says what is too weak about a key or about the signature that
// makes it part of its entity.
func weakOpenPGP(key *packet.PublicKey, binding *packet.Signature) string {
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoDSA:
		return "a DSA key"
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoRSAEncryptOnly:
		if bits, err := key.BitLength(); err != nil || bits < minRSABits {
			return rsaBits(int(bits))
		}
	}
	for _, sig := range []*packet.Signature{binding, binding.EmbeddedSignature} {
		if sig != nil && !strongHash(sig.Hash) {
			return fmt.Sprintf("bound to its owner with %v", sig.Hash)
		}
	}
	return ""
}

func rsaBits(bits int) string {
	return fmt.Sprintf("an RSA key of %d bits, less than %d", bits, minRSABits)
}

func strongHash(h crypto.Hash) bool {
	switch h {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
		return true
	}
	return false
}
