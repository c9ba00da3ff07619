// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// This file is the world in which git and ssh-keygen make everything: commits,
// merges, tags and statements are those that people would push.

// people have a key each. Gone's is valid until 2026-01-01, lost's is revoked,
// mallory's is nowhere.
var people = []string{"alice", "bob", "carol", "dan", "erin", "forge", "gone", "lost", "mallory"}

// realKeys makes the keys once: the private ones by name, the public ones with
// ".pub" behind it.
var realKeys = sync.OnceValues(func() (files, error) {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, name := range people {
		cmd := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", filepath.Join(dir, name))
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w\n%s", err, out)
		}
	}
	return readFiles(dir)
})

func readFiles(dir string) (files, error) {
	out := files{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		out[path] = string(data)
		return err
	})
	return out, err
}

// writeTo writes the files below a directory, for nobody else to read: a
// private key that others may read is none to ssh-keygen.
func (f files) writeTo(t testing.TB, dir string) {
	t.Helper()
	for path, content := range f {
		full := filepath.Join(dir, path)
		err := os.MkdirAll(filepath.Dir(full), 0o700)
		if err == nil {
			err = os.WriteFile(full, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// gitWorld is a repository that people work in with git.
type gitWorld struct {
	*repo
	keys   string // the directory with everybody's keys, and the node's files
	public files
	root   gitops.Hash // the introduction
	inband bool        // it has a trust file
}

func newGitWorld(t *testing.T, inband bool) *gitWorld {
	t.Helper()
	keys, err := realKeys()
	if err != nil {
		t.Fatal(err)
	}
	g := &gitWorld{repo: newRepo(t), keys: t.TempDir(), public: keys, inband: inband}
	keys.writeTo(t, g.keys)
	files{
		"allowed_signers": strings.Join([]string{
			g.signer("dan", ""), g.signer("erin", ""), g.signer("lost", ""), g.signer("gone", `valid-before="20260101Z" `),
		}, ""),
		"roots":   g.signer("alice", "") + g.signer("bob", "") + g.signer("carol", ""),
		"revoked": g.public["lost.pub"],
	}.writeTo(t, g.keys)
	base := files{"apps/web.yaml": "a: 1\n", "clusters/n1/app.yaml": "b: 1\n", "rbac/admin.yaml": "c: 1\n"}
	if inband {
		base[trustYAML] = g.trust(1, "")
	}
	g.root = g.commit("", "the introduction", base)
	return g
}

func (g *gitWorld) signer(name, options string) string {
	return name + "@example.com " + options + g.public[name+".pub"]
}

// trust is a trust file in which two of three roots decide.
func (g *gitWorld) trust(version int, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: edgeagent.dev/v1alpha1\nkind: Trust\nversion: %d\nprincipals:\n", version)
	for _, name := range people[:7] {
		until := ""
		if name == "gone" {
			until = `, validBefore: "20260101Z"`
		}
		fmt.Fprintf(&b, "  %s: {ssh: [%q]%s}\n", name, strings.TrimSpace(g.public[name+".pub"]), until)
	}
	b.WriteString("roles:\n  root: {principals: [alice, bob, carol], threshold: 2}\n  developer: {principals: [dan, erin, gone]}\n  merger: {principals: [forge]}\n")
	b.WriteString("protected:\n- {paths: [rbac/], approvals: 2, by: [root]}\nrefs: {main: [developer, merger], stable: [root]}\n")
	return b.String() + more
}

// as runs git as a person, whose key signs when the command asks for it.
func (g *gitWorld) as(name string, args ...string) {
	g.t.Helper()
	g.git(append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + filepath.Join(g.keys, name), "-c", "user.name=" + name, "-c", "advice.detachedHead=false"}, args...)...)
}

// signs is the option by which a person signs, or nobody does.
func signs(name string) string {
	if name == "" {
		return "--no-gpg-sign"
	}
	return "-S"
}

// commit changes files (an empty content takes one away) and commits them.
func (g *gitWorld) commit(name, message string, change files) gitops.Hash {
	g.t.Helper()
	for path, content := range change {
		if content == "" {
			if err := os.Remove(filepath.Join(g.dir, path)); err != nil {
				g.t.Fatal(err)
			}
		} else {
			files{path: content}.writeTo(g.t, g.dir)
		}
	}
	if len(change) > 0 {
		g.git("add", "-A")
	}
	g.as(name, "commit", "-q", "--allow-empty", signs(name), "-m", message)
	return g.head()
}

// head is the commit that is checked out.
func (g *gitWorld) head() gitops.Hash {
	g.t.Helper()
	at := "HEAD"
	for {
		data, err := os.ReadFile(filepath.Join(g.dir, ".git", at))
		if err != nil {
			g.t.Fatal(err)
		}
		ref, symbolic := strings.CutPrefix(strings.TrimSpace(string(data)), "ref: ")
		if !symbolic {
			return gitops.Hash(ref)
		}
		at = ref
	}
}

// on goes to a branch that begins at a commit.
func (g *gitWorld) on(branch string, from gitops.Hash) {
	g.t.Helper()
	g.git("checkout", "-q", "-B", branch, string(from))
}

// merge merges commits into what is checked out.
func (g *gitWorld) merge(name, message string, commits ...gitops.Hash) gitops.Hash {
	g.t.Helper()
	args := []string{"merge", "-q", "--no-ff", signs(name), "-m", message}
	for _, c := range commits {
		args = append(args, string(c))
	}
	g.as(name, args...)
	return g.head()
}

// forMain is a message that binds a commit to main.
func (g *gitWorld) forMain() string { return g.boundTo("refs/heads/main") }

func (g *gitWorld) boundTo(ref string) string {
	return "change\n\n" + verify.RefTrailer(g.root, ref)
}

// approve has people approve a commit for main.
func (g *gitWorld) approve(commit, from gitops.Hash, names ...string) {
	g.t.Helper()
	for _, name := range names {
		g.state(name, verify.ApprovalRef(commit, name), commit, verify.ApprovalMessage(g.root, "refs/heads/main", from, commit))
	}
}

// state makes a statement as anybody can with git: a signed tag whose ref is
// then moved to where statements are kept.
func (g *gitWorld) state(name, ref string, object gitops.Hash, message string) {
	g.t.Helper()
	tag := strings.TrimPrefix(ref, "refs/")
	g.as(name, "tag", "-s", "-f", "--cleanup=verbatim", "-m", message, tag, string(object))
	g.move("refs/tags/"+tag, ref)
}

// move renames a ref, as a host could.
func (g *gitWorld) move(from, to string) {
	g.t.Helper()
	from, to = filepath.Join(g.dir, ".git", from), filepath.Join(g.dir, ".git", to)
	err := os.MkdirAll(filepath.Dir(to), 0o700)
	if err == nil {
		err = os.Rename(from, to)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// carried reads the refs below refs/edgeagent/ as a fetch would bring them.
func (g *gitWorld) carried(context.Context) (map[string]gitops.Hash, error) {
	refs, err := readFiles(filepath.Join(g.dir, ".git", "refs"))
	out := map[string]gitops.Hash{}
	for ref, id := range refs {
		if strings.HasPrefix(ref, "edgeagent/") {
			out["refs/"+ref] = gitops.Hash(strings.TrimSpace(id))
		}
	}
	return out, err
}

// published makes a list of revoked keys that people sign.
func (g *gitWorld) published(list string, names ...string) {
	g.t.Helper()
	blob := g.put(gitops.BlobObject, []byte(list))
	for _, name := range names {
		g.state(name, verify.RevocationRef(1, name), blob, verify.RevocationMessage(g.root, 1, blob))
	}
}

// tagged makes a tag as a person, and offers it.
func (g *gitWorld) tagged(commit gitops.Hash, name string, args ...string) offer {
	g.t.Helper()
	g.as(name, append(append([]string{"tag"}, args...), "v1", string(commit))...)
	return offer{commit: onTag("v1", commit, g.tagObject("v1", commit)), blamed: commit, config: tagMode}
}

// tagObject is the tag object that a tag names, "" for a lightweight one.
func (g *gitWorld) tagObject(name string, commit gitops.Hash) gitops.Hash {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.dir, ".git/refs/tags", name))
	if err != nil {
		g.t.Fatal(err)
	}
	if id := gitops.Hash(strings.TrimSpace(string(data))); id != commit {
		return id
	}
	return ""
}

func (g *gitWorld) config() verify.Config {
	cfg := verify.Config{
		Source: "fleet", Mode: verify.ModeHistory, Introduction: string(g.root),
		AllowedSigners: filepath.Join(g.keys, "allowed_signers"), Revoked: filepath.Join(g.keys, "revoked"),
		Now: func() time.Time { return now }, Carried: g.carried,
	}
	return cfg
}

// offered offers a head for main.
func offered(head gitops.Hash) offer { return offer{commit: onMain(head), blamed: head} }

// after is the offer on a node that has accepted a commit.
func (o offer) after(accepted gitops.Hash) offer { o.accepted = accepted; return o }

// because blames another commit than the head.
func (o offer) because(commit gitops.Hash) offer { o.blamed = commit; return o }

// with is the offer to a node that is set up in another way.
func (o offer) with(config func(*verify.Config)) offer { o.config = config; return o }

// gitScenario is a thing that must be refused, made with git. Build makes it
// twice, in repositories of their own: sound, and with the one thing broken.
type gitScenario struct {
	name   string
	reason gitops.Reason
	build  func(g *gitWorld, broken bool) offer
}

func runGitScenarios(t *testing.T, inband bool, scenarios []gitScenario) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			decide := func(broken bool) (*verify.Verifier, offer, verify.Commit, error) {
				g := newGitWorld(t, inband)
				o := s.build(g, broken)
				cfg := g.config()
				if o.config != nil {
					o.config(&cfg)
				}
				v, err := verify.New(cfg, g)
				if err != nil {
					t.Fatal(err)
				}
				got, err := v.Verify(t.Context(), o.commit, o.accepted)
				return v, o, got, err
			}
			if _, o, got, err := decide(false); err != nil || !got.Valid() || got.Hash() != o.commit.Revision.Hash() {
				t.Fatalf("the sound counterpart is refused: %v", err)
			}
			v, o, got, err := decide(true)
			e, _ := errors.AsType[*gitops.Error](err)
			switch {
			case e == nil || got.Valid():
				t.Fatalf("let through: %v", err)
			case e.Reason != s.reason || e.Commit != o.blamed:
				t.Fatalf("refused with %s for %s, want %s for %s\n%v", e.Reason, e.Commit.Short(), s.reason, o.blamed.Short(), err)
			}
			if e.Remedy == "" && s.reason != gitops.Incomplete {
				t.Errorf("no remedy in %v", err)
			}
			explains(t, v, o, e)
		})
	}
}

