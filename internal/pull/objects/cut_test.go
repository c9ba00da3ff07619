// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

var errCut = errors.New("the link was cut")

// cutAt is a pack of which n bytes come, and then err.
func cutAt(b []byte, n int, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(err))
}

func TestPackCutAnywhereKeepsWhatWasWhole(t *testing.T) {
	s, path := open(t, objects.Options{})
	p := newPack()
	head := p.revision(strings.Repeat("a: b\n", 100))
	blob := hashOf(blobType, []byte(strings.Repeat("a: b\n", 100)))
	p.refDelta(blob, appendDelta([]byte(strings.Repeat("a: b\n", 100)), "c: d\n"))
	b := p.bytes()
	ends := append(p.offsets[1:], p.offset)
	before := 0
	for n := range len(b) {
		got, err := s.Receive(t.Context(), objects.Arrival{Pack: cutAt(b, n, errCut)})
		if !errors.Is(err, errCut) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		whole := 0
		for _, end := range ends {
			if int64(n) >= end {
				whole++
			}
		}
		if got != (objects.Received{Objects: whole, New: whole - before, Bytes: int64(n)}) {
			t.Fatalf("cut at %d: %+v, want %d objects", n, got, whole)
		}
		before = whole
	}
	// A pack that just ends is no fault of the link.
	for n := range len(b) {
		_, err := s.Receive(t.Context(), objects.Arrival{Pack: bytes.NewReader(b[:n])})
		wantReason(t, err, gitops.Corrupt)
	}
	receive(t, s, head, p)
	if n := count(t, s, path, "objects"); n != 4 {
		t.Errorf("%d objects", n)
	}
}

