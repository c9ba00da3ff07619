// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in the node's file.
type Problem struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // 0 when it is about the file as a whole
	// Field is the path of the field, e.g. "sources[0].ref.branch".
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// String is "file:line: field: message; remedy", as editors and people read it.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems is every problem of a configuration, in the order of its files and lines.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// err is nil when there are no problems: a nil Problems in an error is not.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// sorted orders by the files as they were read, then by line.
func (ps Problems) sorted(files []string) Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Field, b.Field),
		)
	})
	return out
}

// position is a line of a file.
type position struct {
	file string
	line int
}

// at is where a field stands; for one that is not written, where the nearest
// field around it does.
func (c Config) at(field string) position {
	for field != "" {
		if pos, ok := c.where[field]; ok {
			return pos
		}
		end := strings.LastIndexAny(field, ".[")
		if end < 0 {
			break
		}
		field = field[:end]
	}
	if len(c.files) > 0 {
		return position{file: c.files[0]}
	}
	return position{}
}
