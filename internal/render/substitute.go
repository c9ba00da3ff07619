// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	goyaml "go.yaml.in/yaml/v2"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

var variableRule = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

func checkVariables(variables map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if !variableRule.MatchString(name) {
			return fmt.Errorf("%q is no name of a variable", name)
		}
	}
	return nil
}

// variables is what ${NAME} stands for in a bundle, nil when it is left alone.
// The bundle's own values win over the node's: they are signed. A chart has its
// own templates and often ships shell scripts, so it is substituted only where
// the bundle asks for it.
func (b *bundle) variables(node Node) map[string]string {
	if b.substitute == nil && (b.gathered.form == helm || len(node.Variables) == 0) {
		return nil
	}
	out := map[string]string{}
	maps.Copy(out, node.Variables)
	maps.Copy(out, b.substitute)
	for name, value := range out {
		// As Flux does: a line break would end the YAML value it stands in.
		out[name] = strings.ReplaceAll(value, "\n", "")
	}
	return out
}

// substitute replaces ${NAME} in one document, with Flux' syntax and strictly:
// a variable that is not set and has no default is an error.
func substitute(d document, variables map[string]string) (document, error) {
	if !wantsSubstitution(d.body) {
		return d, nil
	}
	data, err := goyaml.Marshal(d.body)
	if err != nil {
		return d, invalid(d, "", "write it: %s", brief(err))
	}
	if !strings.Contains(string(data), "$") {
		return d, nil
	}
	unset := ""
	text, err := envsubst.Eval(string(data), func(name string) (string, bool) {
		value, ok := variables[name]
		if !ok {
			unset = name
		}
		return value, ok
	})
	switch {
	case err != nil && unset != "" && strings.Contains(err.Error(), "not set"):
		return d, failure(gitops.UndefinedVar,
			"set it, write ${"+unset+":=default}, write $${"+unset+"} for the text itself, or annotate the object with "+substituteDisabled+": disabled",
			"substitute in %s: the variable %s is not set", d.place, unset)
	case err != nil:
		return d, invalid(d, "write $${ for the text itself, or annotate the object with "+substituteDisabled+": disabled", "substitute: %s", brief(err))
	}
	d.body, err = decode(d.place+" after substitution", []byte(text))
	if err == nil && d.body == nil {
		err = invalid(d, "", "nothing is left after substitution")
	}
	return d, err
}

func wantsSubstitution(body map[string]any) bool {
	metadata, _ := body["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations"} {
		values, _ := metadata[field].(map[string]any)
		if values[substituteDisabled] == "disabled" {
			return false
		}
	}
	return true
}
