// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one change of the source.
type mutant struct {
	id   int
	name string // file.go: function: what: the text it changes
	line int
}

// edit puts text in the place of a span of the source. Spans nest.
type edit struct {
	at, until int
	text      string
	opens     bool // an opening bracket: outer ones come first
	span      int  // how long its mutant's span is
}

// mutator finds the mutants of one file.
type mutator struct {
	file    string
	source  []byte
	set     *token.FileSet
	mutants *[]mutant
	edits   []edit
	within  string // the function
	names   map[string]int
}

func mutateFiles(pkg string, paths []string, dir string) ([]mutant, error) {
	var mutants []mutant
	overlay := map[string]string{}
	base, err := filepath.Abs(pkg)
	if err != nil {
		return nil, err
	}
	name := ""
	for _, path := range paths {
		path = filepath.Base(path)
		source, err := os.ReadFile(filepath.Join(base, path))
		if err != nil {
			return nil, err
		}
		m := &mutator{file: path, source: source, set: token.NewFileSet(), mutants: &mutants, names: map[string]int{}}
		parsed, err := parser.ParseFile(m.set, path, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		name = parsed.Name.Name
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				m.within = f.Name.Name
				m.function(f.Type, f.Body)
			}
		}
		out := filepath.Join(dir, path)
		if err := os.WriteFile(out, m.result(), 0o600); err != nil {
			return nil, err
		}
		overlay[filepath.Join(base, path)] = out
	}
	switches := filepath.Join(dir, "switches.go")
	if err := os.WriteFile(switches, []byte(strings.Replace(switchSource, "PACKAGE", name, 1)), 0o600); err != nil {
		return nil, err
	}
	overlay[filepath.Join(base, "zz_mutation_switches.go")] = switches
	return mutants, writeOverlay(filepath.Join(dir, "overlay.json"), overlay)
}

// function mutates a body. A statement that ends the function is not taken out:
// without it the function would not compile.
func (m *mutator) function(typ *ast.FuncType, body *ast.BlockStmt) {
	for i, s := range body.List {
		m.statement(s, typ, i < len(body.List)-1, true)
	}
}

// block mutates statements; removable says that each may be left out.
func (m *mutator) block(list []ast.Stmt, typ *ast.FuncType, removable bool) {
	for _, s := range list {
		m.statement(s, typ, removable, false)
	}
}

func (m *mutator) statement(s ast.Stmt, typ *ast.FuncType, removable, top bool) {
	switch s := s.(type) {
	case *ast.IfStmt:
		m.simple(s.Init)
		m.condition(s.Cond)
		m.block(s.Body.List, typ, removable)
		if s.Else != nil {
			m.statement(s.Else, typ, removable, false)
		}
	case *ast.BlockStmt:
		m.block(s.List, typ, removable)
	case *ast.ForStmt:
		if s.Cond != nil {
			m.condition(s.Cond)
		}
		m.block(s.Body.List, typ, removable)
	case *ast.RangeStmt:
		m.block(s.Body.List, typ, removable)
	case *ast.SwitchStmt:
		m.simple(s.Init)
		m.cases(s.Body, typ, removable, s.Tag == nil)
	case *ast.TypeSwitchStmt:
		m.cases(s.Body, typ, removable, false)
	case *ast.ReturnStmt:
		m.returns(s, typ, removable && !top)
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.BranchStmt:
		m.literals(s)
		m.remove(s, true)
	case *ast.AssignStmt:
		for _, e := range s.Rhs {
			m.expression(e)
		}
		m.remove(s, s.Tok != token.DEFINE)
	case *ast.DeferStmt, *ast.DeclStmt:
		m.literals(s)
	}
}

func (m *mutator) cases(body *ast.BlockStmt, typ *ast.FuncType, removable, conditions bool) {
	for _, s := range body.List {
		c := s.(*ast.CaseClause)
		if conditions {
			for _, e := range c.List {
				m.condition(e)
			}
		}
		m.block(c.Body, typ, removable)
	}
}

// simple is the statement before a condition: it is not left out itself.
func (m *mutator) simple(s ast.Stmt) {
	if a, ok := s.(*ast.AssignStmt); ok {
		for _, e := range a.Rhs {
			m.expression(e)
		}
	}
}

func (m *mutator) remove(s ast.Stmt, may bool) {
	if may {
		m.wrap("left out", s, "if !mutationOn(%d) {", "}")
	}
}

