// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
)

// repository reads objects with the git program.
type repository string

func (r repository) git(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", string(r), "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	return cmd.Output()
}

func (r repository) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	kind, err := r.git(ctx, "cat-file", "-t", string(id))
	if err != nil {
		return "", nil, err
	}
	name := gitops.ObjectKind(strings.TrimSpace(string(kind)))
	data, err := r.git(ctx, "cat-file", string(name), string(id))
	return name, data, err
}

// TestTreesOfRealGit: Git's own order of names, which is not that of strings.
func TestTreesOfRealGit(t *testing.T) {
	repo := repository(t.TempDir())
	names := []string{"a/x.yaml", "a-b/x.yaml", "a.yaml", "a.b/x.yaml", "a0.yaml", "A.yaml", "\u00e6 \u00f8.yaml", "z/deep/er.yaml", "a/b", "a.b.c"}
	for i, name := range names {
		file := filepath.Join(string(repo), name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, fmt.Appendf(nil, configMap, fmt.Sprint("m", i)), os.FileMode(0o644|i%2*0o111)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "all"}} {
		if _, err := repo.git(t.Context(), args...); err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
	}
	root, err := repo.git(t.Context(), "rev-parse", "HEAD^{tree}")
	if err != nil {
		t.Fatal(err)
	}
	m, err := renderer(t, render.Config{}, repo).RenderTree(t.Context(), gitops.Hash(strings.TrimSpace(string(root))), cluster)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Objects) != 8 { // all but the two that are no manifests by name
		t.Errorf("%d objects, want 8", len(m.Objects))
	}
}
