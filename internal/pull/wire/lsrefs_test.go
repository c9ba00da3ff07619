// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

const (
	idA = "1111111111111111111111111111111111111111"
	idB = "2222222222222222222222222222222222222222"
)

// A poll is this request with its answer: each byte counts.
func TestAPollAsksInFewBytes(t *testing.T) {
	cases := []struct {
		prefixes []string
		want     string
	}{
		{[]string{"refs/heads/main"}, "0014command=ls-refs\n0001001fref-prefix refs/heads/main\n0000"},
		{[]string{"refs/tags/v"}, "0014command=ls-refs\n00010009peel\n001bref-prefix refs/tags/v\n0000"},
		{[]string{"refs/heads/main", "refs/edgeagent/"}, "0014command=ls-refs\n0001001fref-prefix refs/heads/main\n001fref-prefix refs/edgeagent/\n0000"},
		{[]string{"refs/"}, "0014command=ls-refs\n00010009peel\n0015ref-prefix refs/\n0000"},
		{nil, "0014command=ls-refs\n00010009peel\n0000"},
	}
	for _, c := range cases {
		if got, err := wire.LsRefsRequest(c.prefixes); err != nil || string(got) != c.want {
			t.Errorf("%q: %q, %v", c.prefixes, got, err)
		}
	}
	for _, bad := range []string{"refs/heads/a b", "refs/heads/\n0000", "refs/heads/\x00", "refs/*", strings.Repeat("x", 5000)} {
		if req, err := wire.LsRefsRequest([]string{bad}); err == nil {
			t.Errorf("%.20q is asked for: %q", bad, req)
		}
	}
}

func TestRefsOfGit(t *testing.T) {
	f := newFleet(t)
	// More refs than a buffer holds, and names that a prefix must not match.
	var more strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&more, "create refs/heads/many/branch-%04d %s\n", i, f.hash("main"))
	}
	fmt.Fprintf(&more, "create refs/heads/mainly %s\ncreate refs/heads/größe %s\n", f.hash("older"), f.hash("older"))
	f.git(more.String(), "-C", f.dir, "update-ref", "--stdin")
	for _, packed := range []bool{false, true} {
		if packed {
			f.git("", "-C", f.dir, "pack-refs", "--all")
		}
		for _, prefixes := range [][]string{
			{"refs/heads/main"}, {"refs/tags/"}, {"refs/heads/", "refs/tags/v1"}, {"refs/heads/none"}, {"HEAD"}, nil,
		} {
			req, err := wire.LsRefsRequest(prefixes)
			if err != nil {
				t.Fatal(err)
			}
			answer := f.uploadPack(2, req)
			got, err := wire.ReadLsRefs(bytes.NewReader(answer), prefixes, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if want := f.refs(prefixes); !reflect.DeepEqual(got.List, want) || got.Shallow {
				t.Errorf("%q: got %d refs, want %d: %.300v", prefixes, len(got.List), len(want), got.List)
			}
		}
	}
}

// refs are what Git itself lists, HEAD first.
func (f fleet) refs(prefixes []string) []wire.Ref {
	var list []wire.Ref
	all := "HEAD " + string(f.hash("HEAD")) + " \n" +
		f.git("", "-C", f.dir, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)") + "\n"
	for l := range strings.Lines(all) {
		part := strings.Split(strings.TrimSuffix(l, "\n"), " ")
		asked := len(prefixes) == 0
		for _, p := range prefixes {
			asked = asked || strings.HasPrefix(part[0], p)
		}
		if asked {
			list = append(list, wire.Ref{Name: part[0], ID: gitops.Hash(part[1]), Peeled: gitops.Hash(part[2])})
		}
	}
	return list
}

func TestAnEmptyRepositoryHasNoRefs(t *testing.T) {
	f := fleet{t, t.TempDir()}
	f.git("", "init", "-q", "--bare", f.dir)
	req, err := wire.LsRefsRequest([]string{"refs/heads/main"})
	if err != nil {
		t.Fatal(err)
	}
	refs, err := wire.ReadLsRefs(bytes.NewReader(f.uploadPack(2, req)), nil, 1<<20)
	if err != nil || len(refs.List) != 0 {
		t.Errorf("%v, %v", refs, err)
	}
}

func TestASHA256RepositoryIsNamed(t *testing.T) {
	f := fleet{t, t.TempDir()}
	f.git("", "init", "-q", "--bare", "--object-format=sha256", f.dir)
	tree := f.git("", "-C", f.dir, "mktree")
	commit := f.git("", "-C", f.dir, "commit-tree", "-m", "x", tree)
	f.git("", "-C", f.dir, "update-ref", "refs/heads/main", commit)
	for version := range 3 {
		_, _, err := wire.ReadAbilities(bytes.NewReader(f.advertisement(version)), nil, 1<<20)
		wantProtocolReason(t, err, gitops.UnsupportedServer)
		if !strings.Contains(err.Error(), "SHA-256") {
			t.Error(err)
		}
	}
}

