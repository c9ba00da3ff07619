// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes text harmless for a terminal. Commit messages, object names and
// what servers answer are written by others: they must not move the cursor,
// change the title, or turn the direction of a line.
func escape(text string) string {
	clean := func(r rune) bool {
		return r == '\n' || r == '\t' || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != utf8.RuneError
	}
	if strings.IndexFunc(text, func(r rune) bool { return !clean(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for i, size := 0, 0; i < len(text); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case clean(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// escaped is a copy of value with every string in it escaped, so that no view
// can forget one.
func escaped[T any](value T) (T, error) {
	var clean T
	text, err := json.Marshal(value)
	if err != nil {
		return clean, fmt.Errorf("prepare the answer for printing: %v", err)
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return clean, fmt.Errorf("prepare the answer for printing: %v", err)
	}
	if text, err = json.Marshal(escapeTree(tree)); err != nil {
		return clean, fmt.Errorf("prepare the answer for printing: %v", err)
	}
	if err := json.Unmarshal(text, &clean); err != nil {
		return clean, fmt.Errorf("prepare the answer for printing: %v", err)
	}
	return clean, nil
}

func escapeTree(tree any) any {
	switch t := tree.(type) {
	case string:
		return escape(t)
	case []any:
		for i := range t {
			t[i] = escapeTree(t[i])
		}
	case map[string]any:
		for key, value := range t {
			delete(t, key)
			t[escape(key)] = escapeTree(value)
		}
	}
	return tree
}
