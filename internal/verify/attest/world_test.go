// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a repository that git made, and people with keys.
type world struct {
	*testing.T
	dir   string // of the work tree
	files string // of the node
	keys  map[string]ed25519.PrivateKey
	start gitops.Hash
}

// newWorld has a commit and a trust file with two roots of ann, ben and cat,
// and dan who develops. Nobody has committed the file yet.
func newWorld(t *testing.T) *world {
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "fleet"), files: t.TempDir(), keys: map[string]ed25519.PrivateKey{}}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	for _, name := range []string{"GIT_AUTHOR", "GIT_COMMITTER"} {
		t.Setenv(name+"_NAME", "a")
		t.Setenv(name+"_EMAIL", "a@example.com")
	}
	if out, err := exec.Command("git", "init", "-q", "-b", "main", w.dir).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	w.git("config", "gpg.format", "ssh")
	w.git("commit", "-q", "--allow-empty", "-m", "the first")
	w.start = w.head()
	o := attest.InitOptions{Options: attest.Options{Now: now}, Files: w.files, Installed: "/etc/trust"}
	for _, name := range []string{"ann", "ben", "cat", "dan"} {
		m := attest.Member{Name: name, Key: w.public(name)}
		if name == "dan" {
			o.Developers = append(o.Developers, m)
		} else {
			o.Roots = append(o.Roots, m)
		}
	}
	if _, err := w.open().Init(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return w
}

// introduced is a world whose trust file the nodes have taken.
func introduced(t *testing.T) *world {
	w := newWorld(t)
	w.commit("ann")
	if _, err := w.open().Approve(t.Context(), "HEAD", w.as("ben"), false); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) git(args ...string) string {
	w.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = w.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (w *world) head() gitops.Hash { return gitops.Hash(w.git("rev-parse", "HEAD")) }

func (w *world) open() *attest.Repository {
	w.Helper()
	r, err := attest.Open(w.dir)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// key is the private key of a person, made when it is first asked for.
func (w *world) key(name string) ed25519.PrivateKey {
	if w.keys[name] == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			w.Fatal(err)
		}
		w.keys[name] = key
	}
	return w.keys[name]
}

// keyFile writes the key as ssh-keygen does, with its public half beside it.
func (w *world) keyFile(name string) string {
	w.Helper()
	block, err := ssh.MarshalPrivateKey(w.key(name), name)
	if err != nil {
		w.Fatal(err)
	}
	path := filepath.Join(w.files, name)
	w.write(path, string(pem.EncodeToMemory(block)))
	w.write(path+".pub", w.public(name).SSH+" "+name+"\n")
	return path
}

func (w *world) write(path, text string) {
	w.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) public(name string) attest.PublicKey {
	w.Helper()
	signer, err := ssh.NewSignerFromKey(w.key(name))
	if err != nil {
		w.Fatal(err)
	}
	key, err := attest.ReadPublicKey(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	if err != nil {
		w.Fatal(err)
	}
	return key
}

// as are options to sign with a person's key file.
func (w *world) as(name string) attest.Options {
	return attest.Options{Now: now, Key: attest.KeyOptions{File: w.keyFile(name)}}
}

// agent serves the keys of people as ssh-agent does, and returns its socket.
func (w *world) agent(names ...string) string {
	w.Helper()
	ring := agent.NewKeyring()
	for _, name := range names {
		if err := ring.Add(agent.AddedKey{PrivateKey: w.key(name), Comment: name}); err != nil {
			w.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's name may not be long
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = agent.ServeAgent(ring, conn) // ends with the connection
				conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// serve adds a key to an agent that runs.
func (w *world) serve(socket string, key agent.AddedKey) {
	w.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close()
	if err := agent.NewClient(conn).Add(key); err != nil {
		w.Fatal(err)
	}
}

// commit commits the work tree, signed by somebody, for main.
func (w *world) commit(name string) gitops.Hash {
	w.Helper()
	w.git("add", "-A")
	w.git("-c", "user.signingkey="+w.keyFile(name), "commit", "-q", "--allow-empty", "-S", "-m", "change",
		"--trailer", verify.RefTrailer(w.start, "refs/heads/main"))
	return w.head()
}

func (w *world) config() verify.Config {
	return verify.Config{
		Source: "fleet", Mode: verify.ModeHistory, Introduction: string(w.start),
		AllowedSigners: filepath.Join(w.files, "allowed_signers"), Revoked: filepath.Join(w.files, "revoked"),
		Roots: filepath.Join(w.files, "roots"), RootThreshold: 2,
		Now: func() time.Time { return now },
		Carried: func(ctx context.Context) (map[string]gitops.Hash, error) {
			return w.open().Carried(ctx)
		},
	}
}

// decide is what a node says of main.
func (w *world) decide() (verify.Commit, error) {
	w.Helper()
	v, err := verify.New(w.config(), w.open())
	if err != nil {
		w.Fatal(err)
	}
	return v.Verify(w.Context(), gitops.Commit{Revision: gitops.NewRevision("main", w.head()), FullRef: "refs/heads/main"}, "")
}

// published is what a node reads from the statements that are here.
func (w *world) published() verify.Published {
	w.Helper()
	v, err := verify.New(w.config(), w.open())
	if err != nil {
		w.Fatal(err)
	}
	head := w.head()
	p, err := v.Published(w.Context(), gitops.Commit{Revision: gitops.NewRevision("main", head), FullRef: "refs/heads/main"}, head)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// fails checks that an error says something.
func fails(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}
