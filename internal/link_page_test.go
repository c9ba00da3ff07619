// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reasonsOf are the reasons of one group of the source, in its order.
func reasonsOf(t *testing.T, file, group string) []string {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, decl := range syntax.Decls {
		constants, ok := decl.(*ast.GenDecl)
		if !ok || constants.Doc.Text() != group+"\n" {
			continue
		}
		for _, spec := range constants.Specs {
			for _, value := range spec.(*ast.ValueSpec).Values {
				reason, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				reasons = append(reasons, reason)
			}
		}
	}
	return reasons
}

// explained are the reasons of a page's table, each with what happened and what
// to do about it.
func explained(page string) []string {
	var reasons []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\| ([^|]+) \\| ([^|]+) \\|$").FindAllStringSubmatch(page, -1) {
		reasons = append(reasons, row[1])
	}
	return reasons
}

func TestLinkPageExplainsEveryReason(t *testing.T) {
	want := reasonsOf(t, filepath.Join(root, "internal/gitops/reason.go"), "Pull.")
	if len(want) < 20 || !slices.Contains(want, "ObjectExceedsLink") {
		t.Fatalf("the reasons of pull were not found: %v", want)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/link.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, explained(string(page))); diff != "" {
		t.Errorf("reasons in the table of docs/link.md (-want +got):\n%s", diff)
	}
}
