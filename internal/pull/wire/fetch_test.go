// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

func TestAFetchAsksInFewBytes(t *testing.T) {
	const flags = "000ethin-pack\n000eofs-delta\n0010no-progress\n"
	want := "0032want " + idA + "\n"
	cases := []struct {
		name  string
		r     wire.Request
		can   wire.Abilities
		agent string
		want  string
	}{
		{name: "a want", r: wire.Request{Wants: []gitops.Hash{idA}}, can: wire.V2,
			want: "0012command=fetch\n0001" + flags + want + "0009done\n0000"},
		{name: "everything", r: wire.Request{Wants: []gitops.Hash{idA, idB}, Haves: []gitops.Hash{idB}, Filter: "tree:1", Depth: 1}, can: wire.OfferingAll, agent: "edgeagent/1",
			want: "0012command=fetch\n0016agent=edgeagent/1\n0001" + flags + "0012filter tree:1\n000ddeepen 1\n" +
				want + "0032want " + idB + "\n0032have " + idB + "\n0009done\n0000"},
		{name: "a ref", r: wire.Request{WantRefs: []string{"refs/heads/main"}}, can: wire.OfferingAll,
			want: "0012command=fetch\n0001" + flags + "001dwant-ref refs/heads/main\n0009done\n0000"},
		{name: "what is not offered is left out", r: wire.Request{Wants: []gitops.Hash{idA}, Filter: "tree:1", Depth: 1}, can: wire.V2, agent: "edgeagent/1",
			want: "0012command=fetch\n0001" + flags + want + "0009done\n0000"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, err := wire.FetchRequest(c.r, c.can, c.agent); err != nil || string(got) != c.want {
				t.Errorf("\n%q, want\n%q (%v)", got, c.want, err)
			}
		})
	}
}

func TestARequestIsBounded(t *testing.T) {
	r := wire.Request{Wants: []gitops.Hash{idA}}
	for i := range 1000 {
		r.Haves = append(r.Haves, gitops.Hash(fmt.Sprintf("%040x", i)))
	}
	for name, write := range writers {
		req, err := write(r, wire.OldButSideband, "")
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(req, []byte("have ")); n != wire.MaxHaves {
			t.Errorf("%s: %d haves", name, n)
		}
		if !bytes.Contains(req, []byte("have "+string(r.Haves[0]))) {
			t.Errorf("%s: the first have, the best known one, is left out", name)
		}
	}
}

var writers = map[string]func(wire.Request, wire.Abilities, string) ([]byte, error){
	"v2": wire.FetchRequest, "v0": wire.V0Request,
}

func TestARequestThatNobodyCanAnswerIsNotSent(t *testing.T) {
	ids := func(ids ...gitops.Hash) []gitops.Hash { return ids }
	for name, r := range map[string]wire.Request{
		"no want":              {Haves: ids(idA)},
		"a want that is no id": {Wants: ids(idA, "main")},
		"a have that is no id": {Wants: ids(idA), Haves: ids("\n0000")},
		"no filter":            {Wants: ids(idA), Filter: "tree:1\n0000"},
		"a filter of more":     {Wants: ids(idA), Filter: "sparse:oid=" + idA},
		"a depth below zero":   {Wants: ids(idA), Depth: -1},
		"a ref that is none":   {WantRefs: []string{"refs/heads/\n0000"}},
	} {
		for version, write := range writers {
			if req, err := write(r, wire.OldButSideband, ""); gitops.ReasonOf(err) != gitops.BadRequest {
				t.Errorf("%s, %s: %q, %v", name, version, req, err)
			}
		}
	}
}

