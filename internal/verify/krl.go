// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"golang.org/x/crypto/ssh"
)

// krlMagic begins a binary list of revoked keys, as ssh-keygen -k makes it
// (PROTOCOL.krl of OpenSSH).
const krlMagic = "SSHKRL\n\x00"

// krlLine begins a line of text that holds such a list in base64.
const krlLine = "krl:"

// maxSpans bounds the separate runs of serials in one list. A bitmap needs a
// bit for what takes sixteen bytes in memory.
const maxSpans = 1 << 20

// What the parts of a list are called in its bytes.
const (
	krlCertificates = 1
	krlKeys         = 2
	krlSHA1         = 3
	krlSignature    = 4
	krlSHA256       = 5
	krlExtension    = 255

	krlSerialList    = 0x20
	krlSerialRange   = 0x21
	krlSerialBitmap  = 0x22
	krlKeyIDs        = 0x23
	krlCertExtension = 0x39
)

// revokedCertificates are those of one authority, or of any.
type revokedCertificates struct {
	serials []span
	ids     map[string]bool
}

// span is the serials from lo to hi, both of them included.
type span struct{ lo, hi uint64 }

// has reports whether a serial is revoked. Zero never is: it is what
// certificates have that were given none, and names no single one.
func (r *revokedCertificates) has(serial uint64) bool {
	i := sort.Search(len(r.serials), func(i int) bool { return r.serials[i].hi >= serial })
	return i < len(r.serials) && r.serials[i].lo <= serial
}

