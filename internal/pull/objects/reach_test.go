// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

func TestReach(t *testing.T) {
	y := newStory()
	y.commit("a")
	y.commit("b", "a")
	y.commit("c", "b")
	y.add("tag", tagType, []byte("object "+string(y.ids["c"])+"\ntype commit\ntag v1\n\nx\n"))
	y.commit("side")
	trusted := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, n, n+" tree", n+" trust", n+" keys", n+" key")
		}
		return out
	}
	cases := map[string]struct {
		tips, until, whole []string
		without            []string
		want               []string
		missing            string // in the error
	}{
		"all":              {tips: []string{"tag"}, whole: []string{"c"}, want: append(trusted("a", "b", "c"), "tag", "c file")},
		"not past the end": {tips: []string{"c"}, until: []string{"b"}, want: trusted("b", "c")},
		"two tips":         {tips: []string{"c", "side"}, until: []string{"b", "side"}, want: trusted("b", "c", "side")},
		"whole and no tip": {whole: []string{"tag"}, want: append(trusted("c"), "tag", "c file")},
		"what is below the end is not needed": {tips: []string{"c"}, until: []string{"b"}, without: []string{"a", "a tree", "c file"},
			want: trusted("b", "c")},
		"a file is missing":   {tips: []string{"c"}, whole: []string{"c"}, without: []string{"c file"}, missing: "blob a.yaml,"},
		"a tree is missing":   {tips: []string{"c"}, without: []string{"b tree"}, missing: "tree "},
		"a commit is missing": {tips: []string{"c"}, without: []string{"b"}, missing: "commit "},
		"the tip is missing":  {tips: []string{"c"}, without: []string{"c"}, missing: "object "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := y.store(t, c.without...)
			got, err := s.Reach(t.Context(), y.hashes(c.tips...), y.hashes(c.until...), y.hashes(c.whole...))
			if c.missing != "" {
				wantReason(t, err, gitops.Incomplete)
				if !strings.Contains(err.Error(), c.missing) {
					t.Errorf("%v does not say %q", err, c.missing)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, h := range got {
				names = append(names, y.names[h])
			}
			slices.Sort(names)
			slices.Sort(c.want)
			if !slices.Equal(names, c.want) {
				t.Errorf("%q\nwant %q", names, c.want)
			}
		})
	}
}

// TestGitReadsOurPacks: what is written is read by Git, strictly, and by us.
func TestGitReadsOurPacks(t *testing.T) {
	r := newGitRepo(t)
	r.write("empty", "")
	r.write("large", text(1, 70_000))
	r.write(".edgeagent/keys", "key")
	first := r.commit("first")
	r.write("dir/file", strings.Repeat("line\n", 5000))
	r.commit("second")
	r.git("", "tag", "-a", "-m", "one", "v1")
	tag := gitops.Hash(r.git("", "rev-parse", "v1"))
	s, _ := open(t, objects.Options{})
	arriveBytes(t, s, r.pack("v1"))
	list, err := s.Reach(t.Context(), []gitops.Hash{tag}, nil, []gitops.Hash{tag, first})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Pack(t.Context(), &b, list); err != nil {
		t.Fatal(err)
	}
	other := newGitRepo(t)
	other.git(b.String(), "index-pack", "--stdin", "--strict", "--fsck-objects")
	other.git("", "update-ref", "refs/tags/v1", string(tag))
	other.git("", "fsck", "--strict", "--full")
	if got, want := len(other.ids("v1")), len(r.ids("v1")); got != want || got != len(list) {
		t.Errorf("%d objects arrived, want %d; %d were listed", got, want, len(list))
	}
	again, _ := open(t, objects.Options{})
	arriveBytes(t, again, b.Bytes())
	if !whole(t, again, tag) {
		t.Error("not whole after our own pack")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("no space left")

func TestPackFailures(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	head := p.revision("x")
	arrive(t, s, p)
	if err := s.Pack(t.Context(), full{}, []gitops.Hash{head}); !errors.Is(err, errFull) {
		t.Error(err)
	}
	wantReason(t, s.Pack(t.Context(), &bytes.Buffer{}, []gitops.Hash{gitops.Hash(strings.Repeat("d", 40))}), gitops.Incomplete)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Pack(ctx, &bytes.Buffer{}, []gitops.Hash{head}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRefs(t *testing.T) {
	s, _ := open(t, objects.Options{})
	p := newPack()
	a, b, c := p.revision("a"), p.revision("b"), p.revision("c")
	none := gitops.Hash(strings.Repeat("d", 40))
	arrive(t, s, p)
	if h, ok, err := s.Head(t.Context(), "fleet"); h != "" || ok || err != nil {
		t.Error(h, ok, err)
	}
	wantReason(t, s.Advance(t.Context(), "fleet", a), gitops.Incomplete) // nobody walked it
	advance(t, s, "fleet", a)
	advance(t, s, "other", b)
	advance(t, s, "fleet", c)
	if h, ok, err := s.Head(t.Context(), "fleet"); h != c || !ok || err != nil {
		t.Error(h, ok, err)
	}
	if err := s.Retain(t.Context(), "fleet", []gitops.Hash{a, a, b, none}); err != nil {
		t.Fatal(err)
	}
	carried := map[string]gitops.Hash{"refs/edgeagent/x": a, "refs/edgeagent/y": c}
	if err := s.Carry(t.Context(), "fleet", carried); err != nil {
		t.Fatal(err)
	}
	wantReason(t, s.Carry(t.Context(), "fleet", map[string]gitops.Hash{"refs/edgeagent/x": none}), gitops.Incomplete)
	check := func(source string, want map[string]gitops.Hash) {
		t.Helper()
		if got, err := s.Carried(t.Context(), source); fmt.Sprint(got) != fmt.Sprint(want) || err != nil {
			t.Errorf("%s carries %v, %v", source, got, err)
		}
	}
	check("fleet", carried)
	check("other", nil)
	heads, err := s.Heads(t.Context())
	slices.Sort(heads)
	want := []gitops.Hash{a, b, c}
	slices.Sort(want)
	if !slices.Equal(heads, want) || err != nil {
		t.Errorf("heads %v, want %v: %v", heads, want, err)
	}
	moved := map[string]gitops.Hash{"refs/edgeagent/x": b}
	if err := s.Carry(t.Context(), "fleet", moved); err != nil {
		t.Fatal(err)
	}
	check("fleet", moved)
	if err := s.Retain(t.Context(), "fleet", nil); err != nil {
		t.Fatal(err)
	}
	check("fleet", moved)
	if heads, err := s.Heads(t.Context()); len(heads) != 2 || err != nil {
		t.Errorf("heads %v, %v", heads, err)
	}
	if lost, err := s.Absent(t.Context(), []gitops.Hash{none, a, c}); !slices.Equal(lost, []gitops.Hash{none}) || err != nil {
		t.Error(lost, err)
	}
	if err := s.Remove(t.Context(), "fleet"); err != nil {
		t.Fatal(err)
	}
	check("fleet", nil)
}
