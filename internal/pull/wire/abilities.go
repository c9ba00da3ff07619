// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	// maxAbilities bounds the list in bytes: Git's own has 140, GitHub's 200.
	maxAbilities = 16 << 10
	serviceLine  = "# service=git-upload-pack"
)

// abilities are what a server says it can do: the capability advertisement of
// protocol v2, or the first line of protocol v0. They change when the server is
// updated or set up anew, so they are kept over polls.
type abilities struct {
	protocol int      // 2, or 0 where the server knows nothing newer
	said     []string // as the server said it
	agent    string

	lsRefs, fetch              bool // the commands of v2
	filter, shallow, refInWant bool // features of its fetch

	sideband, thinPack, ofsDelta, noProgress bool // of v0; v2 always has them
}

// readAbilities reads what a server says first (gitprotocol-v2, "Capability
// Advertisement"). A server that does not know protocol v2 answers with its refs
// in v0 or v1 at once: then refs is not nil, and holds those that begin with one
// of prefixes. A line that names the service may come first ("HTTP Transport").
func readAbilities(r io.Reader, prefixes []string, limit int64) (a abilities, refs *Refs, err error) {
	in := &lines{r: r, limit: limit}
	kind, first, err := in.next()
	if err == nil && kind == line && bytes.HasPrefix(first, []byte("# service=")) {
		if string(first) != serviceLine {
			return a, nil, notGit("the answer is of another service")
		}
		if kind, _, err = in.next(); err == nil && kind != flush {
			return a, nil, notGit("the name of the service is not followed by a flush")
		}
		if err == nil {
			kind, first, err = in.next()
		}
	}
	if err != nil {
		return a, nil, listFailed(fewerRefs, err, limit)
	}
	version, named := bytes.CutPrefix(first, []byte("version "))
	switch {
	case !named:
		return readV0(in, kind, first, prefixes)
	case string(version) == "2":
		a, err = readV2(in)
		return a, nil, err
	case string(version) == "1": // v0 with a line in front
		if kind, first, err = in.next(); err != nil {
			return a, nil, listFailed(fewerRefs, err, limit)
		}
		return readV0(in, kind, first, prefixes)
	}
	return a, nil, failed(gitops.UnsupportedServer, "use a server that speaks Git protocol v2",
		"it speaks version %q of the protocol", printable(string(version), 20))
}

func readV2(in *lines) (abilities, error) {
	in.limit = min(in.limit, maxAbilities)
	var said []string
	for {
		kind, content, err := in.next()
		if err != nil {
			return abilities{}, listFailed("check the URL", err, in.limit)
		}
		switch kind {
		case line:
			said = append(said, string(content))
		case flush:
			return v2Abilities(said)
		default:
			return abilities{}, notGit("a mark is where an ability should be")
		}
	}
}

// v2Abilities understands the lines of protocol v2: key[=value].
func v2Abilities(said []string) (abilities, error) {
	a := abilities{protocol: 2, said: said, sideband: true, thinPack: true, ofsDelta: true, noProgress: true}
	for _, s := range said {
		key, value, _ := strings.Cut(s, "=")
		if !isKey(key) || !isText(value) {
			return abilities{}, notGit("a line is no ability")
		}
		switch key {
		case "agent":
			a.agent = value
		case "ls-refs":
			a.lsRefs = true
		case "fetch":
			a.fetch = true
			for _, feature := range strings.Fields(value) {
				switch feature {
				case "filter":
					a.filter = true
				case "shallow":
					a.shallow = true
				case "ref-in-want":
					a.refInWant = true
				}
			}
		case "object-format":
			// Without the line it is SHA-1, and so it need not be asked for.
			if value != "sha1" {
				return abilities{}, sha256Repository()
			}
		}
	}
	if !a.lsRefs || !a.fetch {
		return abilities{}, failed(gitops.UnsupportedServer, "update the Git server",
			"it has neither refs nor objects to give")
	}
	return a, nil
}

// isKey reports whether s is a key of gitprotocol-v2.
func isKey(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

// isText reports whether s is printable ASCII.
func isText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// keptAbilities is how abilities are written into a file. The format's number
// changes when what is written means something else.
type keptAbilities struct {
	Format   int      `json:"format"`
	Protocol int      `json:"protocol"`
	Said     []string `json:"said"`
}

const abilitiesFormat = 1

// MarshalJSON keeps what the server said, not what was understood of it: the
// next version of this program may understand more.
func (a abilities) MarshalJSON() ([]byte, error) {
	return json.Marshal(keptAbilities{abilitiesFormat, a.protocol, a.said})
}

// UnmarshalJSON refuses whatever MarshalJSON would not have written. The caller
// then asks the server.
func (a *abilities) UnmarshalJSON(data []byte) error {
	// JSON writes a byte as six at most.
	if len(data) > 8*maxAbilities {
		return errors.New("read what a server can do: it is too long")
	}
	var kept keptAbilities
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	if err := in.Decode(&kept); err != nil {
		return fmt.Errorf("read what a server can do: %v", err)
	}
	if kept.Format != abilitiesFormat {
		return fmt.Errorf("read what a server can do: format %d is not known", kept.Format)
	}
	var err error
	switch kept.Protocol {
	case 2:
		*a, err = v2Abilities(kept.Said)
	case 0:
		*a, err = v0Abilities(kept.Said)
	default:
		err = fmt.Errorf("read what a server can do: protocol %d is not known", kept.Protocol)
	}
	return err
}
