// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxHaves bounds a request.
const maxHaves = 64

// fetchRequest asks for a pack in protocol v2 (gitprotocol-v2, "fetch"). It says
// done at once: one round trip, and what the haves do not tell the server is sent
// twice at worst. A filter or a depth that the server does not offer is left out,
// as Server says beforehand. agent may be "": over HTTP a header has it already.
func fetchRequest(r Request, a abilities, agent string) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	req := appendLine(nil, "command=fetch")
	if agent != "" && a.agent != "" {
		req = appendLine(req, "agent=%s", agent)
	}
	req = appendDelim(req)
	req = appendLine(req, "thin-pack")
	req = appendLine(req, "ofs-delta")
	req = appendLine(req, "no-progress")
	if r.Filter != "" && a.filter {
		req = appendLine(req, "filter %s", r.Filter)
	}
	if r.Depth > 0 && a.shallow {
		req = appendLine(req, "deepen %d", r.Depth)
	}
	for _, want := range r.Wants {
		req = appendLine(req, "want %s", want)
	}
	for _, name := range r.WantRefs {
		if !a.refInWant {
			return nil, wantRefUnsupported()
		}
		req = appendLine(req, "want-ref %s", name)
	}
	for _, have := range r.Haves[:min(len(r.Haves), maxHaves)] {
		req = appendLine(req, "have %s", have)
	}
	req = appendLine(req, "done")
	return appendFlush(req), nil
}

// check refuses a request that no server could answer, before a byte is spent.
func (r Request) check() error {
	switch {
	case len(r.Wants)+len(r.WantRefs) == 0:
		return badConfig("ask for a pack: nothing is wanted")
	case !slices.Contains([]string{"", "tree:0", "tree:1", "tree:2", "blob:none", WholeTrees}, r.Filter):
		return badConfig("ask for a pack: there is no filter %q", r.Filter)
	case r.Depth < 0:
		return badConfig("ask for a pack: the depth is %d", r.Depth)
	}
	for _, name := range r.WantRefs {
		if !isRefName(name) {
			return badConfig("ask for a pack: %q is not the name of a ref", name)
		}
	}
	for _, ids := range [][]gitops.Hash{r.Wants, r.Haves} {
		for _, id := range ids {
			if !id.Valid() {
				return badConfig("ask for a pack: %q is not an object id", id)
			}
		}
	}
	return nil
}

// wantRefUnsupported: left out, the request would ask for something else.
func wantRefUnsupported() error {
	return failed(gitops.UnsupportedServer, "set uploadpack.allowRefInWant on the server", "the server takes no ref by its name")
}
