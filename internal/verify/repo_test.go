// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	emptyTree = gitops.Hash("4b825dc642cb6eb9a060e54bf8d69288fbee4904")
	epoch     = 1_760_000_000 // the committer's time of the first commit, October 2025
	person    = "Ann Example <ann@example.com>"
)

// repo is a Git repository. What tests put into it stays in memory until the
// first git command, which finds it on disk; what git made is read by git itself,
// through one git cat-file that runs for as long as the test.
type repo struct {
	t     testing.TB
	dir   string
	made  map[gitops.Hash]gitObject
	disk  bool
	in    io.WriteCloser // nil until git is asked for an object
	out   *bufio.Reader
	clock int64
	env   []string // added to git's
}

type gitObject struct {
	kind gitops.ObjectKind
	raw  []byte
}

func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{t: t, dir: t.TempDir(), made: map[gitops.Hash]gitObject{}, clock: epoch}
	r.put(gitops.TreeObject, nil)
	return r
}

// command is a git command, on a repository that holds everything.
func (r *repo) command(args ...string) *exec.Cmd {
	if !r.disk {
		r.disk = true
		r.git("init", "-q", "-b", "main")
		for id, o := range r.made {
			r.write(id, o)
		}
	}
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "HOME="+r.dir, "GIT_CONFIG_NOSYSTEM=1", "TZ=UTC",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	cmd.Env = append(cmd.Env, r.env...)
	return cmd
}

// ask starts the git that reads objects, once.
func (r *repo) ask() {
	r.t.Helper()
	if r.in != nil {
		return
	}
	cat := r.command("cat-file", "--batch")
	in, err := cat.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cat.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.in, r.out = in, bufio.NewReader(out)
	r.t.Cleanup(func() {
		in.Close()
		r.in = nil
		if err := cat.Wait(); err != nil {
			r.t.Errorf("git cat-file: %v", err)
		}
	})
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	out, err := r.command(args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Object implements verify.Objects.
func (r *repo) Object(_ context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	if o, ok := r.made[id]; ok {
		return o.kind, bytes.Clone(o.raw), nil
	}
	if !r.disk {
		return "", nil, &gitops.Error{Reason: gitops.Incomplete, Message: "object " + string(id) + " is missing"}
	}
	r.ask()
	fmt.Fprintln(r.in, id)
	line, err := r.out.ReadString('\n')
	if err != nil {
		return "", nil, err
	}
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return "", nil, &gitops.Error{Reason: gitops.Incomplete, Message: "object " + string(id) + " is missing"}
	}
	size, err := strconv.Atoi(fields[2])
	if err != nil {
		return "", nil, err
	}
	raw := make([]byte, size+1)
	if _, err := io.ReadFull(r.out, raw); err != nil {
		return "", nil, err
	}
	return gitops.ObjectKind(fields[1]), raw[:size], nil
}

// put makes an object, sound or not.
func (r *repo) put(kind gitops.ObjectKind, raw []byte) gitops.Hash {
	r.t.Helper()
	h := sha1.New()
	fmt.Fprintf(h, "%s %d\x00", kind, len(raw))
	h.Write(raw)
	id := gitops.Hash(hex.EncodeToString(h.Sum(nil)))
	r.made[id] = gitObject{kind, bytes.Clone(raw)}
	if r.disk {
		r.write(id, r.made[id])
	}
	return id
}

// write puts a loose object on disk.
func (r *repo) write(id gitops.Hash, o gitObject) {
	r.t.Helper()
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	fmt.Fprintf(z, "%s %d\x00", o.kind, len(o.raw))
	z.Write(o.raw)
	z.Close()
	path := r.loose(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) loose(id gitops.Hash) string {
	return filepath.Join(r.dir, ".git/objects", string(id[:2]), string(id[2:]))
}

// remove takes an object away, as if it had never been fetched.
func (r *repo) remove(id gitops.Hash) {
	r.t.Helper()
	_, made := r.made[id]
	delete(r.made, id)
	if !made || r.disk {
		if err := os.Remove(r.loose(id)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// sign makes an armored signature; nil leaves the commit unsigned.
type sign func(payload []byte) string

// unsigned is the text of a commit, each one a second after the last.
func (r *repo) unsigned(parents ...gitops.Hash) string {
	r.clock++
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", emptyTree)
	for _, p := range parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author %s %d +0100\ncommitter %s %d +0100\n\nchange %d\n\nSome words.\n", person, r.clock, person, r.clock, r.clock)
	return b.String()
}

// withSignature puts a signature where git puts it: behind the other headers.
func withSignature(text, armor string) string {
	head, message, _ := strings.Cut(text, "\n\n")
	folded := strings.ReplaceAll(strings.TrimSuffix(armor, "\n"), "\n", "\n ")
	return head + "\ngpgsig " + folded + "\n\n" + message
}

func signText(text string, s sign) string {
	if s == nil {
		return text
	}
	return withSignature(text, s([]byte(text)))
}

func (r *repo) commit(s sign, parents ...gitops.Hash) gitops.Hash {
	r.t.Helper()
	return r.put(gitops.CommitObject, []byte(signText(r.unsigned(parents...), s)))
}

// chain makes n signed commits on top of each other.
func (r *repo) chain(n int, s sign, parent gitops.Hash) []gitops.Hash {
	var out []gitops.Hash
	for range n {
		parent = r.commit(s, parent)
		out = append(out, parent)
	}
	return out
}

func tagText(object gitops.Hash, kind gitops.ObjectKind, name string) string {
	return fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger %s %d +0000\n\nrelease %s\n", object, kind, name, person, epoch, name)
}

func (r *repo) tag(s sign, object gitops.Hash, kind gitops.ObjectKind, name string) gitops.Hash {
	r.t.Helper()
	text := tagText(object, kind, name)
	if s != nil {
		text += s([]byte(text))
	}
	return r.put(gitops.TagObject, []byte(text))
}

func onMain(head gitops.Hash) gitops.Commit {
	return gitops.Commit{Revision: gitops.NewRevision("main", head), FullRef: "refs/heads/main"}
}

func onTag(name string, head, tag gitops.Hash) gitops.Commit {
	return gitops.Commit{Revision: gitops.NewRevision(name, head), FullRef: "refs/tags/" + name, Tag: tag}
}
