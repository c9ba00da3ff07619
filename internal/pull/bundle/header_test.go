// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

var (
	idA = strings.Repeat("a", 40)
	idB = strings.Repeat("b", 40)
)

func parseHeader(text string, limit int64) (bundle.Header, string, error) {
	r := bufio.NewReader(strings.NewReader(text))
	h, err := bundle.ReadHeader(r, limit)
	rest, _ := io.ReadAll(r)
	return h, string(rest), err
}

func TestHeadersThatAreRead(t *testing.T) {
	tests := map[string]struct {
		text string
		want bundle.Header
	}{
		"version 2": {"# v2 git bundle\n-" + idB + " a comment\n-" + idA + "\n" + idA + " refs/heads/main\n" + idB + " HEAD\n\n",
			bundle.Header{Version: 2, Prerequisites: []gitops.Hash{gitops.Hash(idB), gitops.Hash(idA)},
				Refs: []bundle.Ref{{"refs/heads/main", gitops.Hash(idA)}, {"HEAD", gitops.Hash(idB)}}}},
		"version 3": {"# v3 git bundle\n@object-format=sha1\n@filter=blob:none\n" + idA + " refs/heads/main\n\n",
			bundle.Header{Version: 3, Filter: "blob:none", Refs: []bundle.Ref{{"refs/heads/main", gitops.Hash(idA)}}}},
		"prerequisite twice": {"# v2 git bundle\n-" + idB + " \n-" + idB + " \n\n",
			bundle.Header{Version: 2, Prerequisites: []gitops.Hash{gitops.Hash(idB)}}},
		"no refs": {"# v3 git bundle\n\n", bundle.Header{Version: 3}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, rest, err := parseHeader(test.text+"PACK\n\n", 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if rest != "PACK\n\n" {
				t.Errorf("the pack is %q", rest)
			}
		})
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	v2, v3 := "# v2 git bundle\n", "# v3 git bundle\n"
	ref := idA + " refs/heads/main\n"
	tests := map[string]struct {
		text string
		want gitops.Reason
	}{
		"empty":                 {"", gitops.Corrupt},
		"cut in the signature":  {"# v2 git", gitops.Corrupt},
		"web page":              {"<!DOCTYPE html><html><body>log in</body></html>\n", gitops.NotGit},
		"pack":                  {"PACK\x00\x00\x00\x02\x00\x00\x00\x00", gitops.NotGit},
		"carriage return":       {"# v2 git bundle\r\n" + ref + "\n", gitops.NotGit},
		"version 4":             {"# v4 git bundle\n" + ref + "\n", gitops.UnsupportedBundle},
		"sha256":                {v3 + "@object-format=sha256\n" + ref + "\n", gitops.UnsupportedBundle},
		"unknown capability":    {v3 + "@colour=blue\n" + ref + "\n", gitops.UnsupportedBundle},
		"empty filter":          {v3 + "@filter=\n" + ref + "\n", gitops.UnsupportedBundle},
		"capability twice":      {v3 + "@filter=blob:none\n@filter=tree:0\n\n", gitops.Corrupt},
		"capability in v2":      {v2 + "@object-format=sha1\n" + ref + "\n", gitops.Corrupt},
		"capability too late":   {v3 + ref + "@object-format=sha1\n\n", gitops.Corrupt},
		"prerequisite too late": {v2 + ref + "-" + idB + " \n\n", gitops.Corrupt},
		"short id":              {v2 + idA[1:] + " refs/heads/main\n\n", gitops.Corrupt},
		"long id":               {v2 + idA + "a refs/heads/main\n\n", gitops.Corrupt},
		"upper case":            {v2 + strings.ToUpper(idA) + " refs/heads/main\n\n", gitops.Corrupt},
		"bad prerequisite":      {v2 + "-xyz \n\n", gitops.Corrupt},
		"ref without name":      {v2 + idA + "\n\n", gitops.Corrupt},
		"ref twice":             {v2 + ref + idB + " refs/heads/main\n\n", gitops.Corrupt},
		"name outside refs":     {v2 + idA + " main\n\n", gitops.Corrupt},
		"name goes up":          {v2 + idA + " refs/heads/../../x\n\n", gitops.Corrupt},
		"name with a blank":     {v2 + idA + " refs/heads/a b\n\n", gitops.Corrupt},
		"name with an escape":   {v2 + idA + " refs/heads/\x1b[31m\n\n", gitops.Corrupt},
		"locked name":           {v2 + idA + " refs/heads/a.lock\n\n", gitops.Corrupt},
		"hidden name":           {v2 + idA + " refs/heads/.a\n\n", gitops.Corrupt},
		"empty part":            {v2 + idA + " refs/heads//a\n\n", gitops.Corrupt},
		"reflog name":           {v2 + idA + " refs/heads/a@{1}\n\n", gitops.Corrupt},
		"dot at the end":        {v2 + idA + " refs/heads/a.\n\n", gitops.Corrupt},
		"endless line":          {v2 + idA + " refs/heads/" + strings.Repeat("a", 6<<10), gitops.TooLarge},
		"endless refs":          {v2 + strings.Repeat("-"+idA+" \n", 200_000), gitops.TooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseHeader(test.text, 0)
			wantReason(t, err, test.want)
			if len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\x1b\x00") {
				t.Errorf("%q", err)
			}
		})
	}
}

