// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

const packfile = "000dpackfile\n"

// readPack reads an answer to its end.
func readPack(r io.Reader, a wire.Abilities, limit int64) ([]byte, *wire.Pack, error) {
	pack, err := wire.NewPack(r, a, limit)
	if err != nil {
		return nil, nil, err
	}
	content, err := io.ReadAll(pack)
	return content, pack, err
}

func TestAPackIsTakenOutOfItsAnswer(t *testing.T) {
	end := frame("\x01PACK") + frame("\x01more\n") + "0000"
	shallow := frame("shallow-info\n") + frame("shallow "+idA+"\n") + frame("shallow "+idB) + "0001"
	cases := []struct {
		name, in string
		can      wire.Abilities
		shallow  []gitops.Hash
	}{
		{name: "a pack", in: packfile + end, can: wire.V2},
		{name: "no newline", in: frame("packfile") + end, can: wire.V2},
		{name: "acknowledgements", in: frame("acknowledgments\n") + frame("ACK "+idA+"\n") + frame("ready\n") + "0001" + packfile + end, can: wire.V2},
		{name: "none common", in: frame("acknowledgments\n") + frame("NAK\n") + "0001" + packfile + end, can: wire.V2},
		{name: "shallow", in: shallow + packfile + end, can: wire.V2, shallow: ids(idA, idB)},
		{name: "both", in: frame("acknowledgments\n") + frame("NAK\n") + "0001" + shallow + packfile + end, can: wire.V2, shallow: ids(idA, idB)},
		{name: "progress and signs of life", in: packfile + frame("\x02Counting objects: 3\r") + "0005\x01" + "0005\x02" + end, can: wire.V2},
		{name: "v0 without haves", in: frame("NAK\n") + end, can: wire.V0},
		{name: "v0 with a common have", in: frame("ACK "+idA+"\n") + end, can: wire.V0},
		{name: "v0 twice none", in: frame("NAK\n") + frame("NAK\n") + end, can: wire.V0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once": strings.NewReader(c.in), "byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
			} {
				content, pack, err := readPack(r, c.can, 0)
				if err != nil || string(content) != "PACKmore\n" || !slices.Equal(pack.Shallow, c.shallow) {
					t.Errorf("%s: %q, %v", name, content, err)
				}
			}
			pack, err := wire.NewPack(strings.NewReader(c.in), c.can, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(pack, []byte("PACKmore\n")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnAnswerThatIsNoPack(t *testing.T) {
	begun := packfile + frame("\x01PACK")
	cases := []struct {
		name, in string
		can      wire.Abilities
		reason   gitops.Reason
		text     string
	}{
		{name: "a web page", in: "<html>", reason: gitops.ServerError},
		{name: "nothing but the end", in: "0000", reason: gitops.ServerError, text: "no pack"},
		{name: "a section without a pack", in: packfile + "0000", reason: gitops.ServerError, text: "no pack"},
		{name: "progress without a pack", in: packfile + frame("\x02x") + "0005\x01" + "0000", reason: gitops.ServerError, text: "no pack"},
		{name: "negotiation without a pack", in: frame("acknowledgments\n") + frame("NAK\n") + "0000", reason: gitops.ServerError, text: "no pack"},
		{name: "an unknown section", in: frame("presents\n"), reason: gitops.ServerError, text: "unknown section"},
		{name: "a section twice", in: frame("shallow-info\n") + "0001" + frame("shallow-info\n"), reason: gitops.ServerError, text: "section twice"},
		{name: "objects elsewhere", in: frame("packfile-uris\n"), reason: gitops.UnsupportedServer, text: "elsewhere"},
		{name: "a wanted ref that is none", in: frame("wanted-refs\n") + frame(idA+" ../x\n"), reason: gitops.ServerError},
		{name: "a wanted ref without an id", in: frame("wanted-refs\n") + frame("x refs/heads/main\n"), reason: gitops.ServerError},
		{name: "no acknowledgement", in: frame("acknowledgments\n") + frame("maybe\n"), reason: gitops.ServerError},
		{name: "an acknowledgement of no id", in: frame("acknowledgments\n") + frame("ACK x\n"), reason: gitops.ServerError},
		{name: "shallow at no id", in: frame("shallow-info\n") + frame("shallow x\n"), reason: gitops.ServerError},
		{name: "no longer shallow", in: frame("shallow-info\n") + frame("unshallow "+idA+"\n"), reason: gitops.ServerError},
		{name: "a delimiter first", in: "0001" + packfile, reason: gitops.ServerError},
		{name: "a delimiter in the pack", in: begun + "0001", reason: gitops.ServerError},
		{name: "the end of an answer in the pack", in: begun + "0002", reason: gitops.ServerError},
		{name: "an empty packet", in: begun + "0004", reason: gitops.ServerError},
		{name: "channel 0", in: begun + frame("\x00x"), reason: gitops.ServerError},
		{name: "channel 4", in: begun + frame("\x04x"), reason: gitops.ServerError},
		{name: "an acknowledgement in the pack", in: packfile + frame("NAK\n"), reason: gitops.ServerError},
		{name: "not pkt-lines in the pack", in: begun + "zzzz", reason: gitops.ServerError},
		{name: "not our ref", in: frame("ERR upload-pack: not our ref " + idA), reason: gitops.RefMissing, text: idA},
		{name: "not our ref, in the pack", in: packfile + frame("\x03upload-pack: not our ref "+idA), reason: gitops.RefMissing, text: idA},
		{name: "an error in a section", in: frame("shallow-info\n") + frame("ERR out of memory"), reason: gitops.ServerError, text: "out of memory"},
		{name: "an error in the pack", in: begun + frame("ERR out of memory"), reason: gitops.ServerError, text: "out of memory"},
		{name: "an error on its channel", in: begun + frame("\x03fatal: \x1b[2Jpack-objects died\n"), reason: gitops.ServerError, text: `"fatal: [2Jpack-objects died"`},
		{name: "a long error", in: begun + frame("\x03"+strings.Repeat("x", 60_000)), reason: gitops.ServerError, text: "…"},
		{name: "v0, an unknown line", in: frame("hello\n"), can: wire.V0, reason: gitops.ServerError},
		{name: "v0, no acknowledgement", in: frame("ACK x\n"), can: wire.V0, reason: gitops.ServerError},
		{name: "v0, acknowledgement in the pack", in: frame("NAK\n") + frame("\x01PACK") + frame("NAK\n"), can: wire.V0, reason: gitops.ServerError},
		{name: "v0, acknowledgement and an end", in: frame("NAK\n") + "0000", can: wire.V0, reason: gitops.ServerError, text: "no pack"},
		{name: "v0, a section of v2", in: packfile, can: wire.V0, reason: gitops.ServerError},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.can.Said() == nil && !strings.HasPrefix(c.name, "v0") {
				c.can = wire.V2
			}
			_, _, err := readPack(strings.NewReader(c.in), c.can, 0)
			wantProtocolReason(t, err, c.reason)
			if !strings.Contains(err.Error(), c.text) || len(err.Error()) > 400 {
				t.Error(err)
			}
		})
	}
}

// Each is a byte that moved, so that no guard of a link ends it.
func TestWhatIsNotAPackIsBounded(t *testing.T) {
	for name, in := range map[string]io.Reader{
		"progress":                       io.MultiReader(strings.NewReader(packfile), endless(frame("\x02"+strings.Repeat("x", 900)))),
		"signs of life":                  io.MultiReader(strings.NewReader(packfile), endless("0005\x01")),
		"signs of life as progress":      io.MultiReader(strings.NewReader(packfile), endless("0005\x02")),
		"acknowledgements":               io.MultiReader(strings.NewReader(frame("acknowledgments\n")), endless(frame("NAK\n"))),
		"the limits of a shallow server": io.MultiReader(strings.NewReader(frame("shallow-info\n")), endless(frame("shallow "+idA+"\n"))),
	} {
		t.Run(name, func(t *testing.T) {
			count := &counting{r: in}
			_, _, err := readPack(count, wire.V2, 0)
			wantProtocolReason(t, err, gitops.TooLarge)
			if count.n > wire.MaxAside+65_600 {
				t.Errorf("%d bytes were read", count.n)
			}
		})
	}
	// What is a pack has its own limit, and does not count here.
	whole := packfile + strings.Repeat(frame("\x01"+strings.Repeat("x", 60_000)), 40) + "0000"
	content, _, err := readPack(strings.NewReader(whole), wire.V2, 0)
	if err != nil || len(content) != 40*60_000 {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

func TestAPackIsBounded(t *testing.T) {
	in := io.MultiReader(strings.NewReader(packfile), endless(frame("\x01"+strings.Repeat("x", 1000))))
	content, _, err := readPack(in, wire.V2, 10_500)
	wantProtocolReason(t, err, gitops.TooLarge)
	if len(content) != 10_000 {
		t.Errorf("%d bytes were given", len(content))
	}
	content, _, err = readPack(strings.NewReader(packfile+frame("\x01"+strings.Repeat("x", 1000))+"0000"), wire.V2, 1000)
	if err != nil || len(content) != 1000 {
		t.Errorf("%d bytes were given: %v", len(content), err)
	}
	// A cut in a packet gives what came of it, and no more than is allowed.
	cut := packfile + frame("\x01" + strings.Repeat("x", 1000))[:900]
	for limit, want := range map[int64]int{0: 895, 895: 895, 500: 500} {
		content, _, err := readPack(strings.NewReader(cut), wire.V2, limit)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(content) != want {
			t.Errorf("limit %d: %d bytes were given: %v", limit, len(content), err)
		}
	}
}

// What came before a cut is a part of the pack, and good.
func TestACutPackGivesWhatCame(t *testing.T) {
	f := newFleet(t)
	a := f.abilities()
	req, err := wire.FetchRequest(wire.Request{Wants: ids(f.hash("main")), Depth: 2, Filter: "tree:2"}, a, "")
	if err != nil {
		t.Fatal(err)
	}
	answer := f.uploadPack(2, req)
	whole, pack, err := readPack(bytes.NewReader(answer), a, 0)
	if err != nil || len(pack.Shallow) != 1 || binary.BigEndian.Uint32(whole[8:]) == 0 {
		t.Fatal(err)
	}
	last := 0
	for n := range answer {
		content, _, err := readPack(bytes.NewReader(answer[:n]), a, 0)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d of %d bytes: %v", n, len(answer), err)
		}
		if !bytes.HasPrefix(whole, content) || len(content) < last {
			t.Fatalf("cut after %d bytes: %d bytes that are not the pack's", n, len(content))
		}
		last = len(content)
	}
	if last != len(whole) {
		t.Errorf("%d of %d bytes came before the end", last, len(whole))
	}
}

func TestAPackErrorLasts(t *testing.T) {
	pack, err := wire.NewPack(strings.NewReader(packfile+frame("\x03died")+frame("\x01PACK")+"0000"), wire.V2, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	_, first := pack.Read(b)
	n, again := pack.Read(b)
	if first == nil || n != 0 || !errors.Is(again, first) {
		t.Errorf("%v, then %d bytes, %v", first, n, again)
	}
}

func TestALinkErrorInAPackComesBack(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"", "000d", packfile, packfile + "00", packfile + frame("\x01PACK")} {
		if _, _, err := readPack(io.MultiReader(strings.NewReader(in), failing{broken}), wire.V2, 0); !errors.Is(err, broken) {
			t.Errorf("after %q: %v", in, err)
		}
	}
}
