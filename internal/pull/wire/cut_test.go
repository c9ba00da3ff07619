// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestCutInAPacketLosesNoByte cuts an answer at every byte of a packet of the
// pack: what came of it is read before the error.
func TestCutInAPacketLosesNoByte(t *testing.T) {
	begin := "000dpackfile\n"
	pack := strings.Repeat("PACK", 100)
	answer := begin + fmt.Sprintf("%04x\x01%s", len(pack)+5, pack)
	for n := len(begin) + 5; n < len(answer); n++ {
		p, err := newPack(strings.NewReader(answer[:n]), abilities{protocol: 2}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(p.r)
		if want := answer[len(begin)+5 : n]; !bytes.Equal(got, []byte(want)) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at byte %d: %d bytes of the pack came, want %d; %v", n, len(got), len(want), err)
		}
	}
}