// explains checks that Explain tells what Verify does, where there is a
// decision to tell of.
func explains(t *testing.T, v *verify.Verifier, o offer, refusal *gitops.Error) {
	t.Helper()
	decisions, err := v.Explain(t.Context(), o.commit, o.accepted)
	if err != nil && gitops.ReasonOf(err) == refusal.Reason {
		return
	}
	if err != nil {
		t.Fatalf("Explain: %v", err)
	}
	if !slices.ContainsFunc(decisions, func(d gitops.Decision) bool { return !d.Trusted && d.Reason == refusal.Reason }) {
		t.Errorf("Explain does not tell of %s: %+v", refusal.Reason, decisions)
	}
}

// remembers has the node know something of earlier decisions.
func remembers(r verify.Remembered) func(*verify.Config) {
	return func(c *verify.Config) {
		c.Remembered = func(context.Context) (verify.Remembered, error) { return r, nil }
	}
}

// both changes a node's set-up in several ways.
func both(changes ...func(*verify.Config)) func(*verify.Config) {
	return func(c *verify.Config) {
		for change := range slices.Values(changes) {
			change(c)
		}
	}
}

// clockAt sets the node's clock.
func clockAt(at time.Time) func(*verify.Config) {
	return func(c *verify.Config) { c.Now = func() time.Time { return at } }
}

// The world is what it says: git itself calls its signatures good.
func TestGitVerifiesTheWorld(t *testing.T) {
	g := newGitWorld(t, true)
	head := g.commit("dan", g.forMain(), files{"apps/web.yaml": "a: 2\n"})
	g.approve(head, g.root, "erin")
	allowed := "gpg.ssh.allowedSignersFile=" + filepath.Join(g.keys, "allowed_signers")
	g.git("-c", allowed, "verify-commit", string(head))
	refs, err := g.carried(t.Context())
	if err != nil || len(refs) != 1 {
		t.Fatalf("carried: %v, %v", refs, err)
	}
	for id := range maps.Values(refs) {
		g.git("-c", allowed, "verify-tag", string(id))
	}
}

func fieldOf(line string, n int) string { return strings.Fields(line)[n] }
