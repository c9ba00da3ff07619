// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

func TestListsThatAreRead(t *testing.T) {
	tests := map[string]struct {
		text string
		want bundle.List
	}{
		"as published": {"[bundle]\n\tversion = 1\n\tmode = all\n\theuristic = creationToken\n[bundle \"2-a\"]\n\turi = \"2-a.bundle\"\n\tcreationToken = 2\n",
			bundle.List{Mode: "all", Heuristic: "creationToken", Bundles: []bundle.Entry{{"2-a", "2-a.bundle", 2}}}},
		"by hand": {"# a list\r\n[Bundle]\r\nVersion=1 ; one\nMODE = any\n\n[bundle \"a \\\"b\\\\\"]\n  uri = ../x/y\\\\z.bundle # there\n colour = \"b;u#e\"  \n[bundle]\nowner = us\n",
			bundle.List{Mode: "any", Bundles: []bundle.Entry{{`a "b\`, `../x/y\z.bundle`, 0}}}},
		"section in two parts": {"[bundle]\nversion=1\nmode=all\n[bundle \"a\"]\nuri=x\n[bundle \"b\"]\nuri=\"y \"\n[bundle \"a\"]\ncreationtoken=18446744073709551615\n",
			bundle.List{Mode: "all", Bundles: []bundle.Entry{{"a", "x", 1<<64 - 1}, {"b", "y ", 0}}}},
		"empty": {"[bundle]\nversion=1\nmode=all", bundle.List{Mode: "all"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := bundle.ParseList(strings.NewReader(test.text))
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestListsThatAreRefused(t *testing.T) {
	head := "[bundle]\nversion=1\nmode=all\n"
	tests := map[string]struct {
		text string
		want gitops.Reason
	}{
		"nothing":            {"", gitops.NotGit},
		"web page":           {"<!DOCTYPE html>\n<html>", gitops.NotGit},
		"bundle":             {"# v2 git bundle\n" + idA + " refs/heads/main\n\n", gitops.Corrupt},
		"no version":         {"[bundle]\nmode=all\n", gitops.NotGit},
		"no mode":            {"[bundle]\nversion=1\n", gitops.NotGit},
		"version 2":          {"[bundle]\nversion=2\nmode=all\n", gitops.UnsupportedBundle},
		"other mode":         {"[bundle]\nversion=1\nmode=some\n", gitops.Corrupt},
		"mode twice":         {head + "mode=any\n", gitops.Corrupt},
		"uri twice":          {head + "[bundle \"a\"]\nuri=x\nuri=y\n", gitops.Corrupt},
		"no uri":             {head + "[bundle \"a\"]\ncreationToken=1\n", gitops.Corrupt},
		"negative token":     {head + "[bundle \"a\"]\nuri=x\ncreationToken=-1\n", gitops.Corrupt},
		"endless token":      {head + "[bundle \"a\"]\nuri=x\ncreationToken=18446744073709551616\n", gitops.Corrupt},
		"other section":      {head + "[core]\nx=1\n", gitops.Corrupt},
		"include":            {head + "[include]\npath=/etc/passwd\n", gitops.Corrupt},
		"section not closed": {head + "[bundle \"a\"\nuri=x\n", gitops.Corrupt},
		"section with more":  {head + "[bundle \"a\"] uri=x\n", gitops.Corrupt},
		"empty id":           {head + "[bundle \"\"]\nuri=x\n", gitops.Corrupt},
		"before a section":   {"version=1\n" + head, gitops.NotGit},
		"no value":           {head + "heuristic\n", gitops.Corrupt},
		"goes on":            {head + "heuristic=a\\\nb\n", gitops.Corrupt},
		"unknown escape":     {head + "heuristic=\\x\n", gitops.Corrupt},
		"quote not closed":   {head + "heuristic=\"a\n", gitops.Corrupt},
		"bad key":            {head + "heu_ristic=a\n", gitops.Corrupt},
		"control character":  {head + "heuristic=\x1b[31m\n", gitops.Corrupt},
		"too long":           {head + strings.Repeat("#", 300<<10), gitops.TooLarge},
		"too many":           {head + many(1001), gitops.TooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := bundle.ParseList(strings.NewReader(test.text))
			wantReason(t, err, test.want)
		})
	}
	if list, err := bundle.ParseList(strings.NewReader(head + many(1000))); err != nil || len(list.Bundles) != 1000 {
		t.Errorf("a list of 1000: %v", err)
	}
	cut := errors.New("cut")
	if _, err := bundle.ParseList(iotest.ErrReader(cut)); !errors.Is(err, cut) {
		t.Errorf("%v", err)
	}
}

func many(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[bundle \"%d\"]\nuri=x\n", i)
	}
	return text.String()
}

func TestNewestComesFirst(t *testing.T) {
	list := bundle.List{Bundles: []bundle.Entry{{ID: "old", CreationToken: 3}, {ID: "b"}, {ID: "c"}, {ID: "new", CreationToken: 9}}}
	var got []string
	for _, e := range list.Newest() {
		got = append(got, e.ID)
	}
	if diff := cmp.Diff([]string{"new", "old", "c", "b"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if list.Bundles[0].ID != "old" {
		t.Error("the list was changed")
	}
}

func TestURIsStayOnTheListsHost(t *testing.T) {
	list, err := url.Parse("https://bot:secret@cdn.example.com:8443/fleet/list?v=1")
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		"1.bundle":                                       "https://bot:secret@cdn.example.com:8443/fleet/1.bundle",
		"../o/1.bundle?x=":                               "https://bot:secret@cdn.example.com:8443/o/1.bundle?x=",
		"/1.bundle":                                      "https://bot:secret@cdn.example.com:8443/1.bundle",
		"https://cdn.example.com:8443/a":                 "https://bot:secret@cdn.example.com:8443/a",
		"https://CDN.example.com:8443/a":                 "https://bot:secret@CDN.example.com:8443/a",
		"../../../../a":                                  "https://bot:secret@cdn.example.com:8443/a",
		"https://cdn.example.com/a":                      "",
		"http://cdn.example.com:8443/a":                  "",
		"//other.example.com:8443/a":                     "",
		"https://cdn.example.com:8443@other.example.com": "",
		"https://eve:pass@cdn.example.com:8443/a":        "",
		"file:///etc/passwd":                             "",
		"https:a":                                        "",
		"a#b":                                            "",
		"https://[::1":                                   "",
		"\x7f":                                           "",
	} {
		got, err := bundle.Resolve(list, uri)
		if want == "" {
			wantReason(t, err, gitops.RedirectRefused)
			if strings.Contains(err.Error(), "pass@") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q", err)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%s resolves to %v, %v, want %s", uri, got, err, want)
		}
	}
}

// Git's own parser reads what is written, with whatever is in it.
func TestListIsReadByGitAsWritten(t *testing.T) {
	list := bundle.List{Mode: bundle.ModeAll, Heuristic: bundle.CreationToken, Bundles: []bundle.Entry{
		{ID: "1-a", URI: "1-a.bundle", CreationToken: 1}, {ID: `q"\`, URI: "x # \"y\"\t; \\z ", CreationToken: 1<<64 - 1}}}
	var text bytes.Buffer
	if err := list.Write(&text); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Bundles {
		if got, err := tryGit("", "config", "-z", "--file", name, "bundle."+e.ID+".uri"); err != nil || got != strings.TrimSpace(e.URI)+" \x00" && got != e.URI+"\x00" {
			t.Errorf("git reads %q, %v, want %q", got, err, e.URI)
		}
	}
	got, err := bundle.ParseList(&text)
	if diff := cmp.Diff(list, got); err != nil || diff != "" {
		t.Errorf("read back: %v (-want +got):\n%s", err, diff)
	}
}

// Whatever comes, it is refused with a reason, or is the same when written and
// read again.
func FuzzList(f *testing.F) {
	f.Add([]byte("[bundle]\n\tversion = 1\n\tmode = all\n\theuristic = creationToken\n[bundle \"2-a\"]\n\turi = \"2-a.bundle\"\n\tcreationToken = 2\n"))
	f.Add([]byte("# x\n[Bundle]\r\nVERSION=1;\nmode=\"a\"ny\n[bundle \"\\\"\\\\\"]\nuri= a\\tb  c # d\n"))
	f.Add([]byte("[bundle]\nversion=1\nmode=all\n[core]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := bundle.ParseList(bytes.NewReader(text))
		if err != nil {
			if gitops.ReasonOf(err) == "" {
				t.Fatalf("no reason: %v", err)
			}
			return
		}
		at, _ := url.Parse("https://cdn.example.com/list")
		for _, e := range list.Newest() {
			if to, err := bundle.Resolve(at, e.URI); err == nil && (to.Scheme != "https" || !strings.EqualFold(to.Host, "cdn.example.com")) {
				t.Fatalf("%q leads to %s", e.URI, to)
			}
		}
		var again bytes.Buffer
		if err := list.Write(&again); err != nil {
			t.Fatal(err)
		}
		got, err := bundle.ParseList(&again)
		if diff := cmp.Diff(list, got); err != nil || diff != "" {
			t.Fatalf("read back: %v (-want +got):\n%s", err, diff)
		}
	})
}