// TestLargePackIsCutAndTheRestAskedFor: what came reads back, and what is named
// as missing is all that has to be asked for.
func TestLargePackIsCutAndTheRestAskedFor(t *testing.T) {
	r := newGitRepo(t)
	var head gitops.Hash
	for n := range 15 {
		for f := range 15 {
			r.write(fmt.Sprintf("d%d/f%02d.yaml", f%3, f), text(uint64(f), 600)+strings.Repeat(fmt.Sprintf("line %d\n", n), 40))
		}
		r.write(".edgeagent/keys", fmt.Sprint("key ", n/5))
		head = r.commit(fmt.Sprintf("commit %d", n))
	}
	b := r.pack(string(head))
	all := r.ids(string(head))
	for n := 0; n < len(b); n += 997 {
		s, _ := open(t, objects.Options{})
		got, err := s.Receive(t.Context(), objects.Arrival{Pack: cutAt(b, n, errCut)})
		if !errors.Is(err, errCut) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		lost, err := s.Absent(t.Context(), all)
		if err != nil || len(all)-len(lost) != got.Objects {
			t.Fatalf("cut at %d: %d of %d are missing, %+v: %v", n, len(lost), len(all), got, err)
		}
		for _, h := range all {
			if _, _, err := s.Object(t.Context(), h); err != nil && gitops.ReasonOf(err) != gitops.Incomplete {
				t.Fatal(err)
			}
		}
		// As the fetch loop does: what is missing, by its id and without haves.
		for rounds := 0; ; rounds++ {
			missing := lineage(t, s, head, nil, 10_000).Missing
			if len(missing) == 0 {
				missing = below(t, s, head, 10_000)
			}
			if len(missing) == 0 {
				break
			}
			if rounds > 60 {
				t.Fatalf("cut at %d: no end, still %d missing", n, len(missing))
			}
			arriveBytes(t, s, r.pick(missing))
		}
		if !whole(t, s, head) {
			t.Fatalf("cut at %d: not whole", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestThinPacks(t *testing.T) {
	r := newGitRepo(t)
	for f := range 30 {
		r.write(fmt.Sprintf("f%02d.yaml", f), text(uint64(f), 2000))
	}
	first := r.commit("first")
	r.write("f07.yaml", text(7, 2000)+"one line\n")
	second := r.commit("second")
	thin := r.pack(string(second)+"\n^"+string(first), "--thin")

	t.Run("on what is here", func(t *testing.T) {
		s, _ := open(t, objects.Options{})
		arriveBytes(t, s, r.pack(string(first)))
		got := arriveBytes(t, s, thin)
		if got.SetAside != 0 || got.New != 3 || got.Bytes > 900 || !whole(t, s, second) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("on what is not here", func(t *testing.T) {
		s, _ := open(t, objects.Options{})
		got := arriveBytes(t, s, thin)
		if got.SetAside != 2 || got.New != 1 {
			t.Errorf("%+v: a commit and two deltas were sent", got)
		}
		l := lineage(t, s, second, []gitops.Hash{first}, 9)
		tree := gitops.Hash(r.git("", "rev-parse", "HEAD^{tree}"))
		if len(l.Missing) != 2 || l.Missing[0].ID != first || l.Missing[1].ID != tree {
			t.Errorf("missing: %v", l.Missing)
		}
	})
	t.Run("cut anywhere", func(t *testing.T) {
		s, _ := open(t, objects.Options{})
		for n := range len(thin) {
			if _, err := s.Receive(t.Context(), objects.Arrival{Pack: cutAt(thin, n, errCut)}); !errors.Is(err, errCut) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		}
	})
}

func TestReadErrorsComeBackAsTheyAre(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	p.revision("x")
	b := p.bytes()
	for name, pack := range map[string]io.Reader{
		"at once":                iotest.ErrReader(errCut),
		"in the middle":          cutAt(b, 60, errCut),
		"beside the last bytes":  iotest.DataErrReader(cutAt(b, 60, errCut)),
		"one byte at a time":     iotest.OneByteReader(cutAt(b, 60, errCut)),
		"wrapped with a reason":  cutAt(b, 60, &gitops.Error{Reason: gitops.TooSlow, Message: "too slow", Err: errCut}),
		"after the end of input": cutAt(b, 60, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, errCut)),
	} {
		if _, err := s.Receive(t.Context(), objects.Arrival{Pack: pack}); !errors.Is(err, errCut) || gitops.ReasonOf(err) == gitops.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The error came with the bytes that end the first object.
	fresh, _ := open(t, objects.Options{})
	beside := iotest.DataErrReader(cutAt(b, int(p.offsets[1]), errCut))
	if got, err := fresh.Receive(t.Context(), objects.Arrival{Pack: beside}); !errors.Is(err, errCut) || got.New != 1 {
		t.Errorf("beside the last bytes: %+v, %v", got, err)
	}
	if _, err := s.Receive(t.Context(), objects.Arrival{Pack: cutAt(b, len(b), errCut)}); err != nil {
		t.Errorf("after the last byte of the pack: %v", err)
	}
}

// TestContextThatEndsLosesNothing: a poll that used up its time keeps what came.
func TestContextThatEndsLosesNothing(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	p.revision("x")
	ctx, cancel := context.WithCancel(t.Context())
	entries := 0
	got, err := s.Receive(ctx, objects.Arrival{Pack: bytes.NewReader(p.bytes()), Progress: func() {
		if entries++; entries == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || got.New != 2 || !has(t, s, hashOf(blobType, []byte("x"))) {
		t.Errorf("%v, %+v", err, got)
	}
}

// TestOthersReadWhileAPackIsWaitedFor: no transaction is open while the link is
// silent, so what else needs the one connection goes on.
func TestOthersReadWhileAPackIsWaitedFor(t *testing.T) {
	s, _ := open(t, objects.Options{})
	first := newPack()
	head := first.revision("x")
	receive(t, s, head, first)
	p := newPack()
	for i := range 600 {
		p.add(blobType, fmt.Append(nil, i))
	}
	b := p.bytes()
	silent, wake := io.Pipe()
	reads := make(chan error, 1)
	go func() {
		_, _ = wake.Write(b[:len(b)/2])
		_, _, err := s.Object(context.Background(), head)
		if err == nil {
			err = s.GC(context.Background(), nil)
		}
		reads <- err
		_, _ = wake.Write(b[len(b)/2:])
		_ = wake.Close()
	}()
	got, err := s.Receive(t.Context(), objects.Arrival{Pack: silent})
	if err != nil || got.New != 600 {
		t.Fatal(got, err)
	}
	if err := <-reads; err != nil {
		t.Error(err)
	}
}