// returns leaves a return out, or has it say that nothing is wrong.
func (m *mutator) returns(s *ast.ReturnStmt, typ *ast.FuncType, removable bool) {
	if removable {
		m.wrap("left out", s, "if !mutationOn(%d) {", "}")
	}
	for _, e := range s.Results {
		m.expression(e)
	}
	if typ.Results == nil || len(s.Results) != typ.Results.NumFields() || removable {
		return
	}
	last := typ.Results.List[len(typ.Results.List)-1]
	if kind, ok := last.Type.(*ast.Ident); !ok || kind.Name != "error" {
		return
	}
	e := s.Results[len(s.Results)-1]
	if id, ok := e.(*ast.Ident); !ok || id.Name != "nil" {
		m.wrap("no error", e, "mutationNoError(%d, ", ")")
	}
}

// condition negates a whole condition, and mutates its parts.
func (m *mutator) condition(e ast.Expr) {
	if id, ok := e.(*ast.Ident); !ok || id.Name != "true" {
		m.wrap("negated", e, "mutationNot(%d, (", "))")
	}
	m.parts(e)
}

// expression looks for conditions in a value.
func (m *mutator) expression(e ast.Expr) {
	if b, ok := e.(*ast.BinaryExpr); ok {
		switch b.Op {
		case token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.GTR, token.LEQ, token.GEQ:
			m.condition(e)
			return
		}
	}
	m.parts(e)
}

// parts mutates what a condition is made of.
func (m *mutator) parts(e ast.Expr) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		m.parts(e.X)
	case *ast.UnaryExpr:
		m.parts(e.X)
	case *ast.BinaryExpr:
		switch e.Op {
		case token.LAND:
			m.wrap("not asked", e.X, "(mutationOn(%d) || (", "))")
			m.wrap("not asked", e.Y, "(mutationOn(%d) || (", "))")
		case token.LOR:
			m.wrap("not asked", e.X, "(!mutationOn(%d) && (", "))")
			m.wrap("not asked", e.Y, "(!mutationOn(%d) && (", "))")
		case token.LSS, token.LEQ, token.GTR, token.GEQ:
			m.boundary(e)
		}
		m.parts(e.X)
		m.parts(e.Y)
	default:
		m.literals(e)
	}
}

// boundary moves a comparison by one.
func (m *mutator) boundary(e *ast.BinaryExpr) {
	name := map[token.Token]string{token.LSS: "Less", token.LEQ: "LessEqual", token.GTR: "Greater", token.GEQ: "GreaterEqual"}[e.Op]
	m.wrap("off by one", e, "mutation"+name+"(%d, ", ")")
	at := m.offset(e.OpPos)
	m.edits = append(m.edits, edit{at: at, until: at + len(e.Op.String()), text: ","})
}

// literals finds the functions inside a statement or an expression.
func (m *mutator) literals(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncLit); ok {
			m.function(f.Type, f.Body)
			return false
		}
		return true
	})
}

// wrap makes a mutant of a node by putting it between two texts.
func (m *mutator) wrap(what string, n ast.Node, open, closing string) {
	from, until := m.offset(n.Pos()), m.offset(n.End())
	text := strings.Join(strings.Fields(string(m.source[from:until])), " ")
	if len(text) > 70 {
		text = text[:70] + "…"
	}
	name := fmt.Sprintf("%s: %s: %s: %s", m.file, m.within, what, text)
	if m.names[name]++; m.names[name] > 1 {
		name = fmt.Sprintf("%s #%d", name, m.names[name])
	}
	id := len(*m.mutants) + 1
	*m.mutants = append(*m.mutants, mutant{id: id, name: name, line: m.set.Position(n.Pos()).Line})
	m.edits = append(m.edits,
		edit{at: from, until: from, text: fmt.Sprintf(open, id), opens: true, span: until - from},
		edit{at: until, until: until, text: closing, span: until - from})
}

func (m *mutator) offset(p token.Pos) int { return m.set.Position(p).Offset }

// result is the source with all edits made. At one place closing brackets come
// first, inner ones before outer ones, and opening ones the other way round;
// mutants of one and the same span nest in the order in which they were made.
func (m *mutator) result() []byte {
	order := make([]int, len(m.edits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := m.edits[i], m.edits[j]
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.opens != b.opens:
			if a.opens {
				return 1
			}
			return -1
		case a.span != b.span && a.opens:
			return b.span - a.span
		case a.span != b.span:
			return a.span - b.span
		case a.opens:
			return i - j
		}
		return j - i
	})
	var out []byte
	at := 0
	for _, i := range order {
		e := m.edits[i]
		out = append(out, m.source[at:e.at]...)
		out = append(out, e.text...)
		at = e.until
	}
	return append(out, m.source[at:]...)
}