// settle sorts the serials and joins what overlaps, so that has may search.
func (r *revokedCertificates) settle() {
	slices.SortFunc(r.serials, func(a, b span) int {
		if a.lo != b.lo {
			if a.lo < b.lo {
				return -1
			}
			return 1
		}
		return 0
	})
	out := r.serials[:0]
	for _, s := range r.serials {
		if n := len(out); n > 0 && s.lo <= out[n-1].hi {
			out[n-1].hi = max(out[n-1].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	r.serials = out
}

// wire reads the encoding of SSH. After the first thing that is cut short it
// gives zeros, and err says so.
type wire struct {
	rest []byte
	err  error
}

func (w *wire) more() bool { return w.err == nil && len(w.rest) > 0 }

func (w *wire) take(n uint64) []byte {
	if w.err != nil || n > uint64(len(w.rest)) {
		w.err = errors.New("it is cut short")
		return nil
	}
	out := w.rest[:n]
	w.rest = w.rest[n:]
	return out
}

func (w *wire) number(size int) uint64 {
	var whole [8]byte
	copy(whole[8-size:], w.take(uint64(size)))
	return binary.BigEndian.Uint64(whole[:])
}

func (w *wire) field() []byte { return w.take(w.number(4)) }

// krl is a list while it is read.
type krl struct {
	into  revokedKeys
	spans int
}

// addKRL reads a binary list. Like a list in text, it is understood as a whole
// or not at all. Its number, date and comment mean nothing here: lists are only
// ever added to each other.
func (r revokedKeys) addKRL(data []byte) error {
	body, ok := bytes.CutPrefix(data, []byte(krlMagic))
	if !ok {
		return errors.New("it is not a revocation list as ssh-keygen -k makes it")
	}
	w := &wire{rest: body}
	version := w.number(4)
	w.take(24) // its number, its date, and flags of which none is defined
	w.field()  // reserved
	w.field()  // its comment
	if w.err == nil && version != 1 {
		return fmt.Errorf("it is a revocation list of format %d, not 1", version)
	}
	k := &krl{into: r}
	for w.more() {
		kind := w.number(1)
		section := &wire{rest: w.field()}
		if w.err != nil {
			break
		}
		if err := k.section(kind, section); err != nil {
			return fmt.Errorf("section %d of the revocation list: %w", kind, err)
		}
	}
	if w.err != nil {
		return fmt.Errorf("the revocation list: %w", w.err)
	}
	return nil
}

// section reads one part of the list to its end.
func (k *krl) section(kind uint64, w *wire) error {
	switch kind {
	case krlCertificates:
		return k.certificates(w)
	case krlExtension:
		return skipExtension(w)
	case krlSignature:
		// ssh-keygen neither makes these nor, today, checks them. Who vouches
		// for a list here is root, or the roots by their signed statement.
		return errors.New("it is signed, which is not supported; make it anew with ssh-keygen -k")
	case krlKeys, krlSHA1, krlSHA256:
	default:
		return errors.New("it is not known")
	}
	for w.more() {
		entry := w.field()
		if w.err != nil {
			break
		}
		if err := k.key(kind, entry); err != nil {
			return err
		}
	}
	return w.err
}

func (k *krl) key(kind uint64, entry []byte) error {
	switch {
	case kind == krlSHA1 && len(entry) == 20:
		k.into.sha1[string(entry)] = true
	case kind == krlSHA256 && len(entry) == 32:
		k.into.ssh["SHA256:"+base64.RawStdEncoding.EncodeToString(entry)] = true
	case kind == krlKeys:
		key, err := ssh.ParsePublicKey(entry)
		if err != nil {
			return fmt.Errorf("a key does not parse: %s", printable(err.Error()))
		}
		if isCertificateType(key.Type()) {
			return errors.New("a certificate stands where a key has to")
		}
		k.into.ssh[ssh.FingerprintSHA256(key)] = true
	default:
		return fmt.Errorf("a fingerprint has %d bytes", len(entry))
	}
	return nil
}

// skipExtension passes over what a later program added and said may be passed over.
func skipExtension(w *wire) error {
	name, critical := w.field(), w.number(1)
	w.field()
	switch {
	case w.err != nil:
		return w.err
	case len(w.rest) > 0:
		return errors.New("bytes follow an extension")
	case critical != 0:
		return fmt.Errorf("the critical extension %s is not known", quoted(string(name)))
	}
	return nil
}

// certificates reads what is revoked of one authority.
func (k *krl) certificates(w *wire) error {
	authority := w.field()
	w.field() // reserved
	if w.err != nil {
		return w.err
	}
	id := ""
	if len(authority) > 0 {
		key, err := ssh.ParsePublicKey(authority)
		if err != nil {
			return fmt.Errorf("the key of an authority does not parse: %s", printable(err.Error()))
		}
		if isCertificateType(key.Type()) {
			return errors.New("a certificate stands where an authority has to")
		}
		id = string(key.Marshal())
	}
	of := k.into.certificatesOf(id)
	for w.more() {
		kind := w.number(1)
		part := &wire{rest: w.field()}
		if w.err != nil {
			break
		}
		if err := k.certificatePart(of, kind, part); err != nil {
			return fmt.Errorf("part 0x%02x: %w", kind, err)
		}
	}
	return w.err
}

func (k *krl) certificatePart(of *revokedCertificates, kind uint64, w *wire) error {
	var err error
	switch kind {
	case krlSerialList:
		for w.more() && err == nil {
			serial := w.number(8)
			if w.err == nil {
				err = k.serials(of, serial, serial)
			}
		}
	case krlSerialRange:
		lo, hi := w.number(8), w.number(8)
		if w.err == nil {
			err = k.serials(of, lo, hi)
		}
	case krlSerialBitmap:
		lo, bits := w.number(8), w.field()
		if w.err == nil {
			err = k.bitmap(of, lo, bits)
		}
	case krlKeyIDs:
		for w.more() {
			if id := w.field(); w.err == nil {
				of.ids[string(id)] = true
			}
		}
	case krlCertExtension:
		return skipExtension(w)
	default:
		return errors.New("it is not known")
	}
	switch {
	case err != nil:
		return err
	case w.err != nil:
		return w.err
	case len(w.rest) > 0:
		return errors.New("bytes follow it")
	}
	return nil
}

func (k *krl) serials(of *revokedCertificates, lo, hi uint64) error {
	if lo == 0 || lo > hi {
		return fmt.Errorf("%d to %d is not a range of serials, which begin at 1", lo, hi)
	}
	if k.spans++; k.spans > maxSpans {
		return fmt.Errorf("it has more than %d separate serials", maxSpans)
	}
	of.serials = append(of.serials, span{lo, hi})
	return nil
}

// bitmap reads a number of any size, whose lowest bit stands for the serial lo.
func (k *krl) bitmap(of *revokedCertificates, lo uint64, bits []byte) error {
	if len(bits) > 0 && bits[0] >= 0x80 {
		return errors.New("a bitmap is negative")
	}
	bits = bytes.TrimLeft(bits, "\x00")
	var start, length uint64 // of the run that is open
	close := func() error {
		if length == 0 {
			return nil
		}
		first := lo + start
		last := first + length - 1
		length = 0
		if first < lo || last < first {
			return errors.New("a bitmap goes beyond the last serial")
		}
		return k.serials(of, first, last)
	}
	for i := range uint64(len(bits)) * 8 {
		if bits[uint64(len(bits))-1-i/8]>>(i%8)&1 == 0 {
			if err := close(); err != nil {
				return err
			}
			continue
		}
		if length == 0 {
			start = i
		}
		length++
	}
	return close()
}
