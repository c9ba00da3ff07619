// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
)

// pure are the functions of the template library that depend on their
// arguments alone. A function that is in neither list is new: it has to be
// looked at before charts may call it.
var pure = strings.Fields(`abbrev abbrevboth add add1 add1f addf adler32sum all any append atoi b32dec b32enc b64dec
	b64enc base biggest buildCustomCert camelcase cat ceil chunk clean coalesce compact concat contains decryptAES
	deepCopy deepEqual default dict dig dir div divf duration empty ext fail first float64 floor fromJson get gt gte
	has hasKey hasPrefix hasSuffix hello indent initial initials int int64 isAbs join kebabcase keys kindIs kindOf last
	list lt lte max maxf merge mergeOverwrite min minf mod mul mulf mustAppend mustChunk mustCompact mustDeepCopy
	mustFirst mustFromJson mustHas mustInitial mustLast mustMerge mustMergeOverwrite mustPrepend mustPush
	mustRegexFind mustRegexFindAll mustRegexMatch mustRegexReplaceAll mustRegexReplaceAllLiteral mustRegexSplit
	mustRest mustReverse mustSlice mustToJson mustToPrettyJson mustToRawJson mustUniq mustWithout nindent nospace omit
	osBase osClean osDir osExt osIsAbs pick pluck plural prepend push quote regexFind regexFindAll regexMatch
	regexQuoteMeta regexReplaceAll regexReplaceAllLiteral regexSplit repeat replace rest reverse round semver
	semverCompare seq set sha1sum sha256sum sha512sum slice snakecase sortAlpha split splitList splitn squote sub subf
	substr swapcase ternary title toDecimal toJson toPrettyJson toRawJson toString toStrings trim trimAll trimPrefix
	trimSuffix trimall trunc tuple typeIs typeIsLike typeOf uniq unset until untilStep untitle upper lower urlJoin urlParse
	values without wrap wrapWith`)

func TestEveryFunctionOfChartsIsPureOrRefused(t *testing.T) {
	for name := range sprig.TxtFuncMap() {
		if slices.Contains(pure, name) == slices.Contains(render.RefusedFunctions(), name) {
			t.Errorf("%s is in both lists or in none", name)
		}
	}
}

// TestRefusedFunctionsParseAndFailWhenCalled: a chart that mentions one in a
// branch that is not taken renders.
func TestRefusedFunctionsParseAndFailWhenCalled(t *testing.T) {
	for _, name := range render.RefusedFunctions() {
		for condition, want := range map[string]gitops.Reason{"false": "", "true": gitops.HelmFailed} {
			s := store{}
			root := s.tree(chart(fmt.Sprintf("{{ if %s }}{{ %s }}{{ end }}", condition, name) + fmt.Sprintf(configMap, "a")))
			_, err := renderer(t, render.Config{}, s).Build(t.Context(), root, cluster)
			if got := gitops.ReasonOf(err); got != want || err != nil && !strings.Contains(err.Error(), name+" is refused") {
				t.Errorf("%s in a branch that is %s: got %q (%v), want %q", name, condition, got, err, want)
			}
		}
	}
}

// TestReplacedFunctionsAnswerAsBefore compares ours with the library's.
func TestReplacedFunctionsAnswerAsBefore(t *testing.T) {
	ours, theirs := template.FuncMap(render.Functions()), sprig.TxtFuncMap()
	calls := []string{
		`repeat 3 "ab"`, `repeat 0 "ab"`, `repeat 5 ""`, `"x" | repeat 2`,
		`until 5`, `until 0`, `until -3`, `untilStep 0 10 3`, `untilStep 10 0 -4`, `untilStep 0 10 -1`,
		`untilStep 10 0 1`, `untilStep 3 3 1`, `untilStep 3 3 -1`, `untilStep 0 5 0`, `untilStep 5 0 0`,
		`seq`, `seq 0`, `seq 1`, `seq 4`, `seq -2`, `seq 2 5`, `seq 5 2`, `seq 3 3`, `seq 1 2 9`, `seq 9 -3 1`, `seq 9 3 1`,
		`seq 1 -1 5`, `seq 5 1 5`, `seq 1 2 3 4`,
		`indent 4 "a\nb\n"`, `indent 0 "a"`, `nindent 2 "a\nb"`, `nindent 0 ""`,
		`keys (dict "a" 1)`, `keys (dict)`, `values (dict "a" 1)`, `values (dict)`,
	}
	for _, call := range calls {
		run := func(funcs template.FuncMap) string {
			parsed, err := template.New("call").Funcs(sprig.TxtFuncMap()).Funcs(funcs).Parse(`{{ print (` + call + `) }}`)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := parsed.Execute(&out, nil); err != nil {
				return "error"
			}
			return out.String()
		}
		if got, want := run(ours), run(theirs); got != want {
			t.Errorf("%s: got %q, want %q", call, got, want)
		}
	}
}

// TestFluxSubstitution is Flux' syntax, on values and on whole documents.
func TestFluxSubstitution(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a ${NAME} b", "a oslo b"},
		{"${NAME:=x} ${NONE:=x} ${NONE:-y} ${NONE=z}", "oslo x y z"},
		{"$${NAME} $NAME $(NAME) $", "${NAME} $NAME $(NAME) $"},
		{"${NAME^^} ${NAME:0:2} ${#NAME} ${NAME/o/0}", "OSLO os 4 0slo"},
		{"${LINES}", "onetwo"},
	} {
		s := store{}
		root := s.tree(map[string]string{"a.yaml": fmt.Sprintf(configMap, "a") + "data:\n  v: '" + c.in + "'\n"})
		n := node
		n.Variables = map[string]string{"NAME": "oslo", "LINES": "one\ntwo"}
		m, err := renderer(t, render.Config{Node: n}, s).Build(t.Context(), root, cluster)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if want := "  v: " + c.want + "\n"; !strings.Contains(string(m.Objects[0].YAML), want) {
			t.Errorf("%s: got\n%s\nwant a line %q", c.in, m.Objects[0].YAML, want)
		}
	}
}

func TestBundleVariablesWinOverTheNodes(t *testing.T) {
	s := store{}
	root := s.tree(map[string]string{
		"edgeagent.yaml": "apiVersion: edgeagent.dev/v1alpha1\nkind: Bundle\nmetadata: {name: b}\nspec: {path: ., substitute: {WHO: git}}\n",
		"a.yaml":         fmt.Sprintf(configMap, "a") + "data: {who: \"${WHO} ${SITE}\"}\n",
	})
	n := node
	n.Variables = map[string]string{"WHO": "node", "SITE": "oslo"}
	m, err := renderer(t, render.Config{Node: n}, s).Build(t.Context(), root, cluster)
	if err != nil || !strings.Contains(string(m.Objects[0].YAML), "who: git oslo\n") {
		t.Errorf("got %v, %v", m.Objects, err)
	}
}

func TestNodeVariablesAreChecked(t *testing.T) {
	_, err := render.New(render.Config{Source: "s", Node: render.Node{Variables: map[string]string{"A-B": "x"}}}, store{})
	if got := gitops.ReasonOf(err); got != gitops.BadRequest {
		t.Errorf("got %q (%v), want BadRequest", got, err)
	}
}
