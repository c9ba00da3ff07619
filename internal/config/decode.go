// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder fills the Config in from the nodes of one file. It goes on after a
// mistake, so that a person sees all of them, and notes the line of every
// field for the checks that come later.
type decoder struct {
	file     string
	where    map[string]position
	problems Problems
}

func (d *decoder) add(line int, field, message, remedy string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Field: field, Message: message, Remedy: remedy})
}

// wrong reports a value of the wrong type. It does not repeat the value: it
// may be a secret that was written into the wrong place.
func (d *decoder) wrong(n *yaml.Node, field, want, remedy string) {
	d.add(n.Line, field, "is "+describe(n)+", where "+want+" is needed", remedy)
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "a text"
}

var durationType = reflect.TypeFor[time.Duration]()

// value sets v from n. What is not written, or null, keeps its default.
func (d *decoder) value(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.add(n.Line, field, "uses a YAML anchor", "write the value out in every place")
		return
	}
	if field != "" {
		d.where[field] = position{d.file, n.Line}
	}
	if n.Tag == "!!null" {
		return
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, v, field)
	case v.Type() == bytesType:
		d.bytes(n, v, field)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, field)
	case v.Kind() == reflect.Slice:
		d.list(n, v, field)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, field)
	case v.Kind() == reflect.Interface:
		var any any
		if err := n.Decode(&any); err != nil {
			d.wrong(n, field, "a plain value", "")
			return
		}
		v.Set(reflect.ValueOf(any))
	default:
		d.scalar(n, v, field)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, field string) {
	switch {
	case v.Kind() == reflect.String && n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		v.SetString(n.Value)
	case v.Kind() == reflect.String && n.Kind == yaml.ScalarNode:
		d.wrong(n, field, "a text", "put it in quotes")
	case v.Kind() == reflect.String:
		d.wrong(n, field, "a text", "write one value")
	case v.Kind() == reflect.Bool && n.Tag == "!!bool":
		v.SetBool(n.Value == "true" || n.Value == "True" || n.Value == "TRUE")
	case v.Kind() == reflect.Bool:
		d.wrong(n, field, "true or false", "write true or false, without quotes")
	case v.Kind() == reflect.Int && n.Tag == "!!int":
		i, err := strconv.ParseInt(n.Value, 10, 32)
		if err != nil {
			d.add(n.Line, field, "is not a number in range", "write a whole decimal number")
			return
		}
		v.SetInt(i)
	default:
		d.wrong(n, field, "a whole number", "write a number, without quotes")
	}
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, field string) {
	const remedy = "write a number with a unit, such as 60s, 5m or 1h30m"
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		d.wrong(n, field, "a duration", remedy)
		return
	}
	dur, err := time.ParseDuration(n.Value)
	if err != nil {
		d.add(n.Line, field, fmt.Sprintf("%q is not a duration", n.Value), remedy)
		return
	}
	v.SetInt(int64(dur))
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, field, "a mapping", "write its fields as key: value")
		return
	}
	fields := map[string]int{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
			fields[name] = i
		}
	}
	for key, value := range d.pairs(n, field) {
		i, ok := fields[key.Value]
		if !ok {
			d.add(key.Line, join(field, key.Value), "is not a field that this version knows",
				suggest(key.Value, slices.Sorted(maps.Keys(fields))))
			continue
		}
		d.value(value, v.Field(i), join(field, key.Value))
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, field, "a mapping", "write it as key: value")
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for key, value := range d.pairs(n, field) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element, join(field, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value), element)
	}
}

// list appends: the sources of later files come after those of earlier ones.
func (d *decoder) list(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, field, "a list", "begin each entry with a dash")
		return
	}
	for _, entry := range n.Content {
		element := reflect.New(v.Type().Elem()).Elem()
		if source, ok := element.Addr().Interface().(*Source); ok {
			*source = DefaultSource()
		}
		d.value(entry, element, fmt.Sprintf("%s[%d]", field, v.Len()))
		v.Set(reflect.Append(v, element))
	}
}

// pairs yields the keys and values of a mapping once each; a key that comes
// twice is a mistake, never "the last one wins".
func (d *decoder) pairs(n *yaml.Node, field string) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				d.add(key.Line, field, "has a key that is not a plain text", "write every field out")
				continue
			}
			if line, twice := seen[key.Value]; twice {
				d.add(key.Line, join(field, key.Value), fmt.Sprintf("is written twice, first on line %d", line), "remove one")
				continue
			}
			seen[key.Value] = key.Line
			if !yield(key, value) {
				return
			}
		}
	}
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// suggest names the field that was probably meant, or all there are.
func suggest(key string, known []string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	for _, name := range known {
		a, b := plain(key), plain(name)
		if a == b || distance(a, b) <= 1+len(b)/6 {
			return "did you mean " + name + "?"
		}
	}
	return "remove it; the fields here are " + strings.Join(known, ", ")
}

// distance is the number of letters to insert, remove or exchange between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		previous := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := previous
			if a[i-1] != b[j-1] {
				cost++
			}
			previous = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
