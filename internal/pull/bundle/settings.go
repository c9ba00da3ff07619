// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// This file reads the part of Git's configuration syntax that bundle lists use:
// [bundle] and [bundle "id"] sections, key = value, quotes, escapes, comments.
// Values that go on in the next line, which no list has, are refused.

// setting is bundle.key or bundle.<id>.key, with its value.
type setting struct {
	line    int
	id, key string // the key in lower case, as Git compares it
	value   string
}

func (s setting) malformed(what string) error {
	name := "bundle."
	if s.id != "" {
		name += s.id + "."
	}
	return failed(gitops.Corrupt, notAList, "read the bundle list: line %d: %s %s", s.line, printable(name+s.key), what)
}

func parseSettings(text string) ([]setting, error) {
	var settings []setting
	section, id := false, ""
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(strings.TrimSuffix(line, "\r"))
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		var ok bool
		if line[0] == '[' {
			if id, ok = parseSection(line); !ok {
				return nil, badLine(number, "is no section of a bundle list")
			}
			section = true
			continue
		}
		s := setting{line: number, id: id}
		if s.key, s.value, ok = parseSetting(line); !ok || !section {
			return nil, badLine(number, "is no setting of a bundle list")
		}
		settings = append(settings, s)
	}
	return settings, nil
}

// badLine in the first lines means that this is something else altogether.
func badLine(number int, what string) error {
	reason := gitops.Corrupt
	if number == 1 {
		reason = gitops.NotGit
	}
	return failed(reason, notAList, "read the bundle list: line %d %s", number, what)
}

// parseSection reads [bundle] or [bundle "id"], with nothing behind it.
func parseSection(line string) (id string, ok bool) {
	inner, ok := strings.CutPrefix(line, "[")
	if !ok {
		return "", false
	}
	const name = "bundle"
	if len(inner) < len(name) || !strings.EqualFold(inner[:len(name)], name) {
		return "", false
	}
	inner = inner[len(name):]
	if inner == "]" {
		return "", true
	}
	inner, ok = strings.CutSuffix(strings.TrimLeft(inner, " \t"), "]")
	if !ok || len(inner) < 2 || inner[0] != '"' || inner[len(inner)-1] != '"' {
		return "", false
	}
	inner = inner[1 : len(inner)-1]
	var out strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"' || c == '\\' && i+1 == len(inner):
			return "", false
		case c == '\\':
			i++
			out.WriteByte(inner[i])
		case c < ' ' || c == 0x7f:
			return "", false
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), out.Len() > 0
}

// parseSetting reads key = value. A key alone is true in Git, and nothing here.
func parseSetting(line string) (key, value string, ok bool) {
	key, rest, ok := strings.Cut(line, "=")
	key = strings.ToLower(strings.TrimSpace(key))
	if !ok || key == "" || key[0] < 'a' || key[0] > 'z' {
		return "", "", false
	}
	for _, c := range []byte(key) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", "", false
		}
	}
	value, ok = parseValue(strings.TrimSpace(rest))
	return key, value, ok
}

// parseValue undoes quotes and escapes, and drops a comment.
func parseValue(text string) (string, bool) {
	var out strings.Builder
	quotes := false
	kept := 0 // up to here, blanks are part of the value
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quotes = !quotes
			kept = out.Len()
		case c == '\\':
			i++
			if i == len(text) {
				return "", false
			}
			escape, ok := map[byte]byte{'"': '"', '\\': '\\', 'n': '\n', 't': '\t', 'b': '\b'}[text[i]]
			if !ok {
				return "", false
			}
			out.WriteByte(escape)
			kept = out.Len()
		case !quotes && (c == '#' || c == ';'):
			i = len(text)
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", false
		default:
			out.WriteByte(c)
			if quotes || c != ' ' && c != '\t' {
				kept = out.Len()
			}
		}
	}
	return out.String()[:kept], !quotes
}

// quoted writes a value so that Git and parseValue read the same back.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(s) + `"`
}
