// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// The least there must be of scenarios, and of those that git itself makes.
const (
	leastScenarios    = 120
	leastGitScenarios = 40
)

// namedScenario is a scenario as it stands in the files of this package: name,
// and the reason that they are refused for.
type namedScenario struct{ name, reason, kind string }

// readScenarios finds the tables of scenarios in the test files, so that the
// count does not depend on which tests are run.
func readScenarios(t *testing.T) []namedScenario {
	t.Helper()
	paths, err := filepath.Glob("*_test.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	var out []namedScenario
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if table, ok := n.(*ast.CompositeLit); ok {
				out = append(out, scenariosOf(table)...)
			}
			return true
		})
	}
	return out
}

func scenariosOf(table *ast.CompositeLit) []namedScenario {
	var out []namedScenario
	switch kind := table.Type.(type) {
	case *ast.ArrayType:
		name, ok := kind.Elt.(*ast.Ident)
		if !ok || !slices.Contains([]string{"scenario", "rule", "gitScenario"}, name.Name) {
			return nil
		}
		for _, element := range table.Elts {
			row, ok := element.(*ast.CompositeLit)
			if !ok || len(row.Elts) < 3 {
				continue
			}
			text, isText := row.Elts[0].(*ast.BasicLit)
			reason, isReason := row.Elts[1].(*ast.SelectorExpr)
			if isText && isReason {
				out = append(out, namedScenario{unquoted(text), reason.Sel.Name, name.Name})
			}
		}
	case *ast.MapType: // of malformed commits, which have one reason
		value, ok := kind.Value.(*ast.FuncType)
		if !ok || value.Results == nil {
			return nil
		}
		if result, ok := value.Results.List[0].Type.(*ast.Ident); !ok || result.Name != "offer" {
			return nil
		}
		for _, element := range table.Elts {
			if text, ok := element.(*ast.KeyValueExpr).Key.(*ast.BasicLit); ok {
				out = append(out, namedScenario{unquoted(text), "MalformedCommit", "scenario"})
			}
		}
	}
	return out
}

func unquoted(text *ast.BasicLit) string {
	s, err := strconv.Unquote(text.Value)
	if err != nil {
		return text.Value
	}
	return s
}

// There are enough scenarios, each has a name of its own, they reach every
// reason that a decision can have, and git itself makes a good part of them.
func TestScenariosAreManyAndSpread(t *testing.T) {
	all := readScenarios(t)
	byGit, reasons, names := 0, map[string]int{}, map[string]bool{}
	for _, s := range all {
		if names[s.name] && s.kind == "gitScenario" {
			t.Errorf("scenario %q is there twice", s.name)
		}
		names[s.name] = true
		reasons[s.reason]++
		if s.kind == "gitScenario" {
			byGit++
		}
	}
	t.Logf("%d scenarios, %d of them by git: %v", len(all), byGit, reasons)
	if len(all) < leastScenarios || byGit < leastGitScenarios {
		t.Errorf("%d scenarios, %d of them by git; want %d and %d", len(all), byGit, leastScenarios, leastGitScenarios)
	}
	for _, reason := range []string{
		"Unsigned", "UnknownSigner", "BadSignature", "WeakKey", "KeyExpired", "KeyRevoked", "KeyNotYetValid",
		"MalformedCommit", "MalformedTag", "UnsupportedSig", "NotDescendant", "RolledBack", "Fork", "RefMismatch",
		"TooManyCommits", "TrustMissing", "NotApproved", "TrustFileRefused", "TrustFileMissing", "TrustRollback",
		"RefUnbound", "MergerAuthored", "ClockUntrusted", "Incomplete",
	} {
		if reasons[reason] == 0 {
			t.Errorf("no scenario is refused for %s", reason)
		}
	}
	for rule, wanted := range promises() {
		for _, name := range wanted {
			if !names[name] {
				t.Errorf("%s: there is no scenario %q", rule, name)
			}
		}
	}
}

// promises are the attacks that must not succeed, and the scenarios that show it.
func promises() map[string][]string {
	return map[string][]string{
		"bytes": {
			"two trees", "NUL in a header", "signature twice", "encoding that is not UTF-8", "git: commit encoded as Latin-1",
			"head is a blob that holds a signed commit", "tag with two signatures", "parent twice",
		},
		"keys": {
			"signature for a file", "RSA with SHA-1", "short RSA key", "DSA key", "security key that was not touched",
			"sound subkey of a short RSA key", "key bound with SHA-1", "git: key beyond the principal's time",
		},
		"where trust begins": {
			"git: unrelated root on a new node", "git: branch from below the introduction", "introduction that does not exist",
		},
		"every commit of the history": {
			"git: head committed without -S", "git: head signed by a stranger", "git: unsigned commit in the middle",
			"git: stranger's commit in the middle", "git: unsigned commit on the side of a merge",
			"git: stranger's commit on the side of a merge", "git: merge commit that nobody signed",
			"git: unsigned commit behind an octopus's third parent", "git: unsigned orphan merged in",
			"git merge: branch of somebody who lost the role since",
		},
		"trust file": {
			"git: trust file changed by a developer alone", "git: trust file changed with one root of two",
			"git: trust file of the same version", "git: rotation reverted by git revert", "git: trust file taken away by git rm",
			"git: older trust file than this node has accepted", "git: new roots that only the old ones approved",
			"git: new roots that only the new ones approved", "git: first trust file where nobody may make one",
			"git: one key in two principals", "git: trust file as a symbolic link",
		},
		"refs": {
			"git: dev shown as main", "git: main shown as dev", "git: head that says no ref", "git: head released in another repository",
			"git: release to stable by a developer", "git tag: shown under another name", "git tag: of another commit than is shown",
		},
		"merges by a forge": {
			"git merge: side that nobody approved", "git merge: forge adds a file", "git merge: octopus by a forge",
			"git merge: criss-cross by a forge", "git merge: forge settles a conflict inside a file", "git merge: squashed by a forge",
		},
		"protected paths": {
			"git: protected file changed without approval", "git: protected file moved away", "git: approval of another ref",
			"git: approval of another repository", "git: approval from another parent", "git: one approval under two names",
			"git: approval whose key has expired", "git: approval of the version before it was amended",
		},
		"revocation and seals": {
			"git: key that the roots revoked", "git: revocation that cannot be read", "git: expired key below a seal of one root",
			"git: head on top of what a stolen key made and the node accepted", "git: key that was revoked and is no longer shown as such",
		},
		"downgrade": {
			"git: reset --hard to an older commit", "git: mirror that is behind", "git: force-push of an amended commit",
			"git: force-push of a rebased branch", "git: orphan branch in the place of main", "git tag: older release after a newer one",
		},
		"time": {
			"git: expired key and a commit dated back", "git: revoked key and a commit dated ahead", "git: revoked key, and the clock is five years back",
			"git: revoked key, and the clock is in 1970", "git: expired key, and the clock is behind the time of the build",
			"git: clock eleven years beyond a seal", "clock that is not synchronised, where it has to be",
		},
	}
}
