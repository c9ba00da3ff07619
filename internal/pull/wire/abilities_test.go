// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// says is a v2 advertisement of these lines.
func saysV2(lines ...string) string {
	s := frame("version 2\n")
	for _, l := range lines {
		s += frame(l + "\n")
	}
	return s + "0000"
}

func TestAbilitiesOfGit(t *testing.T) {
	f := newFleet(t)
	a := f.abilities()
	if a.Protocol() != 2 || !a.Filter() || !a.Shallow() || a.RefInWant() || !strings.HasPrefix(a.Agent(), "git/") {
		t.Errorf("abilities: %+v", a)
	}
	f.git("", "-C", f.dir, "config", "--unset", "uploadpack.allowFilter")
	f.git("", "-C", f.dir, "config", "uploadpack.allowRefInWant", "true")
	if a := f.abilities(); a.Filter() || !a.RefInWant() {
		t.Errorf("abilities: %+v", a)
	}
}

func TestAbilitiesBehindTheNameOfTheService(t *testing.T) {
	f := newFleet(t)
	want := f.abilities()
	in := frame("# service=git-upload-pack\n") + "0000" + string(f.advertisement(2))
	got, refs, err := wire.ReadAbilities(strings.NewReader(in), nil, 1<<20)
	if err != nil || refs != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("abilities %+v, refs %v, error %v", got, refs, err)
	}
}

func TestAbilitiesOfOthers(t *testing.T) {
	cases := []struct {
		name    string
		said    []string
		filter  bool
		shallow bool
	}{
		{name: "the least", said: []string{"ls-refs", "fetch"}},
		{name: "unknown ones", said: []string{"ls-refs=unborn", "fetch=shallow wait-for-done filter new-thing", "bundle-uri", "promisor-remote=name=x,url=https%3A%2F%2Fy", "x_Y-9=a b"}, filter: true, shallow: true},
		{name: "a word that only begins like one", said: []string{"ls-refs", "fetch=filters notshallow"}},
		{name: "another command's words", said: []string{"ls-refs=filter", "fetch", "other=filter shallow"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, refs, err := wire.ReadAbilities(strings.NewReader(saysV2(c.said...)), nil, 1<<20)
			if err != nil || refs != nil || a.Filter() != c.filter || a.Shallow() != c.shallow {
				t.Errorf("abilities %+v, refs %v, error %v", a, refs, err)
			}
		})
	}
}

func TestAnAnswerThatHasNoAbilities(t *testing.T) {
	service := frame("# service=git-upload-pack\n")
	cases := []struct {
		name, in string
		reason   gitops.Reason
		text     string
	}{
		{name: "a web page", in: "<html><body>", reason: gitops.NotGit},
		{name: "another service", in: frame("# service=git-receive-pack\n") + "0000", reason: gitops.NotGit, text: "another service"},
		{name: "service without a flush", in: service + frame("version 2\n"), reason: gitops.NotGit, text: "flush"},
		{name: "service twice", in: service + "0000" + service + "0000", reason: gitops.NotGit},
		{name: "a newer protocol", in: frame("version 3\n") + "0000", reason: gitops.UnsupportedServer, text: `"3"`},
		{name: "a version that is none", in: frame("version 2.0\n") + "0000", reason: gitops.UnsupportedServer},
		{name: "no refs", in: saysV2("fetch=filter"), reason: gitops.UnsupportedServer},
		{name: "no fetch", in: saysV2("ls-refs", "fetching"), reason: gitops.UnsupportedServer},
		{name: "nothing at all", in: saysV2(), reason: gitops.UnsupportedServer},
		{name: "SHA-256", in: saysV2("ls-refs", "fetch", "object-format=sha256"), reason: gitops.UnsupportedServer, text: "SHA-256"},
		{name: "no key", in: saysV2("ls-refs", "fetch", "=x"), reason: gitops.NotGit},
		{name: "an empty line", in: saysV2("ls-refs", "fetch", ""), reason: gitops.NotGit},
		{name: "a key with a blank", in: saysV2("ls-refs", "fetch", "a b"), reason: gitops.NotGit},
		{name: "a NUL", in: saysV2("ls-refs", "fetch", "agent=a\x00b"), reason: gitops.NotGit},
		{name: "an escape", in: saysV2("ls-refs", "fetch", "agent=a\x1b[2J"), reason: gitops.NotGit},
		{name: "a delimiter", in: frame("version 2\n") + frame("ls-refs\n") + "0001", reason: gitops.NotGit},
		{name: "the end of an answer", in: frame("version 2\n") + frame("ls-refs\n") + "0002", reason: gitops.NotGit},
		{name: "an error", in: frame("ERR no such repository"), reason: gitops.ServerError, text: "no such repository"},
		{name: "an error behind the version", in: frame("version 2\n") + frame("ERR busy"), reason: gitops.ServerError, text: "busy"},
		{name: "a delimiter first", in: "0001", reason: gitops.NotGit},
		{name: "endless abilities", in: frame("version 2\n") + strings.Repeat(frame("x=y\n"), 10_000), reason: gitops.TooLarge},
		{name: "a line in an endless ability", in: frame("version 2\n") + frame("x="+strings.Repeat("y", 60_000)) + frame("z"), reason: gitops.TooLarge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, refs, err := wire.ReadAbilities(strings.NewReader(c.in), nil, 1<<20)
			wantProtocolReason(t, err, c.reason)
			if refs != nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("refs %v, error %v", refs, err)
			}
		})
	}
}

