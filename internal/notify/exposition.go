// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"io"
	"strconv"
	"strings"
	"time"
)

// kind is the type of a metric.
type kind string

const (
	gauge   kind = "gauge"
	counter kind = "counter"
)

// family is one metric and all its samples, which have to stand together.
type family struct {
	name    string
	kind    kind
	help    string
	samples []sample
}

// sample is one value. Its labels are names and values in turns.
type sample struct {
	labels []string
	value  float64
}

func newFamily(name string, k kind, help string) *family {
	return &family{name: "edgeagent_" + name, kind: k, help: help}
}

func (f *family) add(value float64, labels ...string) {
	f.samples = append(f.samples, sample{labels, value})
}

// at adds a moment, unless it never came: 0 would be 1970.
func (f *family) at(t time.Time, labels ...string) {
	if !t.IsZero() {
		f.add(float64(t.UnixMilli())/1000, labels...)
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

var (
	helpEscape  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// write prints families in the text format, version 0.0.4. A family without a
// sample is left out.
func write(w io.Writer, families []*family) error {
	var b strings.Builder
	for _, f := range families {
		if len(f.samples) == 0 {
			continue
		}
		b.WriteString("# HELP " + f.name + " " + helpEscape.Replace(f.help) + "\n")
		b.WriteString("# TYPE " + f.name + " " + string(f.kind) + "\n")
		for _, s := range f.samples {
			b.WriteString(f.name)
			for i := 0; i+1 < len(s.labels); i += 2 {
				separator := ","
				if i == 0 {
					separator = "{"
				}
				value := strings.ToValidUTF8(s.labels[i+1], "\uFFFD")
				b.WriteString(separator + s.labels[i] + `="` + labelEscape.Replace(value) + `"`)
			}
			if len(s.labels) > 0 {
				b.WriteByte('}')
			}
			b.WriteString(" " + number(s.value) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number is v as people write it: bytes and moments are looked at too.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
