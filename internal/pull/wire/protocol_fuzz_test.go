// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// The seeds in testdata/fuzz are what Git answers, and what no server should.

// isTyped accepts an error that says who is to blame: the answer, by a reason
// and a remedy that fit a terminal, or the link that was cut.
func isTyped(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*gitops.Error](err)
	switch {
	case err == nil || errors.Is(err, io.ErrUnexpectedEOF):
	case !ok || e.Reason == "" || e.Remedy == "":
		t.Fatalf("an error without a reason or a remedy: %v", err)
	case len(e.Message) > 2000 || strings.ContainsAny(e.Message, "\x00\x1b\r\n"):
		t.Fatalf("an error that is not fit to be shown: %q", e.Message)
	}
}

// Whatever is read as packets is what comes of writing them again.
func FuzzPktLine(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		lines := wire.NewLines(r, 1<<20)
		var again []byte
		for {
			kind, content, err := lines.Raw()
			if err != nil {
				if !errors.Is(err, wire.ErrNotALine) && !errors.Is(err, wire.ErrTooLong) {
					isTyped(t, err)
				}
				break
			}
			if kind != wire.Line && len(content) > 0 {
				t.Fatalf("a mark has the content %q", content)
			}
			switch kind {
			case wire.Line:
				again = fmt.Appendf(again, "%04x%s", len(content)+4, content)
			case wire.Flush:
				again = append(again, "0000"...)
			case wire.Delim:
				again = append(again, "0001"...)
			case wire.ResponseEnd:
				again = append(again, "0002"...)
			}
			if lines.Room() > 128<<10 {
				t.Fatalf("%d bytes are held", lines.Room())
			}
		}
		if len(again) > len(in) || !bytes.EqualFold(again, in[:len(again)]) {
			t.Fatalf("%q was read as %q", in, again)
		}
	})
}

// What is understood of abilities survives the file in which they are kept.
func FuzzAbilities(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		a, refs, err := wire.ReadAbilities(bytes.NewReader(in), nil, 1<<20)
		isTyped(t, err)
		if err != nil {
			if refs != nil {
				t.Fatal("refs beside an error")
			}
			return
		}
		if (a.Protocol() == 2) == (refs != nil) {
			t.Fatalf("protocol %d, refs %v", a.Protocol(), refs)
		}
		if size := len(strings.Join(a.Said(), "")); size > len(in) || size > wire.MaxAbilities+65_600 {
			t.Fatalf("%d bytes are kept of %d", size, len(in))
		}
		kept, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var again wire.Abilities
		if err := json.Unmarshal(kept, &again); err != nil {
			t.Fatalf("%s: %v", kept, err)
		}
		if len(a.Said()) == 0 && len(again.Said()) == 0 {
			return
		}
		if !reflect.DeepEqual(a, again) {
			t.Fatalf("%+v was kept as %+v", a, again)
		}
		if req, err := wire.FetchRequest(wire.Request{Wants: ids(idA), Filter: "tree:1", Depth: 1}, a, "edgeagent/1"); err != nil || len(req) > 300 {
			t.Fatalf("%d bytes, %v", len(req), err)
		}
	})
}

// checkRefs holds refs to what a caller takes for granted.
func checkRefs(t *testing.T, in []byte, prefix string, list []wire.Ref) {
	t.Helper()
	if len(list) > len(in)/45 {
		t.Fatalf("%d refs in %d bytes", len(list), len(in))
	}
	names := map[string]bool{}
	for _, ref := range list {
		switch {
		case names[ref.Name]:
			t.Fatalf("%q comes twice", ref.Name)
		case !ref.ID.Valid() || ref.Peeled != "" && !ref.Peeled.Valid():
			t.Fatalf("a ref without an id: %+v", ref)
		case !wire.IsRefName(ref.Name) || !strings.HasPrefix(ref.Name, prefix):
			t.Fatalf("%q is not a name that was asked for", ref.Name)
		case !bytes.Contains(in, []byte(ref.Name)) || !bytes.Contains(in, []byte(ref.ID)):
			t.Fatalf("%+v was never sent", ref)
		}
		names[ref.Name] = true
	}
}

func FuzzLsRefs(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		refs, err := wire.ReadLsRefs(bytes.NewReader(in), nil, 1<<20)
		isTyped(t, err)
		checkRefs(t, in, "", refs.List)
		if err != nil && refs.List != nil {
			t.Fatal("refs beside an error")
		}
		const tags = "refs/tags/"
		some, someErr := wire.ReadLsRefs(bytes.NewReader(in), []string{tags}, 1<<20)
		isTyped(t, someErr)
		checkRefs(t, in, tags, some.List)
		if err != nil {
			return
		}
		if someErr != nil {
			t.Fatalf("refused when some refs are asked for: %v", someErr)
		}
		var want []wire.Ref
		for _, ref := range refs.List {
			if strings.HasPrefix(ref.Name, tags) {
				want = append(want, ref)
			}
		}
		if !reflect.DeepEqual(some.List, want) {
			t.Fatalf("asked for tags: %v, of all: %v", some.List, want)
		}
	})
}

func FuzzV0Advertisement(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		a, refs, err := wire.ReadAbilities(bytes.NewReader(in), []string{"refs/"}, 1<<20)
		isTyped(t, err)
		if refs == nil {
			return
		}
		checkRefs(t, in, "refs/", refs.List)
		req, err := wire.V0Request(wire.Request{Wants: ids(idA)}, a, "edgeagent/1")
		isTyped(t, err)
		if err == nil && len(req) > 200 {
			t.Fatalf("%d bytes are sent", len(req))
		}
	})
}

// The pack of an answer is a part of it, in both protocols and however it is
// cut into reads.
func FuzzSections(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, a := range []wire.Abilities{wire.V2, wire.V0} {
			content, pack, err := readPack(bytes.NewReader(in), a, 100_000)
			isTyped(t, err)
			if len(content) > len(in) || len(content) > 100_000 {
				t.Fatalf("%d bytes of pack in %d", len(content), len(in))
			}
			again, _, againErr := readPack(oneByte{bytes.NewReader(in)}, a, 100_000)
			if !bytes.Equal(content, again) || fmt.Sprint(err) != fmt.Sprint(againErr) {
				t.Fatalf("%q and %v at once, %q and %v byte by byte", content, err, again, againErr)
			}
			if pack == nil {
				continue
			}
			if err == nil && len(content) == 0 {
				t.Fatal("a pack of nothing")
			}
			for _, id := range pack.Shallow {
				if !id.Valid() {
					t.Fatalf("shallow at %q", id)
				}
			}
		}
	})
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(b []byte) (int, error) { return o.r.Read(b[:min(len(b), 1)]) }