// cutEverywhere reads every beginning of an answer. Only the whole is one.
func cutEverywhere(t *testing.T, whole []byte, read func(r io.Reader) error) {
	t.Helper()
	if err := read(bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := read(bytes.NewReader(whole[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestAbilitiesAreCut(t *testing.T) {
	f := newFleet(t)
	for version := range 3 {
		cutEverywhere(t, f.advertisement(version), func(r io.Reader) error {
			_, _, err := wire.ReadAbilities(r, nil, 1<<20)
			return err
		})
	}
}

// An error of the link must reach the caller as it is: the transport knows why.
func TestALinkErrorComesBack(t *testing.T) {
	broken := errors.New("broken")
	_, _, err := wire.ReadAbilities(io.MultiReader(strings.NewReader(frame("version 2\n")), failing{broken}), nil, 1<<20)
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAbilitiesAreKept(t *testing.T) {
	f := newFleet(t)
	for version := range 3 {
		a, _, err := wire.ReadAbilities(bytes.NewReader(f.advertisement(version)), nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var again wire.Abilities
		if err := json.Unmarshal(kept, &again); err != nil || !reflect.DeepEqual(a, again) {
			t.Errorf("%s: %v", kept, err)
		}
		if slices.Contains(a.Said(), "") {
			t.Errorf("an empty line in %q", a.Said())
		}
	}
}

func TestADamagedFileIsNoAbilities(t *testing.T) {
	good := `{"format":1,"protocol":2,"said":["ls-refs","fetch=filter"]}`
	var a wire.Abilities
	if err := json.Unmarshal([]byte(good), &a); err != nil || !a.Filter() {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another format":    strings.Replace(good, `"format":1`, `"format":2`, 1),
		"no format":         strings.Replace(good, `"format":1,`, ``, 1),
		"another protocol":  strings.Replace(good, `"protocol":2`, `"protocol":3`, 1),
		"an unknown field":  strings.Replace(good, `"said"`, `"x":1,"said"`, 1),
		"nothing said":      strings.Replace(good, `["ls-refs","fetch=filter"]`, `[]`, 1),
		"another hash":      strings.Replace(good, `"ls-refs"`, `"ls-refs","object-format=sha256"`, 1),
		"a control":         strings.Replace(good, `filter`, `\u0000`, 1),
		"not an object":     `[]`,
		"too long":          strings.Replace(good, `"ls-refs"`, `"ls-refs"`+strings.Repeat(`,"x"`, 8*wire.MaxAbilities), 1),
		"v0 with a control": `{"format":1,"protocol":0,"said":["a\u0007"]}`,
		"v0 too long":       `{"format":1,"protocol":0,"said":["` + strings.Repeat("x", wire.MaxAbilities+1) + `"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			var a wire.Abilities
			if err := json.Unmarshal([]byte(text), &a); err == nil {
				t.Errorf("taken: %+v", a)
			}
		})
	}
}
