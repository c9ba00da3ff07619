// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
)

// TestMain is also the worker: the renderer starts this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "render-worker" {
		if err := render.Worker(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "confined" {
		confined()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// confined tries what a template that got out of its engine would.
func confined() {
	if err := render.Confine(); err != nil {
		fmt.Println("confine:", err)
		os.Exit(1)
	}
	_, err := os.Open("/dev/null")
	fmt.Println("open:", err)
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	fmt.Println("socket:", err)
	fmt.Println("exec:", exec.Command("/bin/true").Run())
	runtime.GC() // the runtime itself needs nothing more
	time.Sleep(time.Millisecond)
}

type stored struct {
	kind gitops.ObjectKind
	data []byte
}

// store holds Git objects in memory, under their real ids.
type store map[gitops.Hash]stored

func (s store) Object(_ context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	o, ok := s[id]
	if !ok {
		return "", nil, &gitops.Error{Reason: gitops.Incomplete, Message: "no object " + string(id)}
	}
	return o.kind, o.data, nil
}

func (s store) put(kind gitops.ObjectKind, data []byte) gitops.Hash {
	sum := sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", kind, len(data)), data...))
	id := gitops.Hash(hex.EncodeToString(sum[:]))
	s[id] = stored{kind, data}
	return id
}

// line is one entry of a tree object.
type line struct {
	mode, name string
	id         gitops.Hash
}

// raw writes a tree object as it is given, valid or not.
func (s store) raw(lines ...line) gitops.Hash {
	var b bytes.Buffer
	for _, l := range lines {
		id, err := hex.DecodeString(string(l.id))
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s %s\x00%s", l.mode, l.name, id)
	}
	return s.put(gitops.TreeObject, b.Bytes())
}

// tree writes files as Git does. A content that begins with "symlink:" or
// "submodule:" becomes one.
func (s store) tree(files map[string]string) gitops.Hash {
	dirs := map[string]map[string]string{}
	var lines []line
	for p, content := range files {
		name, rest, nested := strings.Cut(p, "/")
		if nested {
			if dirs[name] == nil {
				dirs[name] = map[string]string{}
			}
			dirs[name][rest] = content
			continue
		}
		mode := "100644"
		if target, ok := strings.CutPrefix(content, "symlink:"); ok {
			mode, content = "120000", strings.TrimSpace(target)
		}
		if _, ok := strings.CutPrefix(content, "submodule:"); ok {
			mode = "160000"
		}
		lines = append(lines, line{mode, name, s.put(gitops.BlobObject, []byte(content))})
	}
	for name, inner := range dirs {
		lines = append(lines, line{"40000", name, s.tree(inner)})
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.order(), b.order()) })
	return s.raw(lines...)
}

func (l line) order() string {
	if l.mode == "40000" {
		return l.name + "/"
	}
	return l.name
}

var cluster = gitops.Capabilities{
	KubeVersion: "v1.36.2+k3s1",
	APIVersions: []string{"v1", "apps/v1", "apps/v1/Deployment", "batch/v1"},
}

var node = render.Node{
	Name:   "store-0042",
	Labels: map[string]string{"ring": "canary", "region": "eu"},
}

func renderer(t *testing.T, cfg render.Config, objects render.Objects) *render.Renderer {
	t.Helper()
	cfg.WorkerCommand = []string{"/proc/self/exe", "render-worker"}
	if cfg.Source == "" {
		cfg.Source = "fleet"
	}
	if cfg.Node.Name == "" {
		cfg.Node = node
	}
	r, err := render.New(cfg, objects)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n"

func TestMalformedTreesAreRefused(t *testing.T) {
	s := store{}
	blob := s.put(gitops.BlobObject, fmt.Appendf(nil, configMap, "a"))
	good := line{"100644", "a.yaml", blob}
	for name, root := range map[string]gitops.Hash{
		"dot dot":           s.raw(line{"40000", "..", s.raw(good)}),
		"dot":               s.raw(line{"40000", ".", s.raw(good)}),
		"slash":             s.raw(line{"100644", "a/b.yaml", blob}),
		"backslash":         s.raw(line{"100644", `a\b.yaml`, blob}),
		"empty name":        s.raw(line{"100644", "", blob}),
		"git directory":     s.raw(line{"40000", ".GIT", s.raw(good)}),
		"hidden character":  s.raw(line{"40000", ".g\u200cit", s.raw(good)}),
		"twice":             s.raw(good, good),
		"file and dir":      s.raw(line{"100644", "a", blob}, line{"40000", "a", s.raw(good)}),
		"out of order":      s.raw(line{"100644", "b.yaml", blob}, good),
		"unknown mode":      s.raw(line{"100600", "a.yaml", blob}),
		"cut off":           s.put(gitops.TreeObject, []byte("100644 a.yaml\x00123")),
		"no mode separator": s.put(gitops.TreeObject, []byte("100644")),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := renderer(t, render.Config{}, s).Build(t.Context(), root, cluster)
			if got := gitops.ReasonOf(err); got != gitops.InvalidManifest {
				t.Errorf("got %q (%v), want InvalidManifest", got, err)
			}
		})
	}
	if _, err := renderer(t, render.Config{}, s).Build(t.Context(), s.raw(good), cluster); err != nil {
		t.Errorf("a good tree: %v", err)
	}
}

func TestObjectOfAnotherKindIsCorrupt(t *testing.T) {
	s := store{}
	root := s.raw(line{"100644", "a.yaml", s.tree(map[string]string{"x": "y"})})
	_, err := renderer(t, render.Config{}, s).Build(t.Context(), root, cluster)
	if got := gitops.ReasonOf(err); got != gitops.Corrupt {
		t.Errorf("got %q (%v), want Corrupt", got, err)
	}
}

func TestSourcePathExpandsTheNode(t *testing.T) {
	s := store{}
	root := s.tree(map[string]string{
		"clusters/store-0042/canary/a.yaml": fmt.Sprintf(configMap, "mine"),
		"clusters/other/canary/a.yaml":      fmt.Sprintf(configMap, "other"),
	})
	m, err := renderer(t, render.Config{Path: "./clusters/${node.name}/${node.labels.ring}/"}, s).RenderTree(t.Context(), root, cluster)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Objects) != 1 || m.Objects[0].Ref.Name != "mine" {
		t.Errorf("rendered %v, want the node's own directory", m.Objects)
	}
}

func TestSourcePathStaysInside(t *testing.T) {
	for _, c := range []struct {
		path string
		name string
		want gitops.Reason
	}{
		{"clusters/${node.name}", "..", gitops.PathOutside},
		{"clusters/${node.name}", "a/../../b", gitops.PathOutside},
		{"clusters/${node.name}", `a\b`, gitops.PathOutside},
		{"clusters/${node.labels.missing}", "n", gitops.UndefinedVar},
		{"clusters/${node.nmae}", "n", gitops.UndefinedVar},
		{"../other", "n", gitops.PathOutside},
		{"/etc", "n", gitops.PathOutside},
		{"a/../..", "n", gitops.PathOutside},
	} {
		_, err := render.New(render.Config{Source: "s", Path: c.path, Node: render.Node{Name: c.name}}, store{})
		if got := gitops.ReasonOf(err); got != c.want {
			t.Errorf("path %q on node %q: got %q (%v), want %q", c.path, c.name, got, err, c.want)
		}
	}
}