func TestRefsThatAreRead(t *testing.T) {
	cases := []struct {
		name     string
		lines    []string
		prefixes []string
		want     []wire.Ref
	}{
		{name: "attributes", lines: []string{idA + " HEAD symref-target:refs/heads/main", idA + " refs/tags/v1 new-thing:x peeled:" + idB + " other"},
			want: []wire.Ref{{Name: "HEAD", ID: idA}, {Name: "refs/tags/v1", ID: idA, Peeled: idB}}},
		{name: "unborn", lines: []string{"unborn HEAD symref-target:refs/heads/main", idA + " refs/heads/x"},
			want: []wire.Ref{{Name: "refs/heads/x", ID: idA}}},
		{name: "more than asked", lines: []string{idA + " refs/heads/main", idB + " refs/pull/1/head", idB + " refs/heads/mai"}, prefixes: []string{"refs/heads/main"},
			want: []wire.Ref{{Name: "refs/heads/main", ID: idA}}},
		{name: "odd names that nobody asked for", lines: []string{idB + " refs/heads/..", idB + " refs/heads/..", idA + " refs/heads/main"}, prefixes: []string{"refs/heads/main"},
			want: []wire.Ref{{Name: "refs/heads/main", ID: idA}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			refs, err := wire.ReadLsRefs(strings.NewReader(frames(c.lines)+"0000"), c.prefixes, 1<<20)
			if err != nil || !reflect.DeepEqual(refs.List, c.want) {
				t.Errorf("%v, %v", refs.List, err)
			}
		})
	}
}

func frames(lines []string) string {
	var s strings.Builder
	for _, l := range lines {
		s.WriteString(frame(l + "\n"))
	}
	return s.String()
}

func TestRefsThatAreRefused(t *testing.T) {
	good := frame(idA + " refs/heads/main\n")
	cases := []struct {
		name, in string
		reason   gitops.Reason
		text     string
	}{
		{name: "not pkt-lines", in: "zzzz", reason: gitops.NotGit},
		{name: "no id", in: frame("refs/heads/main"), reason: gitops.NotGit},
		{name: "an empty line", in: "0004", reason: gitops.NotGit},
		{name: "a short id", in: frame(idA[:39] + " refs/heads/main"), reason: gitops.NotGit},
		{name: "an upper-case id", in: frame(strings.Repeat("A", 40) + " refs/heads/main"), reason: gitops.NotGit},
		{name: "the id of nothing", in: frame(strings.Repeat("0", 40) + " refs/heads/main"), reason: gitops.NotGit},
		{name: "a SHA-256 id", in: frame(strings.Repeat("a", 64) + " refs/heads/main"), reason: gitops.UnsupportedServer, text: "SHA-256"},
		{name: "64 letters that are no id", in: frame(strings.Repeat("z", 64) + " refs/heads/main"), reason: gitops.NotGit},
		{name: "twice", in: good + good + "0000", reason: gitops.NotGit, text: "twice"},
		{name: "peeled to no id", in: frame(idA + " refs/tags/v1 peeled:x"), reason: gitops.NotGit},
		{name: "peeled twice", in: frame(idA + " refs/tags/v1 peeled:" + idA + " peeled:" + idB), reason: gitops.NotGit, text: "twice"},
		{name: "a delimiter", in: good + "0001", reason: gitops.NotGit, text: "a mark"},
		{name: "the end of an answer", in: good + "0002", reason: gitops.NotGit, text: "a mark"},
		{name: "an error", in: good + frame("ERR out of disk"), reason: gitops.ServerError, text: "out of disk"},
		{name: "no name", in: frame(idA + " "), reason: gitops.NotGit},
		{name: "an id alone", in: frame(idA), reason: gitops.NotGit},
	}
	for _, name := range []string{"refs/heads/../x", "refs/heads/.x", "refs/heads/x.lock", "refs/heads/x.lock/y", "refs//x", "refs/heads/", "refs/heads/x.",
		"refs/heads/a^b", "refs/heads/a~1", "refs/heads/a:b", "refs/heads/a?", "refs/heads/a*", "refs/heads/a[b", `refs/heads/a\b`, "refs/heads/a@{1}",
		"refs/heads/a\tb", "refs/heads/a\x7fb", "refs/heads/a\x00b", "refs/heads/a\xffb", "refs/heads/a\u202eb", "main", "../HEAD", "refs/" + strings.Repeat("x", 5000)} {
		cases = append(cases, struct {
			name, in string
			reason   gitops.Reason
			text     string
		}{name: fmt.Sprintf("%.30q", name), in: frame(idA+" "+name) + "0000", reason: gitops.NotGit, text: "not the name"})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			refs, err := wire.ReadLsRefs(strings.NewReader(c.in), nil, 1<<20)
			wantProtocolReason(t, err, c.reason)
			if refs.List != nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, %v", refs, err)
			}
		})
	}
}

// What Git accepts as a branch is accepted here, and the other way round.
func TestNamesOfRefsAreGits(t *testing.T) {
	f := fleet{t: t}
	for _, name := range []string{"refs/heads/main", "refs/heads/-x", "refs/heads/a.b", "refs/heads/@", "refs/heads/a@b", "refs/heads/größe", "refs/x", "refs/tags/v1.0.0+meta"} {
		f.git("", "check-ref-format", name)
		if !wire.IsRefName(name) {
			t.Errorf("%q is not accepted", name)
		}
	}
}

func TestRefsAreBounded(t *testing.T) {
	many := func() io.Reader {
		r, w := io.Pipe()
		go func() {
			for i := 0; ; i++ {
				if _, err := io.WriteString(w, frame(fmt.Sprintf("%s refs/heads/b%d\n", idA, i))); err != nil {
					return
				}
			}
		}()
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	_, err := wire.ReadLsRefs(many(), nil, 1<<20)
	wantProtocolReason(t, err, gitops.TooLarge)
	// Refs that nobody asked for count too.
	_, err = wire.ReadLsRefs(many(), []string{"refs/tags/"}, 1<<20)
	wantProtocolReason(t, err, gitops.TooLarge)
}

func TestRefsAreCut(t *testing.T) {
	f := newFleet(t)
	req, err := wire.LsRefsRequest(nil)
	if err != nil {
		t.Fatal(err)
	}
	cutEverywhere(t, f.uploadPack(2, req), func(r io.Reader) error {
		_, err := wire.ReadLsRefs(r, nil, 1<<20)
		return err
	})
}
