// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// rawCommit is what the bytes of a commit say.
type rawCommit struct {
	tree      gitops.Hash
	parents   []gitops.Hash
	subject   string // first line of the message, not escaped
	message   string
	signature string // armored, "" when there is none
	payload   []byte // the bytes that were signed: all but the signature's header
}

// commitOrder returns the headers of a commit in the order in which Git writes them.
func commitOrder() []rule {
	return []rule{
		{"tree", 1, 1},
		{"parent", 0, anyNumber},
		{"author", 1, 1},
		{"committer", 1, 1},
		{"encoding", 0, 1},
		{"mergetag", 0, anyNumber},
		{"gpgsig", 0, 1},
	}
}

// parseCommit reads a commit by a grammar that is stricter than Git's: what it
// accepts, every reader of Git's format understands in the same way.
func parseCommit(raw []byte) (rawCommit, error) {
	headers, message, err := splitHeaders(raw)
	if err != nil {
		return rawCommit{}, err
	}
	found, err := arrange(headers, commitOrder())
	if err != nil {
		return rawCommit{}, err
	}
	var c rawCommit
	if c.tree, err = objectIDOf(found["tree"][0]); err != nil {
		return rawCommit{}, err
	}
	for _, h := range found["parent"] {
		parent, err := objectIDOf(h)
		if err != nil {
			return rawCommit{}, err
		}
		if slices.Contains(c.parents, parent) {
			return rawCommit{}, fmt.Errorf("parent %s is there twice", parent)
		}
		c.parents = append(c.parents, parent)
	}
	for _, key := range []string{"author", "committer"} {
		if err := checkIdentity(found[key][0]); err != nil {
			return rawCommit{}, err
		}
	}
	if err := checkEncoding(found["encoding"]); err != nil {
		return rawCommit{}, err
	}
	if err := checkMergeTags(found["mergetag"], c.parents); err != nil {
		return rawCommit{}, err
	}
	c.message = string(raw[message:])
	c.subject, _, _ = strings.Cut(c.message, "\n")
	c.payload = raw
	if sig := found["gpgsig"]; len(sig) == 1 {
		if len(armors(sig[0].value)) > 1 {
			return rawCommit{}, errors.New("header \"gpgsig\" holds two signatures")
		}
		c.signature = sig[0].value
		c.payload = slices.Concat(raw[:sig[0].start], raw[sig[0].end:])
	}
	return c, nil
}

// checkEncoding accepts UTF-8 only: Git re-encodes what it shows of any other
// commit, so that a person would not read the bytes that were signed.
func checkEncoding(headers []header) error {
	for _, h := range headers {
		if name := strings.ToLower(h.value); name != "utf-8" && name != "utf8" {
			return fmt.Errorf("its encoding is %s, not UTF-8", quoted(h.value))
		}
	}
	return nil
}

// checkMergeTags holds the tags that a merge quotes to the grammar of tags, and
// to what they are for: each names a parent that was merged in. Their own
// signatures decide nothing.
func checkMergeTags(headers []header, parents []gitops.Hash) error {
	for _, h := range headers {
		// The header's value lost the newline that ends the quoted tag.
		tag, err := parseTag([]byte(h.value + "\n"))
		if err != nil {
			return fmt.Errorf("header \"mergetag\": %w", err)
		}
		if len(parents) < 2 || tag.kind != gitops.CommitObject || !slices.Contains(parents[1:], tag.object) {
			return errors.New("header \"mergetag\" is not of a parent that was merged in")
		}
	}
	return nil
}
