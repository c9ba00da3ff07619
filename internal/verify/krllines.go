// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
)

// maxPieces is how many entries of a list are remembered one by one. In pieces
// a serial takes twenty times the room.
const maxPieces = 4096

// krlLines is a binary list as lines of text, one entry a line: of lists that
// repeat what others said before them, each entry is remembered once. A list
// with very many entries is one line.
func krlLines(data []byte, list revokedKeys) []string {
	entries := len(list.ssh) + len(list.sha1)
	for _, of := range list.certificates {
		entries += len(of.serials) + len(of.ids)
	}
	if entries > maxPieces {
		return []string{krlLine + base64.StdEncoding.EncodeToString(data)}
	}
	out := slices.Sorted(maps.Keys(list.ssh))
	for _, sum := range slices.Sorted(maps.Keys(list.sha1)) {
		out = append(out, onlyEntry(krlSHA1, krlField([]byte(sum))))
	}
	for _, authority := range slices.Sorted(maps.Keys(list.certificates)) {
		of := list.certificates[authority]
		head := append(krlField([]byte(authority)), krlField(nil)...)
		for _, s := range of.serials {
			ends := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, s.lo), s.hi)
			out = append(out, onlyEntry(krlCertificates, head, []byte{krlSerialRange}, krlField(ends)))
		}
		for _, id := range slices.Sorted(maps.Keys(of.ids)) {
			out = append(out, onlyEntry(krlCertificates, head, []byte{krlKeyIDs}, krlField(krlField([]byte(id)))))
		}
	}
	return out
}

// onlyEntry is a line with a list of one section, without number, date or
// comment.
func onlyEntry(kind byte, content ...[]byte) string {
	list := append([]byte(krlMagic), 0, 0, 0, 1)
	list = append(list, make([]byte, 24+4+4)...)
	list = append(list, kind)
	list = append(list, krlField(slices.Concat(content...))...)
	return krlLine + base64.StdEncoding.EncodeToString(list)
}

// krlField is a string in the encoding of SSH.
func krlField(content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...)
}
