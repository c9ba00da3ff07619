// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// allowedSigner is one line of an allowed_signers file (ssh-keygen(1), ALLOWED
// SIGNERS). Two things differ from OpenSSH, both towards the stricter side: a
// time without Z is UTC, not local time, so that a file means the same on every
// node; and what is not understood is an error, not a line that is passed over.
type allowedSigner struct {
	line       int
	principals string // for people, safe to show
	patterns   string // the same, as they stand in the file
	namespaces string // pattern list, "" = every namespace
	authority  bool   // the key signs certificates, not commits
	after      time.Time
	before     time.Time
	key        ssh.PublicKey
}

// parseAllowedSigners reads a whole file. An error names the line.
func parseAllowedSigners(data []byte) ([]allowedSigner, error) {
	var out []allowedSigner
	number := 0
	for text := range strings.Lines(string(data)) {
		number++
		text = strings.Trim(text, " \t\r\n")
		if text == "" || text[0] == '#' {
			continue
		}
		signer, err := parseSignerLine(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		signer.line = number
		out = append(out, signer)
	}
	return out, nil
}

func parseSignerLine(text string) (allowedSigner, error) {
	var s allowedSigner
	var err error
	principals, rest, err := nextField(text)
	if err != nil {
		return s, err
	}
	if s.principals, err = checkPrincipals(principals); err != nil {
		return s, err
	}
	s.patterns = principals
	kind, blob, err := nextField(rest)
	if err != nil {
		return s, err
	}
	if !isKeyType(kind) {
		if err := s.setOptions(kind); err != nil {
			return s, err
		}
		if kind, blob, err = nextField(blob); err != nil {
			return s, err
		}
	}
	s.key, err = parseSSHKey(kind, blob)
	return s, err
}

// nextField cuts the next field off. Spaces inside double quotes do not end it;
// quotes around a whole field are taken away.
func nextField(text string) (field, rest string, err error) {
	quoted, end := false, len(text)
	for i := range len(text) {
		if text[i] == '"' {
			quoted = !quoted
		}
		if !quoted && (text[i] == ' ' || text[i] == '\t') {
			end = i
			break
		}
	}
	if quoted {
		return "", "", errors.New("a double quote is not closed")
	}
	field, rest = text[:end], strings.TrimLeft(text[end:], " \t")
	if field == "" {
		return "", "", errors.New("the line ends too early: want PRINCIPALS [OPTIONS] KEYTYPE KEY")
	}
	if inner, ok := strings.CutPrefix(field, `"`); ok {
		field = strings.TrimSuffix(inner, `"`)
	}
	return field, rest, nil
}

// checkPrincipals checks the pattern list that names who signs with the key.
// Git puts no identity to the test, so the patterns select nothing for a plain
// key: they are the name under which its commits are reported. Of a certificate
// they select the principals that count.
func checkPrincipals(list string) (string, error) {
	positive := false
	for pattern := range strings.SplitSeq(list, ",") {
		name, negated := strings.CutPrefix(pattern, "!")
		if name == "" {
			return "", fmt.Errorf("principals %s have an empty pattern", quoted(list))
		}
		positive = positive || !negated
	}
	if !positive {
		return "", fmt.Errorf("principals %s are all negated: they name nobody", quoted(list))
	}
	return printable(list), nil
}

func (s *allowedSigner) setOptions(list string) error {
	seen := map[string]bool{}
	for _, option := range splitOptions(list) {
		name, value, hasValue := strings.Cut(option, "=")
		name = strings.ToLower(name)
		if seen[name] {
			return fmt.Errorf("option %s is there twice", name)
		}
		seen[name] = true
		if name == "cert-authority" && !hasValue {
			s.authority = true
			continue
		}
		unquoted, ok := unquote(value)
		if name != "namespaces" && name != "valid-after" && name != "valid-before" {
			return fmt.Errorf("option %s is not known", quoted(name))
		}
		if !hasValue || !ok {
			return fmt.Errorf("option %s needs a value in double quotes", name)
		}
		if err := s.setOption(name, unquoted); err != nil {
			return err
		}
	}
	if !s.after.IsZero() && !s.before.IsZero() && !s.after.Before(s.before) {
		return errors.New("valid-after is not before valid-before: the key is never valid")
	}
	return nil
}

func (s *allowedSigner) setOption(name, value string) (err error) {
	switch name {
	case "namespaces":
		if s.namespaces = value; value == "" {
			return errors.New("option namespaces is empty: the key may sign nothing")
		}
	case "valid-after":
		s.after, err = parseTime(name, value)
	case "valid-before":
		s.before, err = parseTime(name, value)
	}
	return err
}

// splitOptions splits at commas that are not inside double quotes.
func splitOptions(list string) []string {
	quoted := false
	return strings.FieldsFunc(list, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
}

func unquote(value string) (string, bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	return inner, !strings.Contains(inner, `"`)
}

// parseTime reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with or without Z.
func parseTime(name, value string) (time.Time, error) {
	text := strings.TrimSuffix(strings.ToUpper(value), "Z")
	layout := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(text)]
	if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil && layout != "" {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("option %s: %s is not YYYYMMDD[HHMM[SS]][Z]", name, quoted(value))
}

// isKeyType tells a key's type from options, as OpenSSH names the types.
func isKeyType(field string) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-", "sk-"} {
		if strings.HasPrefix(field, prefix) {
			return true
		}
	}
	return false
}

// parseSSHKey reads "KEYTYPE KEY [COMMENT]", cut after KEYTYPE.
func parseSSHKey(kind, rest string) (ssh.PublicKey, error) {
	if isCertificateType(kind) {
		return nil, fmt.Errorf("key type %s is a certificate; list the key itself, or its authority as cert-authority", quoted(kind))
	}
	return decodeSSHKey(kind, rest)
}

// isCertificateType tells certificates from keys, as OpenSSH names the types.
func isCertificateType(kind string) bool { return strings.Contains(kind, "-cert-v0") }

func decodeSSHKey(kind, rest string) (ssh.PublicKey, error) {
	blob, _, _ := strings.Cut(strings.ReplaceAll(rest, "\t", " "), " ")
	data, err := base64.StdEncoding.Strict().DecodeString(blob)
	if err != nil || blob == "" {
		return nil, fmt.Errorf("the %s key is not base64", printable(kind))
	}
	key, err := ssh.ParsePublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("the %s key does not parse: %w", printable(kind), err)
	}
	if key.Type() != kind {
		return nil, fmt.Errorf("the key says %s but is of type %s", printable(kind), key.Type())
	}
	return key, nil
}

// matchList is OpenSSH's match_pattern_list: a negated pattern that matches
// decides at once, whatever else does.
func matchList(list, s string) bool {
	matched := false
	for pattern := range strings.SplitSeq(list, ",") {
		name, negated := strings.CutPrefix(pattern, "!")
		if !matchPattern(name, s) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// matchPattern knows * for any number of characters and ? for one. It keeps the
// last star only, so that no pattern takes exponential time.
func matchPattern(pattern, s string) bool {
	p, i, star, resume := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