// fetch asks upload-pack, and returns the pack.
func (f fleet) fetch(r wire.Request) ([]byte, *wire.Pack) {
	f.t.Helper()
	a := f.abilities()
	req, err := wire.FetchRequest(r, a, "edgeagent/test")
	if err != nil {
		f.t.Fatal(err)
	}
	pack, err := wire.NewPack(bytes.NewReader(f.uploadPack(2, req)), a, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	content, err := io.ReadAll(pack)
	if err != nil {
		f.t.Fatal(err)
	}
	return content, pack
}

func ids(list ...gitops.Hash) []gitops.Hash { return list }

func TestPacksOfGit(t *testing.T) {
	plain := newFleet(t)
	shapes := []struct {
		name  string
		shape func(f fleet)
	}{
		{"packed with deltas", func(f fleet) { f.git("", "-C", f.dir, "repack", "-adfq", "--depth=50") }},
		{"loose", fleet.loosen},
		{"with bitmaps", func(f fleet) { f.git("", "-C", f.dir, "repack", "-adbq") }},
		{"with a commit-graph", func(f fleet) {
			f.git("", "-C", f.dir, "commit-graph", "write", "--reachable", "--changed-paths")
		}},
		{"with bitmaps and a commit-graph", func(f fleet) {
			f.git("", "-C", f.dir, "repack", "-adbq")
			f.git("", "-C", f.dir, "commit-graph", "write", "--reachable")
		}},
	}
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			f := fleet{t, t.TempDir()}
			f.git("", "clone", "-q", "--mirror", "--no-local", plain.dir, f.dir)
			f.git("", "-C", f.dir, "config", "uploadpack.allowFilter", "true")
			s.shape(f)
			packsOf(t, f)
		})
	}
}

// loosen unpacks everything.
func (f fleet) loosen() {
	f.t.Helper()
	names, err := os.ReadDir(f.dir + "/objects/pack")
	if err != nil {
		f.t.Fatal(err)
	}
	aside := f.t.TempDir()
	for _, n := range names {
		if err := os.Rename(f.dir+"/objects/pack/"+n.Name(), aside+"/"+n.Name()); err != nil {
			f.t.Fatal(err)
		}
		if strings.HasSuffix(n.Name(), ".pack") {
			content, err := os.ReadFile(aside + "/" + n.Name())
			if err != nil {
				f.t.Fatal(err)
			}
			f.git(string(content), "-C", f.dir, "unpack-objects", "-q")
		}
	}
}

func packsOf(t *testing.T, f fleet) {
	head, older := f.hash("main"), f.hash("older")
	tree, blob := f.hash("main:clusters/north"), f.hash("main:.edgeagent/policy.yaml")
	cases := []struct {
		name    string
		r       wire.Request
		list    []string // as rev-list names the same objects
		less    bool     // it must not hold everything below the wants
		exactly []gitops.Hash
	}{
		{name: "everything", r: wire.Request{Wants: ids(head)}, list: []string{"main"}},
		{name: "with a tag", r: wire.Request{Wants: ids(f.hash("v1.0.0"))}, list: []string{"v1.0.0"}},
		{name: "commits alone", r: wire.Request{Wants: ids(head), Filter: "tree:0"}, list: []string{"--filter=tree:0", "main"}, less: true},
		{name: "with root trees", r: wire.Request{Wants: ids(head), Filter: "tree:1"}, list: []string{"--filter=tree:1", "main"}, less: true},
		{name: "with what is in root trees", r: wire.Request{Wants: ids(head), Filter: "tree:2"}, list: []string{"--filter=tree:2", "main"}, less: true},
		{name: "everything by a filter", r: wire.Request{Wants: ids(head), Filter: wire.WholeTrees}, list: []string{"main"}},
		{name: "without blobs", r: wire.Request{Wants: ids(head), Filter: "blob:none"}, list: []string{"--filter=blob:none", "main"}, less: true},
		{name: "what is new", r: wire.Request{Wants: ids(head), Haves: ids(older)}, list: []string{"main", "^older"}},
		{name: "commits that are new", r: wire.Request{Wants: ids(head), Haves: ids(older), Filter: "tree:1"}, list: []string{"--filter=tree:1", "main", "^older"}, less: true},
		{name: "a have that the server lacks", r: wire.Request{Wants: ids(head), Haves: ids(idA)}, list: []string{"main"}},
		{name: "a blob", r: wire.Request{Wants: ids(blob)}, list: []string{string(blob)}},
		{name: "a tree with all below it", r: wire.Request{Wants: ids(tree)}, list: []string{string(tree)}},
		// A tree that is wanted itself is not counted: tree:0 brings it alone, where
		// of a commit that brings no tree.
		{name: "a tree alone", r: wire.Request{Wants: ids(tree), Filter: "tree:0"}, list: []string{"--filter=tree:0", string(tree)}, less: true, exactly: ids(tree)},
		{name: "a tree and what it lists", r: wire.Request{Wants: ids(tree), Filter: "tree:1"}, list: []string{"--filter=tree:1", string(tree)}, less: true, exactly: ids(tree, f.hash("main:clusters/north/node1"))},
		{name: "trees and blobs", r: wire.Request{Wants: ids(tree, blob), Filter: "tree:0"}, list: []string{"--filter=tree:0", string(tree), string(blob)}, exactly: ids(tree, blob)},
		{name: "commits, trees and blobs", r: wire.Request{Wants: ids(head, tree, blob), Filter: "tree:0"}, list: []string{"--filter=tree:0", "main", string(tree), string(blob)}, less: true},
		{name: "a blob whatever is filtered", r: wire.Request{Wants: ids(blob), Filter: "blob:none"}, list: []string{string(blob)}},
		{name: "the last commit", r: wire.Request{Wants: ids(head), Depth: 1, Filter: "tree:0"}, list: []string{"--filter=tree:0", "-1", "main"}, less: true},
		{name: "three commits", r: wire.Request{Wants: ids(head), Depth: 3}, list: []string{"-3", "main"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := fleet{t, f.dir}
			content, pack := f.fetch(c.r)
			if got, want := f.unpack(content), f.objects(c.list...); !slices.Equal(got, want) {
				t.Errorf("the pack has %d objects, rev-list %d", len(got), len(want))
			} else if c.less && len(got) >= len(f.objects(string(c.r.Wants[0]))) {
				t.Errorf("%d objects: nothing was left out", len(got))
			}
			for _, id := range c.exactly {
				if list := f.unpack(content); !slices.Contains(list, string(id)) || len(list) != len(c.exactly) {
					t.Errorf("the pack has %v, want %v", list, c.exactly)
				}
			}
			var shallow []gitops.Hash
			if c.r.Depth > 0 {
				shallow = ids(f.hash(fmt.Sprintf("main~%d", c.r.Depth-1)))
			}
			if !slices.Equal(pack.Shallow, shallow) {
				t.Errorf("shallow %v, want %v", pack.Shallow, shallow)
			}
		})
	}
}

