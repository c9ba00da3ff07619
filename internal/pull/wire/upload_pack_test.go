// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// fleet is a repository made by Git itself, answered for by Git's own
// upload-pack as a child process.
type fleet struct {
	t   testing.TB
	dir string
}

// newFleet has 12 commits over a tree three deep, deltas, and a tag object.
func newFleet(t testing.TB) fleet {
	t.Helper()
	f := fleet{t, filepath.Join(t.TempDir(), "fleet.git")}
	f.git("", "init", "-q", "--bare", "-b", "main", f.dir)
	f.git("", "-C", f.dir, "config", "uploadpack.allowFilter", "true")
	f.git("", "-C", f.dir, "config", "core.fsync", "none")
	var in bytes.Buffer
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter a <a@example.com> %d +0000\ndata 8\ncommit %x\n", 1700000000+i, i)
		file := func(name, content string) {
			fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", name, len(content), content)
		}
		file(".edgeagent/policy.yaml", strings.Repeat("key: value\n", 20))
		file("clusters/north/node1/app.yaml", strings.Repeat("a: b\n", 300)+fmt.Sprint("version: ", i))
		file(fmt.Sprintf("clusters/south/node%d/app.yaml", i), fmt.Sprint(random.Uint64()))
		if i == 4 {
			noise := make([]byte, 200_000)
			for j := range noise {
				noise[j] = byte(random.Uint32())
			}
			file("charts/noise.bin", string(noise))
		}
	}
	cmd := exec.Command("git", "-C", f.dir, "fast-import", "--quiet")
	cmd.Env, cmd.Stdin = cleanEnv(), &in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v: %s", err, out)
	}
	f.git("", "-C", f.dir, "branch", "older", "main~3")
	f.git("", "-C", f.dir, "tag", "-a", "-m", "one", "v1.0.0", "main~1")
	return f
}

func cleanEnv(more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GIT_") })
	return append(append(env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"), more...)
}

// git runs Git and returns what it printed.
func (f fleet) git(stdin string, args ...string) string {
	f.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env, cmd.Stdin = cleanEnv(), strings.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

func (f fleet) hash(rev string) gitops.Hash {
	f.t.Helper()
	return gitops.Hash(f.git("", "-C", f.dir, "rev-parse", rev))
}

// uploadPack is what a server that speaks a version of the protocol answers.
func (f fleet) uploadPack(version int, request []byte, args ...string) []byte {
	f.t.Helper()
	cmd := exec.Command("git", slices.Concat([]string{"upload-pack", "--stateless-rpc"}, args, []string{f.dir})...)
	cmd.Env = cleanEnv(fmt.Sprintf("GIT_PROTOCOL=version=%d", version))
	cmd.Stdin = bytes.NewReader(request)
	// It fails where it refuses a request. The answer says so too.
	out, _ := cmd.Output()
	return out
}

func (f fleet) advertisement(version int) []byte {
	f.t.Helper()
	return f.uploadPack(version, nil, "--advertise-refs")
}

func (f fleet) abilities() wire.Abilities {
	f.t.Helper()
	a, refs, err := wire.ReadAbilities(bytes.NewReader(f.advertisement(2)), nil, 1<<20)
	if err != nil || refs != nil {
		f.t.Fatalf("refs %v, error %v", refs, err)
	}
	return a
}

// objects are the ids that rev-list prints.
func (f fleet) objects(args ...string) []string {
	f.t.Helper()
	args = append([]string{"-C", f.dir, "rev-list", "--objects", "--no-object-names"}, args...)
	list := strings.Fields(f.git("", args...))
	slices.Sort(list)
	return list
}

// unpack gives a pack to Git, in a repository that has others' objects, and
// returns the ids that the pack brought.
func (f fleet) unpack(pack []byte) []string {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), "client.git")
	f.git("", "init", "-q", "--bare", dir)
	path := filepath.Join(dir, "objects", "info", "alternates")
	if err := os.WriteFile(path, []byte(filepath.Join(f.dir, "objects")+"\n"), 0o644); err != nil {
		f.t.Fatal(err)
	}
	name := filepath.Join(dir, "objects", "pack", "in")
	if err := os.WriteFile(name, pack, 0o644); err != nil {
		f.t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		f.t.Fatal(err)
	}
	defer in.Close()
	cmd := exec.Command("git", "-C", dir, "index-pack", "--stdin", "--fix-thin", "--strict")
	cmd.Env, cmd.Stdin = cleanEnv(), in
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("git index-pack: %v: %s", err, errs.String())
	}
	id := strings.Fields(string(out))[1]
	index, err := os.ReadFile(filepath.Join(dir, "objects", "pack", "pack-"+id+".idx"))
	if err != nil {
		f.t.Fatal(err)
	}
	// show-index prints offset, id and checksum. The bases that complete a thin
	// pack lie behind what came.
	var ids []string
	for l := range strings.Lines(f.git(string(index), "-C", dir, "show-index")) {
		var offset int
		var object string
		if _, err := fmt.Sscan(l, &offset, &object); err != nil {
			f.t.Fatal(err)
		}
		if offset < len(pack)-20 {
			ids = append(ids, object)
		}
	}
	slices.Sort(ids)
	return ids
}

// wantProtocolReason checks an error's reason, and that a person is told what to do.
func wantProtocolReason(t testing.TB, err error, want gitops.Reason) {
	t.Helper()
	if got := gitops.ReasonOf(err); got != want {
		t.Fatalf("reason %q, want %q: %v", got, want, err)
	}
	if !strings.Contains(err.Error(), "; ") {
		t.Errorf("no remedy in %q", err)
	}
}

func frame(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
