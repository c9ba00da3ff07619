// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// header is one header of a commit or tag. Its value has its continuation lines
// joined by newlines, without the space that they begin with.
type header struct {
	key, value string
	start, end int // where it stands in the object, its last newline included
}

// rule says how often a header may stand at its place in the order.
type rule struct {
	key      string
	min, max int
}

const anyNumber = 1 << 30

// splitHeaders cuts an object into its headers and the offset of its message.
// Git's own readers skip what they do not know and stop at the first thing that
// they like; two readers that skip differently see two different commits. So
// nothing is skipped here.
func splitHeaders(raw []byte) (headers []header, message int, err error) {
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return nil, 0, fmt.Errorf("it has a NUL byte at offset %d", i)
	}
	for at := 0; ; {
		length := bytes.IndexByte(raw[at:], '\n')
		if length < 0 {
			return nil, 0, errors.New("no blank line ends its headers")
		}
		line, end := string(raw[at:at+length]), at+length+1
		if line == "" {
			return headers, end, nil
		}
		if err := controls(line); err != nil {
			return nil, 0, err
		}
		if more, ok := strings.CutPrefix(line, " "); ok {
			if len(headers) == 0 {
				return nil, 0, errors.New("it begins with a continuation line")
			}
			last := &headers[len(headers)-1]
			last.value += "\n" + more
			last.end = end
		} else {
			key, value, ok := strings.Cut(line, " ")
			if !ok || value == "" {
				return nil, 0, fmt.Errorf("header line %s has no value", quoted(line))
			}
			headers = append(headers, header{key: key, value: value, start: at, end: end})
		}
		at = end
	}
}

// controls refuses control characters in a header line: a carriage return is
// the classic way to show one thing to a person and another to a parser.
func controls(line string) error {
	for i := range len(line) {
		if line[i] < ' ' && line[i] != '\t' || line[i] == 0x7f {
			return fmt.Errorf("header line %s has the control character 0x%02x", quoted(line), line[i])
		}
	}
	return nil
}

// arrange sorts headers into the rules' order, which is the only one allowed.
func arrange(headers []header, rules []rule) (map[string][]header, error) {
	found := make(map[string][]header, len(rules))
	rest := headers
	for _, r := range rules {
		for len(rest) > 0 && rest[0].key == r.key && len(found[r.key]) < r.max {
			found[r.key] = append(found[r.key], rest[0])
			rest = rest[1:]
		}
		if len(found[r.key]) < r.min {
			return nil, fmt.Errorf("header %q is missing or not at its place", r.key)
		}
	}
	if len(rest) == 0 {
		return found, nil
	}
	key := rest[0].key
	for _, r := range rules {
		if r.key == key {
			return nil, fmt.Errorf("header %q is there twice or not at its place", key)
		}
	}
	if key == "gpgsig-sha256" {
		return nil, errors.New("header \"gpgsig-sha256\" is a second signature, of a repository format that is not supported")
	}
	return nil, fmt.Errorf("header %s is not known", quoted(key))
}

// objectIDOf reads a header that is one object id.
func objectIDOf(h header) (gitops.Hash, error) {
	id := gitops.Hash(h.value)
	if !id.Valid() {
		return "", fmt.Errorf("header %q is %s, not 40 lower-case hexadecimal digits", h.key, quoted(h.value))
	}
	return id, nil
}

// checkIdentity holds "NAME <EMAIL> SECONDS ZONE" to Git's own grammar.
func checkIdentity(h header) error {
	bad := func(what string) error {
		return fmt.Errorf("header %q: %s in %s", h.key, what, quoted(h.value))
	}
	name, rest, ok := strings.Cut(h.value, "<")
	if !ok || !strings.HasSuffix(name, " ") || strings.Contains(name, ">") || strings.Contains(h.value, "\n") {
		return bad("no \"NAME <EMAIL>\"")
	}
	email, date, ok := strings.Cut(rest, "> ")
	if !ok || strings.ContainsAny(email, "<>") {
		return bad("no \"NAME <EMAIL>\"")
	}
	seconds, zone, ok := strings.Cut(date, " ")
	if !ok || !isDate(seconds) {
		return bad("no time in whole seconds")
	}
	if !isZone(zone) {
		return bad("no time zone")
	}
	return nil
}

// isDate accepts seconds since 1970 up to the year 9999, written in one way only.
func isDate(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n >= 0 && n < 253402300800 && strconv.FormatInt(n, 10) == s
}

// isZone accepts +HHMM and -HHMM up to 14 hours, as far as the world has them.
func isZone(s string) bool {
	if len(s) != 5 || s[0] != '+' && s[0] != '-' || strings.Trim(s[1:], "0123456789") != "" {
		return false
	}
	hours, minutes := s[1:3], s[3:5]
	return hours <= "14" && minutes < "60"
}