// Without the setting Git offers no filter, and refuses one: it must not be sent.
func TestAServerWithoutFilter(t *testing.T) {
	for name, set := range map[string][]string{
		"unset": {"--unset", "uploadpack.allowFilter"}, "false": {"uploadpack.allowFilter", "false"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.git("", append([]string{"-C", f.dir, "config"}, set...)...)
			if f.abilities().Filter() {
				t.Fatal("a filter is offered")
			}
			content, _ := f.fetch(wire.Request{Wants: ids(f.hash("main")), Filter: "tree:0"})
			if got, want := f.unpack(content), f.objects("main"); !slices.Equal(got, want) {
				t.Errorf("the pack has %d objects, want all %d", len(got), len(want))
			}
		})
	}
}

// A thin pack of a small change is small: it deltas against what the have has.
func TestAnIncrementalPackIsThin(t *testing.T) {
	f := newFleet(t)
	content, _ := f.fetch(wire.Request{Wants: ids(f.hash("main")), Haves: ids(f.hash("main~1"))})
	whole, _ := f.fetch(wire.Request{Wants: ids(f.hash("main"))})
	if len(content) > 1500 || len(whole) < 200_000 {
		t.Errorf("%d bytes, whole %d", len(content), len(whole))
	}
	bare := fleet{t, t.TempDir()}
	bare.git("", "init", "-q", "--bare", bare.dir)
	cmd := exec.Command("git", "-C", bare.dir, "index-pack", "--stdin")
	cmd.Env, cmd.Stdin = cleanEnv(), bytes.NewReader(content)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "unresolved delta") {
		t.Errorf("the pack is not thin: %v, %s", err, out)
	}
}