func TestHeaderCutAtEveryByte(t *testing.T) {
	text := "# v3 git bundle\n@object-format=sha1\n-" + idB + " \n" + idA + " refs/heads/main\n\n"
	for n := range len(text) {
		_, _, err := parseHeader(text[:n], 0)
		if gitops.ReasonOf(err) != gitops.Corrupt || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, _, err := parseHeader(text, int64(len(text)-len("# v3 git bundle\n"))); err == nil {
		t.Error("no limit")
	}
	// What the medium says is not hidden.
	broken := errors.New("bad sector")
	_, err := bundle.ReadHeader(bufio.NewReader(io.MultiReader(strings.NewReader(text[:40]), iotest.ErrReader(broken))), 0)
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestHeaderIsReadByGitAsWritten(t *testing.T) {
	r := newRepo(t)
	id := r.commit("a", "1")
	next := r.commit("a", "2")
	pack := gitPack(t, r)
	for _, version := range []int{2, 3} {
		h := bundle.Header{Version: version, Prerequisites: []gitops.Hash{id}, Refs: []bundle.Ref{{"refs/heads/main", next}}}
		var text bytes.Buffer
		if err := h.Write(&text); err != nil {
			t.Fatal(err)
		}
		got, _, err := parseHeader(text.String(), 0)
		if diff := cmp.Diff(h, got); err != nil || diff != "" {
			t.Errorf("read back: %v (-want +got):\n%s", err, diff)
		}
		name := filepath.Join(t.TempDir(), "x.bundle")
		if err := os.WriteFile(name, append(text.Bytes(), pack...), 0o644); err != nil {
			t.Fatal(err)
		}
		r.git("bundle", "verify", name)
		if got := r.git("bundle", "list-heads", name); got != string(next)+" refs/heads/main" {
			t.Errorf("git reads %q", got)
		}
		// And the other way round.
		r.git("bundle", "create", "-q", "--version="+string(rune('0'+version)), name, "main~1..main")
		got = readHeader(t, name)
		if diff := cmp.Diff(h, got); diff != "" {
			t.Errorf("git's own header (-want +got):\n%s", diff)
		}
	}
}

// gitPack is a pack of everything.
func gitPack(t *testing.T, r *repo) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "all.bundle")
	r.git("bundle", "create", "-q", name, "main")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content[bytes.Index(content, []byte("PACK")):]
}

func TestHeadersThatAreNotWritten(t *testing.T) {
	for name, h := range map[string]bundle.Header{
		"no version":          {},
		"filter in version 2": {Version: 2, Filter: "blob:none"},
		"ref with a newline":  {Version: 2, Refs: []bundle.Ref{{"refs/heads/a\n", gitops.Hash(idA)}}},
		"ref without id":      {Version: 2, Refs: []bundle.Ref{{"refs/heads/a", ""}}},
	} {
		if err := h.Write(io.Discard); err == nil {
			t.Errorf("%s: was written", name)
		}
	}
}

// Whatever comes, it is refused with a reason, or is the same when written and
// read again.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("# v2 git bundle\n-" + idB + " why\n" + idA + " refs/heads/main\n\nPACK"))
	f.Add([]byte("# v3 git bundle\n@object-format=sha1\n@filter=tree:0\n" + idA + " HEAD\n\nPACK"))
	f.Add([]byte("# v3 git bundle\n@object-format=sha256\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := bundle.ReadHeader(bufio.NewReader(bytes.NewReader(text)), 64<<10)
		if err != nil {
			if gitops.ReasonOf(err) == "" {
				t.Fatalf("no reason: %v", err)
			}
			return
		}
		var again bytes.Buffer
		if err := h.Write(&again); err != nil {
			t.Fatalf("%+v cannot be written: %v", h, err)
		}
		got, err := bundle.ReadHeader(bufio.NewReader(&again), 0)
		if diff := cmp.Diff(h, got); err != nil || diff != "" {
			t.Fatalf("read back: %v (-want +got):\n%s", err, diff)
		}
	})
}
