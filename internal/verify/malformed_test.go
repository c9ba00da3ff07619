// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// malformed offers a commit whose bytes were changed before ann signed them:
// the signature holds, and only the grammar is in the way.
func malformed(change func(w *world, text string) string) func(*world, bool) offer {
	return oneCommit(
		func(w *world) gitops.Hash { return w.commit(w.ann.sign, w.root) },
		func(w *world) gitops.Hash {
			text := w.unsigned(w.root)
			changed := change(w, text)
			if changed == text {
				w.t.Fatal("the scenario changes nothing")
			}
			return w.put(gitops.CommitObject, []byte(signText(changed, w.ann.sign)))
		},
	)
}

func replaced(old, new string) func(*world, bool) offer {
	return malformed(func(_ *world, text string) string { return strings.Replace(text, old, new, 1) })
}

// before puts a header in front of another one.
func before(key, line string) func(*world, bool) offer {
	return replaced("\n"+key+" ", "\n"+line+"\n"+key+" ")
}

// behind puts a header behind the committer's.
func behind(line string) func(*world, bool) offer { return replaced("\n\n", "\n"+line+"\n\n") }

// signedTwice changes the text behind the signature's header, which the
// signature does not cover.
func signedTwice(change func(w *world, text string) string) func(*world, bool) offer {
	return oneCommit(
		func(w *world) gitops.Hash { return w.commit(w.ann.sign, w.root) },
		func(w *world) gitops.Hash {
			return w.put(gitops.CommitObject, []byte(change(w, signText(w.unsigned(w.root), w.ann.sign))))
		},
	)
}

func TestMalformedCommits(t *testing.T) {
	w := newWorld(t)
	otherTree := "tree " + strings.Repeat("a", 40)
	zeros := strings.Repeat("0", 40)
	refused := map[string]func(*world, bool) offer{
		"two trees":                   before("author", otherTree),
		"two trees side by side":      before("parent", otherTree),
		"tree behind the committer":   behind(otherTree),
		"no tree":                     malformed(func(_ *world, s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest }),
		"tree in upper case":          replaced(string(emptyTree), strings.ToUpper(string(emptyTree))),
		"tree cut short":              replaced(string(emptyTree), string(emptyTree)[:39]),
		"tree with a space behind it": replaced(string(emptyTree), string(emptyTree)+" "),
		"parent behind the author":    before("committer", "parent "+zeros),
		"parent behind the committer": behind("parent " + zeros),
		"parent twice": malformed(func(w *world, s string) string {
			p := "parent " + string(w.root) + "\n"
			return strings.Replace(s, p, p+p, 1)
		}),
		"two authors":    before("committer", "author "+person+" 1 +0000"),
		"two committers": behind("committer " + person + " 1 +0000"),
		"no committer": malformed(func(_ *world, s string) string {
			return s[:strings.Index(s, "committer")] + s[strings.Index(s, "\n\n")+1:]
		}),
		"no author": malformed(func(_ *world, s string) string {
			return s[:strings.Index(s, "author")] + s[strings.Index(s, "committer"):]
		}),
		"committer before author": malformed(func(_ *world, s string) string {
			return strings.Replace(strings.Replace(strings.Replace(s, "\nauthor ", "\nX ", 1), "\ncommitter ", "\nauthor ", 1), "\nX ", "\ncommitter ", 1)
		}),
		"encoding that is not UTF-8":             behind("encoding ISO-8859-1"),
		"encoding twice":                         behind("encoding UTF-8\nencoding UTF-8"),
		"encoding before the committer":          before("committer", "encoding UTF-8"),
		"header that is not known":               behind("change-id zzz"),
		"header without a value":                 behind("encoding"),
		"header with an empty value":             behind("encoding "),
		"header without a key":                   replaced("tree ", " tree "),
		"author on two lines":                    replaced("\ncommitter", "\n more\ncommitter"),
		"tree on two lines":                      replaced("\nparent", "\n more\nparent"),
		"signature of a SHA-256 twin":            behind("gpgsig-sha256 x"),
		"NUL in the message":                     replaced("Some words", "Some\x00words"),
		"NUL in a header":                        replaced("Ann", "A\x00n"),
		"carriage return in a header":            replaced("> 1", ">\r 1"),
		"carriage return at a line's end":        replaced("\nauthor", "\r\nauthor"),
		"escape character in a name":             replaced("Ann", "A\x1b[2Jn"),
		"delete character in a name":             replaced("Ann", "A\x7fn"),
		"no e-mail":                              replaced(" <ann@example.com>", ""),
		"e-mail not closed":                      replaced("com>", "com"),
		"e-mail closed twice":                    replaced("com>", "com>>"),
		"e-mail with a bracket in it":            replaced("ann@", "ann<@"),
		"name with a bracket in it":              replaced("author Ann", "author A>n"),
		"name without a space behind it":         replaced("Example <", "Example<"),
		"no time":                                replaced(" +0100\ncommitter", "\ncommitter"),
		"time with a zero in front":              replaced("> 17", "> 017"),
		"time with a sign":                       replaced("> 17", "> +17"),
		"negative time":                          replaced("> 17", "> -17"),
		"time after the year 9999":               replaced("> 17", "> 9917"),
		"time that overflows":                    replaced("> 17", "> 99999999999917"),
		"zone without a sign":                    replaced("+0100", "0100"),
		"zone with five digits":                  replaced("+0100", "+01000"),
		"zone with a digit for a sign":           replaced("+0100", "00100"),
		"zone with a slash in it":                replaced("+0100", "+0/00"),
		"name on two lines":                      replaced("author Ann Example", "author Ann\n Example"),
		"signature that begins on the next line": signedTwice(func(_ *world, s string) string { return strings.Replace(s, "gpgsig -", "gpgsig \n -", 1) }),
		"zone without a minute":                  replaced("+0100", "+01"),
		"zone of letters":                        replaced("+0100", "+01x0"),
		"zone beyond the world":                  replaced("+0100", "+1500"),
		"zone with 60 minutes":                   replaced("+0100", "+0160"),
		"zone with text behind it":               replaced("+0100", "+0100 x"),
		"mergetag without a merge":               malformed(func(w *world, s string) string { return mergeTag(s, tagText(w.root, "commit", "v1")) }),
		"signature twice": signedTwice(func(_ *world, s string) string {
			sig := s[strings.Index(s, "gpgsig"):strings.Index(s, "\n\n")]
			return strings.Replace(s, "\n\n", "\n"+sig+"\n\n", 1)
		}),
		"two signatures in one header": signedTwice(func(w *world, s string) string {
			return withSignature(s[:strings.Index(s, "gpgsig")]+"\n"+s[strings.Index(s, "\n\n")+2:], w.ann.sign(nil)+w.ann.sign(nil))
		}),
		"signature before the committer": signedTwice(func(_ *world, s string) string {
			from, to := strings.Index(s, "gpgsig"), strings.Index(s, "\n\n")+1
			at := strings.Index(s, "committer")
			return s[:at] + s[from:to] + s[at:from] + s[to:]
		}),
		"signature without its key": signedTwice(func(_ *world, s string) string {
			from, to := strings.Index(s, "gpgsig"), strings.Index(s, "\n\n")+1
			return " " + s[from:to] + s[:from] + s[to:]
		}),
		"header behind the signature": signedTwice(func(_ *world, s string) string { return strings.Replace(s, "\n\n", "\nencoding UTF-8\n\n", 1) }),
		"no blank line":               signedTwice(func(_ *world, s string) string { return s[:strings.Index(s, "\n\n")+1] }),
		"last line not ended":         signedTwice(func(_ *world, s string) string { return s[:strings.Index(s, "\n\n")] }),
		"nothing at all":              signedTwice(func(*world, string) string { return "" }),
		"larger than a megabyte":      malformed(func(_ *world, s string) string { return s + strings.Repeat("x", 1<<20) }),
	}
	var scenarios []scenario
	for name, build := range refused {
		scenarios = append(scenarios, scenario{name, gitops.MalformedCommit, build})
	}
	runScenarios(t, w, scenarios)
}

