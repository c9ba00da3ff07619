// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

func TestPacketsAreTold(t *testing.T) {
	longest := strings.Repeat("x", 65516)
	cases := []struct {
		name, in string
		kind     wire.Packet
		content  string
		err      error
	}{
		{name: "a line", in: "0009hello", kind: wire.Line, content: "hello"},
		{name: "the newline is framing", in: "000ahello\n", kind: wire.Line, content: "hello"},
		{name: "one newline only", in: "000bhello\n\n", kind: wire.Line, content: "hello\n"},
		{name: "upper-case digits", in: "000Ahello\n", kind: wire.Line, content: "hello"},
		{name: "an empty line", in: "0004", kind: wire.Line},
		{name: "the longest line", in: "fff0" + longest, kind: wire.Line, content: longest},
		{name: "flush", in: "0000", kind: wire.Flush},
		{name: "delimiter", in: "0001", kind: wire.Delim},
		{name: "end of the answer", in: "0002", kind: wire.ResponseEnd},
		{name: "a length that is none", in: "0003", err: wire.ErrNotALine},
		{name: "too long", in: "fff1" + longest + "x", err: wire.ErrNotALine},
		{name: "a web page", in: "<html>", err: wire.ErrNotALine},
		{name: "a sign", in: "+00ahello\n", err: wire.ErrNotALine},
		{name: "a prefix", in: "0x0ahello\n", err: wire.ErrNotALine},
		{name: "an underscore", in: "0_0ahello\n", err: wire.ErrNotALine},
		{name: "nothing", in: "", err: io.ErrUnexpectedEOF},
		{name: "half a length", in: "00", err: io.ErrUnexpectedEOF},
		{name: "no content", in: "000a", err: io.ErrUnexpectedEOF},
		{name: "half a content", in: "000ahel", err: io.ErrUnexpectedEOF},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := wire.NewLines(strings.NewReader(c.in+strings.Repeat("t", 100)), 1<<20)
			if errors.Is(c.err, io.ErrUnexpectedEOF) {
				in = wire.NewLines(strings.NewReader(c.in), 1<<20)
			}
			kind, content, err := in.Next()
			if !errors.Is(err, c.err) || c.err == nil && (kind != c.kind || string(content) != c.content) {
				t.Errorf("packet %d, %.40q, error %v", kind, content, err)
			}
		})
	}
}

// On an SSH session the next answer follows, and a read beyond the packet would
// wait for it or swallow it.
func TestNoByteBehindAPacketIsRead(t *testing.T) {
	r := strings.NewReader("0009hello0000000anext")
	in := wire.NewLines(r, 1<<20)
	for range 2 {
		if _, _, err := in.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if rest, _ := io.ReadAll(r); string(rest) != "000anext" {
		t.Errorf("rest %q", rest)
	}
}

func TestPacketsAreBounded(t *testing.T) {
	for name, packet := range map[string]string{"lines": frame("0123456789"), "empty lines": "0004", "flushes": "0000"} {
		t.Run(name, func(t *testing.T) {
			in := wire.NewLines(endless(packet), 10_000)
			read := 0
			for {
				_, content, err := in.Next()
				if err != nil {
					if !errors.Is(err, wire.ErrTooLong) {
						t.Fatal(err)
					}
					break
				}
				read += len(content) + 4
			}
			if read < 5_000 || read > 10_020 {
				t.Errorf("%d bytes were read", read)
			}
		})
	}
	in := wire.NewLines(endless("fff0"+strings.Repeat("x", 65516)), 10<<20)
	for {
		if _, _, err := in.Next(); err != nil {
			break
		}
	}
	if room := in.Room(); room > 128<<10 {
		t.Errorf("%d bytes are held", room)
	}
}

func TestWhatTheServerSaysIsAnError(t *testing.T) {
	cases := []struct {
		said   string
		reason gitops.Reason
		text   string
	}{
		{"upload-pack: not our ref 1111111111111111111111111111111111111111", gitops.RefMissing, "not our ref"},
		{"unknown ref refs/heads/gone", gitops.RefMissing, "refs/heads/gone"},
		{"access denied\x1b[2J\r\n", gitops.ServerError, `"access denied [2J"`},
		{strings.Repeat("long ", 10_000), gitops.ServerError, "…"},
		{"", gitops.ServerError, `""`},
	}
	for _, c := range cases {
		_, _, err := wire.NewLines(strings.NewReader(frame("ERR "+c.said)), 1<<20).Next()
		wantProtocolReason(t, err, c.reason)
		if text := err.Error(); !strings.Contains(text, c.text) || len(text) > 400 {
			t.Errorf("%q is not in %q", c.text, text)
		}
	}
}

func TestLinesAreWritten(t *testing.T) {
	b := wire.AppendLine(nil, "want %s", "x")
	b = wire.AppendFlush(wire.AppendDelim(b))
	if string(b) != "000bwant x\n00010000" {
		t.Errorf("%q", b)
	}
}

// endless repeats a text for ever.
func endless(text string) io.Reader { return &repeater{text: text} }

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(b []byte) (int, error) {
	n := copy(b, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}
