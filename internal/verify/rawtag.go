// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// rawTag is what the bytes of an annotated tag say.
type rawTag struct {
	object    gitops.Hash
	kind      gitops.ObjectKind
	name      string
	subject   string
	signature string // armored, "" when there is none
	payload   []byte // everything before the signature
	text      string // the message, without the signature
}

// tagOrder returns the headers of a tag in the order in which Git writes them.
func tagOrder() []rule {
	return []rule{{"object", 1, 1}, {"type", 1, 1}, {"tag", 1, 1}, {"tagger", 1, 1}}
}

// parseTag reads an annotated tag. Its signature is not in a header: it is the
// end of the message. Git takes the last block that looks like a signature for
// it; here a second one is an error.
func parseTag(raw []byte) (rawTag, error) {
	headers, message, err := splitHeaders(raw)
	if err != nil {
		return rawTag{}, err
	}
	found, err := arrange(headers, tagOrder())
	if err != nil {
		return rawTag{}, err
	}
	var t rawTag
	if t.object, err = objectIDOf(found["object"][0]); err != nil {
		return rawTag{}, err
	}
	t.kind = gitops.ObjectKind(found["type"][0].value)
	switch t.kind {
	case gitops.CommitObject, gitops.TreeObject, gitops.BlobObject, gitops.TagObject:
	default:
		return rawTag{}, fmt.Errorf("its type is %s", quoted(string(t.kind)))
	}
	if t.name = found["tag"][0].value; strings.Contains(t.name, "\n") {
		return rawTag{}, errors.New("its name has two lines")
	}
	if err := checkIdentity(found["tagger"][0]); err != nil {
		return rawTag{}, err
	}
	text := string(raw[message:])
	t.subject, _, _ = strings.Cut(text, "\n")
	t.payload, t.text = raw, text
	switch starts := armors(text); len(starts) {
	case 0:
	case 1:
		start := starts[0]
		t.signature, t.payload, t.text = text[start:], raw[:message+start], text[:start]
	default:
		return rawTag{}, errors.New("it has two signatures")
	}
	return t, nil
}
