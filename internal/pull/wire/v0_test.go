// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

func TestV0OfGit(t *testing.T) {
	f := newFleet(t)
	for version := range 2 {
		for _, prefixes := range [][]string{{"refs/heads/main"}, {"refs/tags/"}, {"refs/none"}, {"HEAD", "refs/heads/"}, nil} {
			a, refs, err := wire.ReadAbilities(bytes.NewReader(f.advertisement(version)), prefixes, 1<<20)
			if err != nil || refs == nil {
				t.Fatal(refs, err)
			}
			if a.Protocol() != 0 || a.Filter() || a.Shallow() || !strings.HasPrefix(a.Agent(), "git/") {
				t.Errorf("abilities: %+v", a)
			}
			if want := f.refs(prefixes); !reflect.DeepEqual(refs.List, want) || refs.Shallow {
				t.Errorf("%q: got %v, want %v", prefixes, refs.List, want)
			}
		}
	}
}

func TestV0PacksOfGit(t *testing.T) {
	f := newFleet(t)
	a, _, err := wire.ReadAbilities(bytes.NewReader(f.advertisement(0)), nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	head, tag, older := f.hash("main"), f.hash("v1.0.0"), f.hash("older")
	for name, c := range map[string]struct {
		r    wire.Request
		list []string
	}{
		"everything":                {wire.Request{Wants: ids(head)}, []string{"main"}},
		"what is new":               {wire.Request{Wants: ids(head, tag), Haves: ids(older, idA)}, []string{"main", "v1.0.0", "^older"}},
		"a filter and a depth more": {wire.Request{Wants: ids(head), Filter: "tree:0", Depth: 1}, []string{"main"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := fleet{t, f.dir}
			req, err := wire.V0Request(c.r, a, "edgeagent/test")
			if err != nil {
				t.Fatal(err)
			}
			content, _, err := readPack(bytes.NewReader(f.uploadPack(0, req)), a, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := f.unpack(content), f.objects(c.list...); !slices.Equal(got, want) {
				t.Errorf("the pack has %d objects, rev-list %d", len(got), len(want))
			}
		})
	}
	req, err := wire.V0Request(wire.Request{Wants: ids(idA)}, a, "")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = readPack(bytes.NewReader(f.uploadPack(0, req)), a, 0)
	wantProtocolReason(t, err, gitops.RefMissing)
}

func TestV0AsksInFewBytes(t *testing.T) {
	a, _, err := wire.ReadAbilities(strings.NewReader(frame(idA+" HEAD\x00side-band-64k thin-pack agent=git/1")+"0000"), nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.V0Request(wire.Request{Wants: ids(idA, idB), Haves: ids(idB)}, a, "edgeagent/1")
	want := "005cwant " + idA + " side-band-64k thin-pack agent=edgeagent/1\n0032want " + idB + "\n00000032have " + idB + "\n0009done\n"
	if err != nil || string(got) != want {
		t.Errorf("\n%q, want\n%q (%v)", got, want, err)
	}
	_, err = wire.V0Request(wire.Request{Wants: ids(idA)}, wire.V0, "")
	wantProtocolReason(t, err, gitops.UnsupportedServer)
}

func TestV0OfAnEmptyRepository(t *testing.T) {
	f := fleet{t, t.TempDir()}
	f.git("", "init", "-q", "--bare", f.dir)
	// Git says nothing at all, others have a line for their abilities.
	others := frame(strings.Repeat("0", 40)+" capabilities^{}\x00side-band-64k\n") + "0000"
	for _, in := range []string{string(f.advertisement(0)), others} {
		_, refs, err := wire.ReadAbilities(strings.NewReader(in), nil, 1<<20)
		if err != nil || refs == nil || len(refs.List) != 0 {
			t.Errorf("%q: %v, %v", in, refs, err)
		}
	}
}

func TestV0OfAShallowServer(t *testing.T) {
	full := newFleet(t)
	f := fleet{t, t.TempDir()}
	f.git("", "clone", "-q", "--bare", "--depth=4", "file://"+full.dir, f.dir)
	_, refs, err := wire.ReadAbilities(bytes.NewReader(f.advertisement(0)), []string{"refs/heads/"}, 1<<20)
	if err != nil || !refs.Shallow || len(refs.List) != 1 {
		t.Errorf("%+v, %v", refs, err)
	}
}

func TestV0RefsThatAreRefused(t *testing.T) {
	first := frame(idA + " HEAD\x00side-band-64k\n")
	cases := []struct {
		name, in string
		reason   gitops.Reason
		text     string
	}{
		{name: "not a ref", in: frame("hello\x00side-band-64k\n"), reason: gitops.NotGit},
		{name: "SHA-256", in: frame(strings.Repeat("a", 64)+" HEAD\x00x") + "0000", reason: gitops.UnsupportedServer, text: "SHA-256"},
		{name: "SHA-256 without a ref", in: frame(strings.Repeat("0", 64)+" capabilities^{}\x00object-format=sha256") + "0000", reason: gitops.UnsupportedServer, text: "SHA-256"},
		{name: "the id of nothing", in: frame(strings.Repeat("0", 40) + " HEAD\x00x"), reason: gitops.NotGit},
		{name: "no refs behind refs", in: first + frame(strings.Repeat("0", 40)+" capabilities^{}\n"), reason: gitops.NotGit},
		{name: "abilities twice", in: first + frame(idA+" refs/heads/x\x00side-band-64k\n"), reason: gitops.NotGit},
		{name: "an escape in an ability", in: frame(idA + " HEAD\x00agent=\x1b[2J\n"), reason: gitops.NotGit},
		{name: "too many abilities", in: frame(idA + " HEAD\x00" + strings.Repeat("x ", wire.MaxAbilities)), reason: gitops.NotGit},
		{name: "twice", in: first + frame(idA+" HEAD\n"), reason: gitops.NotGit, text: "twice"},
		{name: "a peeled tag without its tag", in: first + frame(idA+" refs/tags/v1^{}\n"), reason: gitops.NotGit, text: "peeled"},
		{name: "a tag peeled twice", in: first + frame(idA+" refs/tags/v1\n") + frame(idB+" refs/tags/v1^{}\n") + frame(idB+" refs/tags/v1^{}\n"), reason: gitops.NotGit, text: "peeled"},
		{name: "peeled to no id", in: first + frame(idA+" refs/tags/v1\n") + frame("x refs/tags/v1^{}\n"), reason: gitops.NotGit},
		{name: "shallow at no id", in: first + frame("shallow x\n"), reason: gitops.NotGit},
		{name: "a delimiter", in: first + "0001", reason: gitops.NotGit},
		{name: "an error", in: first + frame("ERR busy"), reason: gitops.ServerError, text: "busy"},
		{name: "a version behind a ref", in: first + frame("version 2\n"), reason: gitops.NotGit},
		{name: "not pkt-lines", in: first + "zzzz", reason: gitops.NotGit},
		{name: "endless", in: first + strings.Repeat(frame(idA+" refs/pull/1/head\n"), 100_000), reason: gitops.TooLarge},
	}
	for _, c := range cases {
		for service, before := range map[string]string{"": "", " behind the service": frame("# service=git-upload-pack\n") + "0000", " in v1": frame("version 1\n")} {
			t.Run(c.name+service, func(t *testing.T) {
				_, refs, err := wire.ReadAbilities(strings.NewReader(before+c.in), []string{"HEAD", "refs/heads/", "refs/tags/"}, 1<<20)
				wantProtocolReason(t, err, c.reason)
				if refs != nil || !strings.Contains(err.Error(), c.text) {
					t.Errorf("%v, %v", refs, err)
				}
			})
		}
	}
}

func TestV0AnswersAreCut(t *testing.T) {
	f := newFleet(t)
	a, _, err := wire.ReadAbilities(bytes.NewReader(f.advertisement(0)), nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	req, err := wire.V0Request(wire.Request{Wants: ids(f.hash("main")), Haves: ids(f.hash("main~1"))}, a, "")
	if err != nil {
		t.Fatal(err)
	}
	cutEverywhere(t, f.uploadPack(0, req), func(r io.Reader) error {
		_, _, err := readPack(r, a, 0)
		return err
	})
}
