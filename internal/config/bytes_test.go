// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/config"
)

func TestBudgetIsAnAmountOfData(t *testing.T) {
	const unknown = -1
	for _, test := range []struct {
		text  string
		want  config.Bytes
		shown string
	}{
		{"50MB", 50e6, "50MB"}, {"2GiB", 2 << 30, "2GiB"}, {"800kB", 800e3, "800kB"}, {"1GB", 1e9, "1GB"}, {"512KiB", 512 << 10, "512KiB"},
		{"1024MiB", 1 << 30, "1GiB"}, {"52428800", 50 << 20, "50MiB"}, {"'123457'", 123457, "123457"}, {"123457", 123457, "123457"},
		{"0", 0, "0"}, {"''", 0, "0"}, {"", 0, "0"},
		{"50 MB", unknown, ""}, {"50mb", unknown, ""}, {"50M", unknown, ""}, {"50Mi", unknown, ""}, {"50KB", unknown, ""}, {"50B", unknown, ""},
		{"1.5GB", unknown, ""}, {"1e9", unknown, ""}, {"-50MB", unknown, ""}, {"-1000000", unknown, ""}, {"+50MB", unknown, ""},
		{"0x1000000", unknown, ""}, {"010000000", unknown, ""}, {"1_000_000", unknown, ""}, {"MB", unknown, ""},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807"}, {"9223372036854775808", unknown, ""},
		{"9223372036GB", 9223372036e9, "9223372036GB"}, {"9223372037GB", unknown, ""}, {"99999999999999999999", unknown, ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			f := newFolder(t)
			path := f.write("config.yaml", with("link: {budgetPerDay: "+test.text+"}"), 0o644)
			got := f.problems(path)
			if test.want == unknown {
				if len(got) != 1 || !strings.Contains(got[0], "sources[0].link.budgetPerDay: ") {
					t.Errorf("problems %q", got)
				}
				return
			}
			c, err := config.Check(path)
			if err != nil {
				t.Fatal(err)
			}
			if b := c.Sources[0].Link.BudgetPerDay; b != test.want || b.String() != test.shown {
				t.Errorf("%d bytes, %s", b, b)
			}
			text, err := c.YAML()
			if err != nil {
				t.Fatal(err)
			}
			again, err := config.Load(f.write("again.yaml", string(text), 0o644))
			if err != nil || again.Sources[0].Link.BudgetPerDay != test.want {
				t.Errorf("printed and read again: %v, %s", err, again.Sources[0].Link.BudgetPerDay)
			}
		})
	}
}
