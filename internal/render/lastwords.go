// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"errors"
	"strings"
)

// lastWords picks from what a worker writes to stderr the lines that say why
// it died: a crash is followed by pages of stack, and preceded by what
// libraries write there themselves. Its memory is bounded.
type lastWords struct {
	causes []string
	last   string
	line   []byte // the line that is not complete yet
}

const (
	maxCauses = 8
	maxLine   = 512
)

func (w *lastWords) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		w.line = append(w.line, part[:min(len(part), maxLine-len(w.line))]...)
		if ended {
			w.end()
		}
		rest = after
	}
	return len(p), nil
}

func (w *lastWords) end() {
	line := strings.TrimSpace(string(w.line))
	w.line = w.line[:0]
	if line == "" {
		return
	}
	w.last = line
	for _, prefix := range []string{"fatal error: ", "panic: ", "runtime: ", "runtime/cgo: ", "SIG"} {
		if strings.HasPrefix(line, prefix) && len(w.causes) < maxCauses {
			w.causes = append(w.causes, line)
			return
		}
	}
}

func (w *lastWords) contains(words string) bool {
	return strings.Contains(strings.Join(w.causes, "\n"), words) || strings.Contains(w.last, words)
}

// String is the first cause, or else the last line.
func (w *lastWords) String() string {
	for _, prefix := range []string{"fatal error: ", "panic: ", ""} {
		for _, line := range w.causes {
			if strings.HasPrefix(line, prefix) {
				return brief(errors.New(line))
			}
		}
	}
	return brief(errors.New(w.last))
}
