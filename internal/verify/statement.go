// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Signed statements are annotated tags below refs/edgeagent/: git verify-tag
// can check them, and every fetch and bundle carries them. What a statement
// says stands in its message, one "Key: value" a line; the tag's own name and
// object must agree with it.
const (
	statementRefs   = "refs/edgeagent/"
	approvalRefs    = statementRefs + "approvals/"
	kindApproval    = "approval"
	noParent        = gitops.Hash("0000000000000000000000000000000000000000")
	statementHeader = "Edgeagent-Statement"
	// maxStatements bounds how many statements of one kind are looked at. Whoever
	// may push refs can push any number: beyond the bound nothing is decided,
	// because what the roots published could be among those that were left out.
	maxStatements = 1024
)

// statement is what a signed tag says, before anybody believes it.
type statement struct {
	ref    string
	raw    rawTag
	fields map[string]string
}

// statements lists the signed statements below a prefix, in the order of their
// refs. One that does not parse is left out: it says nothing. Only an object
// that is not there is an error, because it might.
func (x *examination) statements(ctx context.Context, prefix string) ([]statement, error) {
	below, err := x.carried(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var out []statement
	for i, ref := range below {
		if i == maxStatements {
			return nil, refusal(gitops.TrustMissing, "delete those on the server that nobody needs any more",
				"there are more than %d refs below %s: what is among them cannot be told", maxStatements, prefix)
		}
		raw, err := object(ctx, x.objects, x.refs[ref], gitops.TagObject)
		if refused(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if s, err := parseStatement(ref, raw); err == nil {
			out = append(out, s)
		}
	}
	return out, nil
}

// parseStatement reads a statement's tag. Its name is that of its ref, so that
// nobody can offer one statement under the name of another.
func parseStatement(ref string, raw []byte) (statement, error) {
	tag, err := parseTag(raw)
	if err != nil {
		return statement{}, err
	}
	if "refs/"+tag.name != ref {
		return statement{}, fmt.Errorf("it was signed as %s", quoted(tag.name))
	}
	s := statement{ref: ref, raw: tag, fields: map[string]string{}}
	for line := range strings.Lines(tag.text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
		if _, twice := s.fields[key]; twice || value == "" {
			return statement{}, errors.New("a line is not KEY: VALUE, or is there twice")
		}
		s.fields[key] = value
	}
	return s, nil
}

// says reports whether the statement says all of this and nothing else.
func (s statement) says(fields map[string]string) bool { return maps.Equal(s.fields, fields) }

func (s statement) signed() signed {
	return signed{what: "statement " + printable(s.ref), payload: s.raw.payload, armor: s.raw.signature}
}

// ApprovalMessage is the message of the tag that approves a commit for a ref.
// From is the commit's first parent, "" for a commit without one.
func ApprovalMessage(introduction gitops.Hash, fullRef string, from, to gitops.Hash) string {
	return message([][2]string{
		{statementHeader, kindApproval}, {"Introduction", string(introduction)}, {"Ref", fullRef},
		{"From", string(orNone(from))}, {"To", string(to)},
	})
}

// ApprovalRef is where a principal's approval of a commit is kept.
func ApprovalRef(commit gitops.Hash, principal string) string {
	return approvalRefs + string(commit) + "/" + refName(principal)
}

func message(fields [][2]string) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f[0] + ": " + f[1] + "\n")
	}
	return b.String()
}

func orNone(id gitops.Hash) gitops.Hash {
	if id == "" {
		return noParent
	}
	return id
}

// refName makes a principal's name fit for a ref. It is for people: who signed
// is decided by the key.
func refName(principal string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		case r == '.':
			return r
		}
		return '-'
	}, principal)
	name = strings.Trim(name, ".-")
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if name == "" || strings.HasSuffix(name, ".lock") {
		return "principal-" + strings.TrimSuffix(name, ".lock")
	}
	return name
}

// approvals are the approvals of a commit for the examined ref that a principal
// in one of the roles signed, each principal once.
func (x *examination) approvals(ctx context.Context, p *policy, c gitops.Hash, from gitops.Hash, roles ...string) ([]string, error) {
	all, err := x.statements(ctx, approvalRefs+string(c)+"/")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range all {
		if !x.approves(s, c, from) {
			continue
		}
		who, err := p.check(s.signed(), x.moment(c), x.revoked, roles...)
		if err == nil && !slices.Contains(names, who.name) {
			names = append(names, who.name)
		}
	}
	return names, nil
}

// approves reports whether a statement is an approval of a commit for the
// examined ref. Of a revision that is judged again only the short name is known.
func (x *examination) approves(s statement, c, from gitops.Hash) bool {
	ref := x.commit.FullRef
	if ref == "" {
		for _, full := range []string{"refs/heads/", "refs/tags/"} {
			if said := full + x.commit.Revision.Ref(); s.fields["Ref"] == said {
				ref = said
			}
		}
	}
	return s.raw.kind == gitops.CommitObject && s.raw.object == c && s.says(map[string]string{
		statementHeader: kindApproval, "Introduction": string(x.introduction()), "Ref": ref,
		"From": string(orNone(from)), "To": string(c),
	})
}

// settled reports whether a commit that is judged again had its approvals when
// it was let through. A host that stops showing one takes nothing back; that the
// key of one was revoked since does.
func (x *examination) settled(ctx context.Context, p *policy, c gitops.Hash, raw rawCommit, roles ...string) (bool, error) {
	if !x.again {
		return false, nil
	}
	if _, err := p.check(own(c, raw), x.moment(c), x.revoked, roles...); gitops.ReasonOf(err) == gitops.KeyRevoked {
		return false, nil
	}
	all, err := x.statements(ctx, approvalRefs+string(c)+"/")
	for _, s := range all {
		if !x.approves(s, c, first(raw.parents)) {
			continue
		}
		if _, err := p.check(s.signed(), x.moment(c), x.revoked, roles...); gitops.ReasonOf(err) == gitops.KeyRevoked {
			return false, nil
		}
	}
	return err == nil, err
}

// carried names the refs that came with the source and begin with a prefix, in
// order. Each commit asks for its own: they are read and sorted once.
func (x *examination) carried(ctx context.Context, prefix string) ([]string, error) {
	if x.refs == nil && x.v.cfg.Carried != nil {
		refs, err := x.v.cfg.Carried(ctx)
		if err != nil {
			return nil, err
		}
		x.refs, x.refNames = refs, slices.Sorted(maps.Keys(refs))
	}
	at, _ := slices.BinarySearch(x.refNames, prefix)
	end := at
	for end < len(x.refNames) && strings.HasPrefix(x.refNames[end], prefix) {
		end++
	}
	return x.refNames[at:end], nil
}

// introduction names the repository in statements. For first-seen it is what
// the head will be pinned as.
func (x *examination) introduction() gitops.Hash {
	if x.v.start != "" {
		return x.v.start
	}
	if pinned := x.remembered.Introduction; pinned != "" {
		return pinned
	}
	return x.head()
}