func TestWhatTheServerLacksIsNamed(t *testing.T) {
	f := newFleet(t)
	a := f.abilities()
	req, err := wire.FetchRequest(wire.Request{Wants: ids(idA)}, a, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = wire.NewPack(bytes.NewReader(f.uploadPack(2, req)), a, 0)
	wantProtocolReason(t, err, gitops.RefMissing)
	if !strings.Contains(err.Error(), idA) {
		t.Error(err)
	}
}

func TestAShallowServerIsNoticed(t *testing.T) {
	full := newFleet(t)
	f := fleet{t, t.TempDir()}
	f.git("", "clone", "-q", "--bare", "--depth=4", "file://"+full.dir, f.dir)
	content, pack := f.fetch(wire.Request{Wants: ids(f.hash("main"))})
	if want := ids(full.hash("main~3")); !slices.Equal(pack.Shallow, want) {
		t.Errorf("shallow %v, want %v", pack.Shallow, want)
	}
	if want := f.objects("main"); binary.BigEndian.Uint32(content[8:]) != uint32(len(want)) {
		t.Errorf("the pack has %d objects, want %d", binary.BigEndian.Uint32(content[8:]), len(want))
	}
}

// A ref that is asked for by its name cannot move between two requests.
func TestRefsAreWantedByName(t *testing.T) {
	f := newFleet(t)
	names := []string{"refs/heads/main", "refs/tags/v1.0.0"}
	for version, write := range writers {
		_, err := write(wire.Request{WantRefs: names}, wire.OldButSideband, "")
		if wantProtocolReason(t, err, gitops.UnsupportedServer); !strings.Contains(err.Error(), "allowRefInWant") {
			t.Errorf("%s: %v", version, err)
		}
	}
	f.git("", "-C", f.dir, "config", "uploadpack.allowRefInWant", "true")
	for _, depth := range []int{0, 1} {
		r := wire.Request{WantRefs: names, Depth: depth, Filter: "tree:0"}
		content, pack := f.fetch(r)
		want := []wire.Ref{{Name: names[0], ID: f.hash(names[0])}, {Name: names[1], ID: f.hash(names[1])}}
		if !slices.Equal(pack.Wanted, want) || depth > 0 && len(pack.Shallow) == 0 {
			t.Errorf("wanted %v, shallow %v", pack.Wanted, pack.Shallow)
		}
		if len(f.unpack(content)) < 3 {
			t.Error("the pack lacks the commits")
		}
		if err := pack.Answers(r); err != nil {
			t.Error(err)
		}
		for name, other := range map[string][]string{"less": names[:1], "other": {names[0], "refs/heads/older"}, "none": nil} {
			if err := pack.Answers(wire.Request{WantRefs: other}); gitops.ReasonOf(err) != gitops.ServerError {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	req, err := wire.FetchRequest(wire.Request{WantRefs: []string{"refs/heads/gone"}}, f.abilities(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = wire.NewPack(bytes.NewReader(f.uploadPack(2, req)), wire.V2, 0)
	wantProtocolReason(t, err, gitops.RefMissing)
}

// On an SSH session one upload-pack answers one request after the other.
func TestOneSessionServesManyRequests(t *testing.T) {
	f := newFleet(t)
	cmd := exec.Command("git", "upload-pack", f.dir)
	cmd.Env = cleanEnv("GIT_PROTOCOL=version=2")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a, _, err := wire.ReadAbilities(out, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, filter := range []string{"tree:0", "tree:1", ""} {
		req, err := wire.LsRefsRequest([]string{"refs/heads/main"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(req); err != nil {
			t.Fatal(err)
		}
		refs, err := wire.ReadLsRefs(out, []string{"refs/heads/main"}, 1<<20)
		if err != nil || len(refs.List) != 1 {
			t.Fatal(refs, err)
		}
		if req, err = wire.FetchRequest(wire.Request{Wants: ids(refs.List[0].ID), Filter: filter}, a, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(req); err != nil {
			t.Fatal(err)
		}
		pack, err := wire.NewPack(out, a, 0)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(pack)
		if err != nil {
			t.Fatal(err)
		}
		list := []string{"main"}
		if filter != "" {
			list = append(list, "--filter="+filter)
		}
		if got, want := f.unpack(content), f.objects(list...); !slices.Equal(got, want) {
			t.Errorf("%q: the pack has %d objects, want %d", filter, len(got), len(want))
		}
	}
	if _, err := in.Write([]byte("0000")); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("%d bytes were left: %v", len(rest), err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
