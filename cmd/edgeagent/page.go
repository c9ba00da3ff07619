// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// page is how text looks: relative to which moment, and with colour or not.
type page struct {
	now   time.Time
	color bool
}

// style is a terminal's select-graphic-rendition code.
type style string

const (
	plain  style = ""
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

func (p page) paint(s style, text string) string {
	if !p.color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

func text(s string) cell { return cell{text: oneLine(s)} }

// table prints rows in aligned columns under a heading. A column without a
// single entry is left out, colour does not count as width, and no line ends
// with spaces.
func (p page) table(w io.Writer, heading []string, rows [][]cell) error {
	if len(rows) == 0 {
		return nil
	}
	widths := make([]int, len(heading)) // 0 = left out
	for _, row := range rows {
		for i, c := range row {
			if n := utf8.RuneCountInString(c.text); n > 0 {
				widths[i] = max(widths[i], n, utf8.RuneCountInString(heading[i]))
			}
		}
	}
	first := make([]cell, len(heading))
	for i, h := range heading {
		first[i] = cell{h, bold}
	}
	for _, row := range append([][]cell{first}, rows...) {
		var line strings.Builder
		gap := 0
		for i, c := range row {
			if widths[i] == 0 {
				continue
			}
			if c.text != "" {
				line.WriteString(strings.Repeat(" ", gap) + p.paint(c.style, c.text))
				gap = 0
			}
			gap += widths[i] - utf8.RuneCountInString(c.text) + 2
		}
		if _, err := fmt.Fprintln(w, line.String()); err != nil {
			return err
		}
	}
	return nil
}

// oneLine folds a message into one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// ago is how long t has been over: "12s ago".
func (p page) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return age(p.now.Sub(t)) + " ago"
}

// in is how long it is until t: "in 48s".
func (p page) in(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case !t.After(p.now):
		return "now"
	}
	return "in " + age(t.Sub(p.now))
}

// age is a duration as people say it, in its largest unit; small numbers of a
// unit are told in the one below.
func age(d time.Duration) string {
	switch {
	case d < 0: // the clock was set back
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// took is a duration for comparing: to tenths where they matter.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.Round(time.Second).String()
}

// size is a number of bytes in decimal units.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// plural is "1 object" and "2 objects".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
