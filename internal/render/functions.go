// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// refusedFunctions reach out of the chart, or answer something else in every
// run or on every node (the node's time zone counts). They can be parsed, so a
// branch that is not taken does no harm, and fail when they are called.
var refusedFunctions = []string{
	"env", "expandenv", "getHostByName",
	"now", "ago", "date", "date_in_zone", "dateInZone", "date_modify", "dateModify", "mustDateModify",
	"must_date_modify", "htmlDate", "htmlDateInZone", "toDate", "mustToDate", "unixEpoch", "durationRound",
	"randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randInt", "randBytes", "shuffle", "uuidv4",
	"bcrypt", "htpasswd", "derivePassword", "encryptAES",
	"genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey",
	"genSignedCert", "genSignedCertWithKey",
}

// Bounds of the functions that make much out of little.
const (
	maxRepeat = 1 << 20
	maxSteps  = 100_000
	maxIndent = 1_000
)

// functions replace those of the engine.
func functions() template.FuncMap {
	out := template.FuncMap{
		"keys": sortedKeys, "values": sortedValues,
		"repeat": repeat, "until": until, "untilStep": untilStep, "seq": seq,
		"indent": indent, "nindent": nindent,
	}
	for _, name := range refusedFunctions {
		out[name] = func(...any) (string, error) {
			return "", fmt.Errorf("%s is refused: a chart must render to the same on every node and in every run; put the value into the chart's values", name)
		}
	}
	return out
}

// sortedKeys: the engine's own answers in the order of a map, which changes.
func sortedKeys(dicts ...map[string]any) []string {
	var out []string
	for _, dict := range dicts {
		out = append(out, slices.Sorted(maps.Keys(dict))...)
	}
	return out
}

func sortedValues(dict map[string]any) []any {
	out := make([]any, 0, len(dict))
	for _, key := range slices.Sorted(maps.Keys(dict)) {
		out = append(out, dict[key])
	}
	return out
}

func repeat(count int, text string) (string, error) {
	if count < 0 || len(text) > 0 && count > maxRepeat/len(text) {
		return "", fmt.Errorf("repeat %d is refused: the text would exceed %d MiB", count, maxRepeat>>20)
	}
	return strings.Repeat(text, count), nil
}

func until(count int) ([]int, error) {
	if count < 0 {
		return untilStep(0, count, -1)
	}
	return untilStep(0, count, 1)
}

func untilStep(start, stop, step int) ([]int, error) {
	out := []int{}
	if step == 0 || step > 0 && stop < start || step < 0 && stop >= start {
		return out, nil
	}
	// In floating point, because the difference of two ints can overflow one.
	if (float64(stop)-float64(start))/float64(step) > maxSteps {
		return nil, fmt.Errorf("a list from %d to %d is refused: it has more than %d steps", start, stop, maxSteps)
	}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		out = append(out, i)
	}
	return out, nil
}

// seq is sprig's: END, START END, or START STEP END, with END included.
func seq(params ...int) (string, error) {
	start, step, end := 1, 0, 0
	switch len(params) {
	case 1:
		end = params[0]
	case 2:
		start, end = params[0], params[1]
	case 3:
		start, step, end = params[0], params[1], params[2]
	default:
		return "", nil
	}
	toward := 1
	if end < start {
		toward = -1
	}
	if len(params) < 3 {
		step = toward
	}
	if toward < 0 && step > 0 {
		return "", nil
	}
	list, err := untilStep(start, end+toward, step)
	if err != nil {
		return "", err
	}
	text := make([]string, len(list))
	for i, n := range list {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, " "), nil
}

func indent(spaces int, text string) (string, error) {
	if spaces < 0 || spaces > maxIndent {
		return "", errors.New("indent " + strconv.Itoa(spaces) + " is refused")
	}
	pad := strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad), nil
}

func nindent(spaces int, text string) (string, error) {
	text, err := indent(spaces, text)
	return "\n" + text, err
}
