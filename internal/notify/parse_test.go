// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// exposition is what a scraper reads: values by their metric and labels, and
// the type of each metric.
type exposition struct {
	values map[string]float64 // name{label="value",…}, values as they are meant
	types  map[string]string
}

var (
	metricName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`) // ours: without capitals and colons
	labelName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// parse reads the text format, version 0.0.4, and takes nothing that a scraper
// might stumble over: every metric has HELP and TYPE once and before its samples,
// its samples stand together, and no sample comes twice.
func parse(text string) (exposition, error) {
	e := exposition{values: map[string]float64{}, types: map[string]string{}}
	if text != "" && !strings.HasSuffix(text, "\n") {
		return e, fmt.Errorf("the last line does not end")
	}
	helped := map[string]bool{}
	current := ""
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		var err error
		switch {
		case strings.HasPrefix(line, "# HELP "):
			name, help, _ := strings.Cut(strings.TrimPrefix(line, "# HELP "), " ")
			if helped[name] || help == "" {
				err = fmt.Errorf("HELP of %s is there twice, or empty", name)
			}
			helped[name], current = true, ""
		case strings.HasPrefix(line, "# TYPE "):
			name, kind, _ := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " ")
			current = name
			err = e.typed(name, kind, helped[name])
		default:
			err = e.sampled(line, current)
		}
		if err != nil {
			return e, fmt.Errorf("line %d, %q: %w", i+1, line, err)
		}
	}
	return e, nil
}

func (e exposition) typed(name, kind string, helped bool) error {
	if e.types[name] != "" || !helped || !metricName.MatchString(name) {
		return fmt.Errorf("%s has a TYPE already, no HELP, or a bad name", name)
	}
	if kind != "gauge" && kind != "counter" || (kind == "counter") != strings.HasSuffix(name, "_total") {
		return fmt.Errorf("a %s is not called %s", kind, name)
	}
	e.types[name] = kind
	return nil
}

func (e exposition) sampled(line, current string) error {
	name := line[:len(line)-len(strings.TrimLeft(line, "abcdefghijklmnopqrstuvwxyz0123456789_"))]
	if name != current || name == "" {
		return fmt.Errorf("a sample of %q stands below the TYPE of %q", name, current)
	}
	key, rest := name, line[len(name):]
	if strings.HasPrefix(rest, "{") {
		labels, after, err := labelsOf(rest[1:])
		if err != nil {
			return err
		}
		key, rest = key+"{"+labels+"}", after
	}
	number, ok := strings.CutPrefix(rest, " ")
	value, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		return fmt.Errorf("%q is not a value", rest)
	}
	if _, twice := e.values[key]; twice {
		return fmt.Errorf("it is there twice")
	}
	e.values[key] = value
	return nil
}

// labelsOf reads name="value",… up to the brace, and undoes the escapes.
func labelsOf(text string) (labels, rest string, err error) {
	seen := map[string]bool{}
	for {
		name, after, ok := strings.Cut(text, `="`)
		if !ok || !labelName.MatchString(name) || seen[name] {
			return "", "", fmt.Errorf("%q is no label, or there twice", name)
		}
		seen[name] = true
		var value strings.Builder
		for {
			if after == "" {
				return "", "", fmt.Errorf("the value of %s does not end", name)
			}
			c := after[0]
			after = after[1:]
			if c == '"' {
				break
			}
			if c == '\\' {
				plain, ok := map[byte]byte{'\\': '\\', '"': '"', 'n': '\n'}[(after + " ")[0]]
				if !ok {
					return "", "", fmt.Errorf("the value of %s has an unknown escape", name)
				}
				c, after = plain, after[1:]
			}
			value.WriteByte(c)
		}
		if labels != "" {
			labels += ","
		}
		labels += name + "=" + value.String()
		if strings.HasPrefix(after, "}") {
			return labels, after[1:], nil
		}
		if text, ok = strings.CutPrefix(after, ","); !ok {
			return "", "", fmt.Errorf("after the label %s comes %q", name, after)
		}
	}
}
