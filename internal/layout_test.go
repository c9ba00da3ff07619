// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module  = "github.com/edgeagent/edgeagent"
	license = "// SPDX-License-Identifier: Apache-2.0\n"

	maxLines     = 400
	maxTestLines = 600
)

// testOnly are imports that no package of the daemon may have.
var testOnly = []string{"testing", "github.com/rogpeppe/go-internal", "pgregory.net/rapid", module + "/test"}

// layout is what a source tree looks like: parsed once, asked many questions.
type layout struct {
	root  string
	files []goFile
}

type goFile struct {
	path    string // from the root, with slashes
	src     []byte
	syntax  *ast.File
	imports []string
}

func (f goFile) dir() string  { return path.Dir(f.path) }
func (f goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// readLayout parses every Go file below root, other modules of the repository
// included.
func readLayout(t *testing.T, root string) layout {
	t.Helper()
	tree := layout{root: root}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" || base == "dist") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		file := goFile{path: filepath.ToSlash(rel), src: src, syntax: syntax}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			file.imports = append(file.imports, imported)
		}
		tree.files = append(tree.files, file)
		return nil
	})
	if err != nil {
		t.Fatalf("read the source tree %s: %v", root, err)
	}
	return tree
}

// table maps the last word of internal/NAME to the names it may import.
type table map[string][]string

var tableRow = regexp.MustCompile("^\\| `internal/([a-z]+)` \\| .* \\| ([a-z, ]+) \\|$")

// readTable reads the package table of the architecture page: the page cannot
// rot, because it is the rule.
func readTable(t *testing.T, page string) table {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := table{}
	for _, line := range strings.Split(string(text), "\n") {
		match := tableRow.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		allowed := []string{}
		if match[2] != "none" {
			allowed = strings.Split(match[2], ", ")
		}
		rows[match[1]] = allowed
	}
	return rows
}

// rowOf names the package of the table that a path below the module belongs to.
func rowOf(name string) (string, bool) {
	rest, below := strings.CutPrefix(name, "internal/")
	row, _, _ := strings.Cut(rest, "/")
	return row, below
}

// importFindings lists imports that the table does not allow. Tests are free:
// they may bring the real neighbour instead of a fake.
func (l layout) importFindings(rows table) []string {
	var findings []string
	for _, file := range l.files {
		row, internal := rowOf(file.dir())
		if file.isTest() || !internal && !strings.HasPrefix(file.path, "packaging/") {
			continue
		}
		allowed, known := rows[row]
		if internal && !known {
			findings = append(findings, fmt.Sprintf("%s: internal/%s has no row in the package table", file.path, row))
			continue
		}
		for _, imported := range file.imports {
			if imported != module && !strings.HasPrefix(imported, module+"/") {
				if row == "gitops" && strings.Contains(strings.Split(imported, "/")[0], ".") {
					findings = append(findings, fmt.Sprintf("%s: gitops needs the standard library only, not %s", file.path, imported))
				}
				continue
			}
			target, ok := rowOf(strings.TrimPrefix(imported, module+"/"))
			if !internal || !ok || target != row && !slices.Contains(allowed, target) {
				findings = append(findings, fmt.Sprintf("%s: may not import %s", file.path, imported))
			}
		}
	}
	return findings
}

// docFindings lists packages without a package comment.
func (l layout) docFindings() []string {
	documented := map[string]bool{}
	for _, file := range l.files {
		if file.isTest() {
			continue
		}
		text := file.syntax.Doc.Text()
		prefix := "Package " + file.syntax.Name.Name + " "
		if file.syntax.Name.Name == "main" {
			prefix = "Command "
		}
		documented[file.dir()] = documented[file.dir()] || strings.HasPrefix(text, prefix)
	}
	var findings []string
	for dir, ok := range documented {
		if !ok {
			findings = append(findings, dir+": no package comment that says what it owns and what it never does")
		}
	}
	slices.Sort(findings)
	return findings
}

// fileFindings lists files without their licence line, and files too long to
// be read at one go.
func (l layout) fileFindings() []string {
	var findings []string
	for _, file := range l.files {
		if !bytes.HasPrefix(file.src, []byte(license)) {
			findings = append(findings, file.path+": the first line is not "+strings.TrimSpace(license))
		}
		limit := maxLines
		if file.isTest() {
			limit = maxTestLines
		}
		if lines := bytes.Count(file.src, []byte("\n")); lines > limit {
			findings = append(findings, fmt.Sprintf("%s: %d lines, more than %d: split it", file.path, lines, limit))
		}
	}
	return findings
}

// testImportFindings follows the imports of the daemon through our packages
// and lists test code on the way. Packages that no daemon imports may have it.
func (l layout) testImportFindings(rows table) []string {
	imports := map[string][]string{}
	for _, file := range l.files {
		if !file.isTest() {
			imports[file.dir()] = append(imports[file.dir()], file.imports...)
		}
	}
	queue := []string{"cmd/edgeagent"}
	for row := range rows {
		queue = append(queue, "internal/"+row)
	}
	var findings []string
	seen := map[string]bool{}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		for _, imported := range imports[dir] {
			for _, forbidden := range testOnly {
				if imported == forbidden || strings.HasPrefix(imported, forbidden+"/") {
					findings = append(findings, fmt.Sprintf("%s: the daemon may not import %s", dir, imported))
				}
			}
			if rest, ours := strings.CutPrefix(imported, module+"/"); ours {
				queue = append(queue, rest)
			}
		}
	}
	slices.Sort(findings)
	return findings
}
