// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read is how a reader understands a commit: "TREE PARENT PARENT …".
func read(tree gitops.Hash, parents []gitops.Hash) string {
	words := []string{string(tree)}
	for _, p := range parents {
		words = append(words, string(p))
	}
	return strings.Join(words, " ")
}

// mutate damages a commit the way an attacker would, or chance.
func mutate(r *rand.Rand, raw []byte) []byte {
	lines := bytes.SplitAfter(slices.Clone(raw), []byte("\n"))
	at := func() int { return r.IntN(min(len(lines), 9)) } // mostly among the headers
	for range 1 + r.IntN(2) {
		i, j := at(), at()
		switch r.IntN(8) {
		case 0:
			lines = slices.Insert(lines, i, lines[j])
		case 1:
			lines[i], lines[j] = lines[j], lines[i]
		case 2:
			lines = slices.Delete(lines, i, i+1)
		case 3:
			lines[i] = append([]byte(" "), lines[i]...)
		case 4:
			line := slices.Clone(lines[i])
			if len(line) > 0 {
				line[r.IntN(len(line))] = " \n\x00\r<>+-0aFg\t"[r.IntN(13)]
			}
			lines[i] = line
		case 5:
			extra := []string{"parent " + strings.Repeat("a", 40), "tree " + strings.Repeat("b", 40), "encoding UTF-8", "mergetag x", "HG:rename x", "gpgsig x", ""}
			lines = slices.Insert(lines, i, []byte(extra[r.IntN(len(extra))]+"\n"))
		case 6:
			lines[i] = bytes.ToUpper(lines[i])
		default:
			lines[i] = bytes.TrimRight(lines[i], "\n")
		}
		if len(lines) == 0 {
			return nil
		}
	}
	return bytes.Join(lines, nil)
}

// gitReads asks git itself what commits say.
func (r *repo) gitReads(commits map[gitops.Hash]string) map[gitops.Hash]string {
	r.t.Helper()
	var ids strings.Builder
	for id := range commits {
		fmt.Fprintln(&ids, id)
	}
	cmd := r.command("log", "--no-walk=unsorted", "--stdin", "--format=%H %T %P")
	cmd.Stdin = strings.NewReader(ids.String())
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git cannot read what we accept: %v\n%s", err, complaints.String())
	}
	theirs := map[gitops.Hash]string{}
	for line := range strings.Lines(string(out)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		theirs[gitops.Hash(id)] = strings.TrimSpace(rest)
	}
	if len(theirs) != len(commits) {
		r.t.Fatalf("git tells of %d commits, not %d\n%.500s%s", len(theirs), len(commits), out, complaints.String())
	}
	return theirs
}

func FuzzCommit(f *testing.F) {
	w := newRepo(f)
	ann := ed25519Key()
	root := w.commit(nil)
	other := w.commit(ann.sign, root)
	f.Add([]byte(signText(w.unsigned(root), ann.sign)))
	f.Add([]byte(signText(mergeTag(w.unsigned(root, other), tagText(other, gitops.CommitObject, "v1")), ann.sign)))
	f.Add([]byte(w.unsigned()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tree, parents, payload, err := verify.ReadCommit(raw)
		if err != nil {
			return
		}
		if got, _ := verify.Links(raw); !slices.Equal(got, parents) {
			t.Fatalf("the walk reads parents %s, the grammar %s", got, parents)
		}
		again, parentsAgain, rest, err := verify.ReadCommit(payload)
		if err != nil || again != tree || !slices.Equal(parentsAgain, parents) || !bytes.Equal(rest, payload) {
			t.Fatalf("what was signed reads as %s %s, %v; the commit as %s %s", again, parentsAgain, err, tree, parents)
		}
		w.t = t
		id := w.put(gitops.CommitObject, raw)
		for id, theirs := range w.gitReads(map[gitops.Hash]string{id: ""}) {
			if ours := read(tree, parents); theirs != ours {
				t.Fatalf("git reads %q, we read %q, in %s", theirs, ours, id)
			}
		}
	})
}

func FuzzTag(f *testing.F) {
	ann := ed25519Key()
	text := tagText(emptyTree, gitops.CommitObject, "v1")
	f.Add([]byte(text))
	f.Add([]byte(text + ann.sign([]byte(text))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		object, kind, name, payload, err := verify.ReadTag(raw)
		if err != nil {
			return
		}
		objectAgain, kindAgain, nameAgain, rest, err := verify.ReadTag(payload)
		if err != nil || object != objectAgain || kind != kindAgain || name != nameAgain || !bytes.Equal(rest, payload) || !bytes.HasPrefix(raw, payload) {
			t.Fatalf("what was signed reads as %s %s %q, %v; the tag as %s %s %q", objectAgain, kindAgain, nameAgain, err, object, kind, name)
		}
	})
}

func FuzzAllowedSigners(f *testing.F) {
	key := ed25519Key().line()
	f.Add([]byte("a@x " + key + "\n"))
	f.Add([]byte(`"a b" namespaces="git,!x",valid-after="20250101Z",valid-before="20260101" ` + key + " c\n# c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := verify.ParseSigners(data); err == nil && n > bytes.Count(data, []byte("\n"))+1 {
			t.Fatalf("%d signers in %q", n, data)
		}
		verify.ParseRevoked(data)
		verify.ParseKeys(data)
	})
}

// FuzzSignature shows that no bytes make the signature libraries fall over, and
// that none but the signature itself are accepted.
func FuzzSignature(f *testing.F) {
	payload := []byte("payload\n")
	ann := ed25519Key()
	dir := f.TempDir()
	ca := ed25519Key()
	writeFile(f, dir+"/allowed_signers", "ann@x "+ann.line()+"\n*@example.com cert-authority "+ca.line()+"\n")
	v, err := verify.New(verify.Config{Source: "fleet", Mode: verify.ModeHead, Introduction: verify.FirstSeen,
		AllowedSigners: dir + "/allowed_signers", OpenPGPKeys: "testdata/keys.asc"}, memory{})
	if err != nil {
		f.Fatal(err)
	}
	block, _ := pem.Decode([]byte(ann.sign(payload)))
	f.Add(block.Bytes, false)
	block, _ = pem.Decode([]byte(under(ca.certify(blank(ann.PublicKey())), ann.sign)(payload)))
	f.Add(block.Bytes, false)
	for _, name := range []string{"ed25519", "rsa", "nistp256"} {
		data, err := os.ReadFile("testdata/" + name + ".sig")
		if err != nil {
			f.Fatal(err)
		}
		if err := verify.CheckSignature(v, payload, openPGPArmor(data)); err != nil {
			f.Fatalf("%s: %v", name, err)
		}
		f.Add(data, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, openPGP bool) {
		armor := armorRaw("SSH SIGNATURE", data)
		if openPGP {
			armor = openPGPArmor(data)
		}
		if err := verify.CheckSignature(v, []byte("something else\n"), armor); err == nil {
			t.Fatalf("a signature that was not made for it is accepted: %x", data)
		}
	})
}
