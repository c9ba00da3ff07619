// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// noRefs is the name in the first line where a repository is empty: the line is
// there for the abilities.
const noRefs = "capabilities^{}"

// readV0 reads the refs as protocols v0 and v1 list them (gitprotocol-pack,
// "Reference Discovery"), from their first line on: all of them come, and those
// that begin with one of prefixes are kept.
func readV0(in *lines, kind packet, content []byte, prefixes []string) (abilities, *Refs, error) {
	a, refs := abilities{}, &Refs{}
	list := newRefList(prefixes)
	for first := true; ; first = false {
		switch kind {
		case flush:
			refs.List = list.list
			return a, refs, nil
		case line:
		default:
			return a, nil, notGit("a mark is where a ref should be")
		}
		var err error
		if first {
			ref, said, _ := bytes.Cut(content, []byte{0})
			if a, err = v0Abilities(strings.Fields(string(said))); err != nil {
				return a, nil, err
			}
			content = ref
		}
		if err := list.addV0(string(content), refs, first); err != nil {
			return a, nil, err
		}
		if kind, content, err = in.next(); err != nil {
			return a, nil, listFailed(fewerRefs, err, in.limit)
		}
	}
}

// addV0 reads obj-id SP refname, where a peeled tag follows its tag, and the
// commits at which the server cut history off follow all refs.
func (l *refList) addV0(s string, refs *Refs, first bool) error {
	id, name, ok := strings.Cut(s, " ")
	if id == "shallow" && ok && gitops.Hash(name).Valid() {
		refs.Shallow = true
		return nil
	}
	if first && name == noRefs && strings.Trim(id, "0") == "" {
		return nil
	}
	hash, err := refHash(id)
	if err != nil {
		return err
	}
	tag, peeled := strings.CutSuffix(name, "^{}")
	if !peeled {
		return l.add(Ref{Name: name, ID: hash})
	}
	if n := len(l.list); n > 0 && l.list[n-1].Name == tag && l.list[n-1].Peeled == "" {
		l.list[n-1].Peeled = gitops.Hash(strings.Clone(string(hash)))
		return nil
	}
	if l.asked(tag) {
		return notGit("a peeled tag does not follow its tag")
	}
	return nil
}

// v0Abilities understands the words behind the first ref (gitprotocol-capabilities).
func v0Abilities(said []string) (abilities, error) {
	a := abilities{said: said}
	size := 0
	for _, s := range said {
		if size += len(s) + 1; size > maxAbilities || !isText(s) {
			return abilities{}, notGit("a word behind the first ref is no ability")
		}
		key, value, _ := strings.Cut(s, "=")
		switch key {
		case "side-band-64k":
			a.sideband = true
		case "thin-pack":
			a.thinPack = true
		case "ofs-delta":
			a.ofsDelta = true
		case "no-progress":
			a.noProgress = true
		case "agent":
			a.agent = value
		case "object-format":
			if value != "sha1" {
				return abilities{}, sha256Repository()
			}
		}
	}
	return a, nil
}

// v0Request asks for a pack in protocol v0 (gitprotocol-pack, "Packfile
// Negotiation"): whole history, for refs that the server has just listed.
func v0Request(r Request, a abilities, agent string) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if !a.sideband {
		return nil, failed(gitops.UnsupportedServer, "update the Git server",
			"the server is too old: it cannot do side-band-64k")
	}
	if len(r.WantRefs) > 0 {
		return nil, wantRefUnsupported()
	}
	words := " side-band-64k"
	for _, word := range []struct {
		offered bool
		name    string
	}{{a.thinPack, " thin-pack"}, {a.ofsDelta, " ofs-delta"}, {a.noProgress, " no-progress"}} {
		if word.offered {
			words += word.name
		}
	}
	if agent != "" && a.agent != "" {
		words += " agent=" + agent
	}
	var req []byte
	for i, want := range r.Wants {
		if i > 0 {
			words = ""
		}
		req = appendLine(req, "want %s%s", want, words)
	}
	req = appendFlush(req)
	for _, have := range r.Haves[:min(len(r.Haves), maxHaves)] {
		req = appendLine(req, "have %s", have)
	}
	return appendLine(req, "done"), nil
}
