// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Bytes is an amount of data. It is written as a plain number, or with a
// decimal (kB, MB, GB) or binary (KiB, MiB, GiB) unit. 0 stands for no limit.
type Bytes int64

// units from the largest to the smallest, in the order in which String tries them.
var units = [...]struct {
	name string
	size int64
}{
	{"GB", 1e9}, {"GiB", 1 << 30}, {"MB", 1e6}, {"MiB", 1 << 20}, {"kB", 1e3}, {"KiB", 1 << 10},
}

var bytesText = regexp.MustCompile(`^(0|[1-9][0-9]{0,18})(kB|MB|GB|KiB|MiB|GiB)?$`)

// parseBytes is strict: a unit that is taken for another costs money. Letters
// in another case, a lone k or M, fractions and spaces are not known.
func parseBytes(text string) (Bytes, bool) {
	m := bytesText.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, false
	}
	for _, unit := range units {
		if unit.name != m[2] {
			continue
		}
		if n > math.MaxInt64/unit.size {
			return 0, false
		}
		n *= unit.size
	}
	return Bytes(n), true
}

// String is b in the largest unit in which it is a whole number.
func (b Bytes) String() string {
	for _, unit := range units {
		if b != 0 && int64(b)%unit.size == 0 {
			return strconv.FormatInt(int64(b)/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

var bytesType = reflect.TypeFor[Bytes]()

func (d *decoder) bytes(n *yaml.Node, v reflect.Value, field string) {
	const remedy = "write a whole number of bytes, or one with a unit, such as 50MB or 2GiB"
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!int" {
		d.wrong(n, field, "an amount of data", remedy)
		return
	}
	if n.Value == "" {
		return // as for every other text, the default
	}
	b, ok := parseBytes(n.Value)
	if !ok {
		d.add(n.Line, field, strconv.Quote(n.Value)+" is not an amount of data", remedy)
		return
	}
	v.SetInt(int64(b))
}