// mergeTag quotes a tag in a commit, as git merge does.
func mergeTag(text, tag string) string {
	folded := strings.ReplaceAll(strings.TrimSuffix(tag, "\n"), "\n", "\n ")
	return strings.Replace(text, "\n\n", "\nmergetag "+folded+"\n\n", 1)
}

func TestMergeTags(t *testing.T) {
	w := newWorld(t)
	main, side := w.commit(w.ann.sign, w.root), w.commit(w.ben.sign, w.root)
	merge := func(quote func(w *world) string) func(*world, bool) offer {
		return oneCommit(
			func(w *world) gitops.Hash {
				good := tagText(side, gitops.CommitObject, "v1")
				text := mergeTag(w.unsigned(main, side), good+w.mallory.sign([]byte(good)))
				return w.put(gitops.CommitObject, []byte(signText(text, w.ann.sign)))
			},
			func(w *world) gitops.Hash {
				return w.put(gitops.CommitObject, []byte(signText(mergeTag(w.unsigned(main, side), quote(w)), w.ann.sign)))
			},
		)
	}
	runScenarios(t, w, []scenario{
		{"mergetag of the first parent", gitops.MalformedCommit, merge(func(*world) string { return tagText(main, "commit", "v1") })},
		{"mergetag of a stranger", gitops.MalformedCommit, merge(func(w *world) string { return tagText(w.root, "commit", "v1") })},
		{"mergetag of a tag", gitops.MalformedCommit, merge(func(*world) string { return tagText(side, "tag", "v1") })},
		{"mergetag that is no tag", gitops.MalformedCommit, merge(func(*world) string { return "object " + string(side) + "\n\nno\n" })},
	})
}

// What real Git and real forges write must not be refused.
func TestFormsThatAreAccepted(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(string) string{
		"encoding UTF-8":      func(s string) string { return strings.Replace(s, "\n\n", "\nencoding UTF-8\n\n", 1) },
		"encoding utf8":       func(s string) string { return strings.Replace(s, "\n\n", "\nencoding utf8\n\n", 1) },
		"empty e-mail":        func(s string) string { return strings.Replace(s, "ann@example.com", "", 1) },
		"empty message":       func(s string) string { return s[:strings.Index(s, "\n\n")+2] },
		"zone -0330":          func(s string) string { return strings.Replace(s, "+0100", "-0330", 1) },
		"first day of 1970":   func(s string) string { return strings.Replace(s, " "+dateOf(s)+" ", " 0 ", 1) },
		"name that is Latin1": func(s string) string { return strings.Replace(s, "Ann", "J\xfcrg", 1) },
		"armor in the message": func(s string) string {
			return s + "-----BEGIN PGP SIGNATURE-----\n-----BEGIN SSH SIGNATURE-----\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			text := w.unsigned(w.root)
			changed := change(text)
			if changed == text {
				t.Fatal("the case changes nothing")
			}
			head := w.put(gitops.CommitObject, []byte(signText(changed, w.ann.sign)))
			if _, err := w.verifier(nil).Verify(t.Context(), onMain(head), ""); err != nil {
				t.Error(err)
			}
		})
	}
}

func dateOf(text string) string {
	_, rest, _ := strings.Cut(text, "> ")
	date, _, _ := strings.Cut(rest, " ")
	return date
}
