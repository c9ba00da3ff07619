// SPDX-License-Identifier: Apache-2.0

package link

// What a TLS record's header says.
const (
	changeCipherSpec = 20
	recordHeader     = 5
)

// handshake follows the client's TLS records to the end of the handshake: the
// record after its ChangeCipherSpec. That one holds the client's Finished, in
// TLS 1.2 and in 1.3, where the ChangeCipherSpec is sent for the sake of old
// middleboxes. Session tickets come after it, and count.
type handshake struct {
	header  []byte
	left    int  // of the record's body
	changed bool // the ChangeCipherSpec was there
	over    bool
}

// take reads the next bytes of one way and says how many of them belong to the
// handshake.
func (h *handshake) take(b []byte, up bool) int {
	if h.over {
		return 0
	}
	if !up {
		return len(b)
	}
	for n := 0; n < len(b); {
		if len(h.header) < recordHeader {
			h.header = append(h.header, b[n])
			n++
			if len(h.header) == recordHeader {
				h.left = int(h.header[3])<<8 | int(h.header[4])
			}
			continue
		}
		step := min(h.left, len(b)-n)
		n += step
		if h.left -= step; h.left > 0 {
			continue
		}
		if h.changed {
			h.over = true
			return n
		}
		h.changed = h.header[0] == changeCipherSpec
		h.header = h.header[:0]
	}
	return len(b)
}
