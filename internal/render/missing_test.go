// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
)

// bring copies what is asked for from one store to the other, as a server that
// knows filters answers: a tree alone, with what it lists, or with all below it.
func (s store) bring(from store, m gitops.MissingObject) {
	s[m.ID] = from[m.ID]
	if m.Kind != gitops.TreeObject || m.Depth == 1 {
		return
	}
	for data := from[m.ID].data; len(data) > 0; {
		mode, rest, _ := bytes.Cut(data, []byte{' '})
		_, rest, _ = bytes.Cut(rest, []byte{0})
		child := gitops.MissingObject{ID: gitops.Hash(hex.EncodeToString(rest[:20])), Kind: gitops.BlobObject}
		if string(mode) == "40000" {
			child.Kind = gitops.TreeObject
			if m.Depth == 2 {
				child.Depth = 1
			}
		}
		s.bring(from, child)
		data = rest[20:]
	}
}

const oneBundle = "apiVersion: edgeagent.dev/v1alpha1\nkind: Bundle\nmetadata: {name: app}\nspec: {path: %s}\n"

// fleetOf is a repository of many nodes around the files of one.
func fleetOf(mine map[string]string) map[string]string {
	out := map[string]string{"README.md": "not needed", "docs/a.md": "not needed"}
	for i := range 50 {
		out[fmt.Sprintf("clusters/store-%04d/a.yaml", 1000+i)] = "not needed"
		out[fmt.Sprintf("apps/app-%d/a.yaml", i)] = "not needed"
	}
	for name, content := range mine {
		out[name] = content
	}
	return out
}

// TestRoundsToTheClosure begins with the root tree, which comes with the commit.
func TestRoundsToTheClosure(t *testing.T) {
	object := func(name string) string { return fmt.Sprintf(configMap, name) }
	for name, c := range map[string]struct {
		files  map[string]string
		path   string
		rounds int
		asked  []string // in order of rounds, then of paths: path and depth
	}{
		"plain directory": {
			files: map[string]string{"clusters/store-0042/a.yaml": object("a"), "clusters/store-0042/b.yaml": object("b")},
			path:  "clusters/store-0042", rounds: 2,
			asked: []string{"clusters 1", "clusters/store-0042 2"},
		},
		"plain directories in directories": {
			files: map[string]string{
				"clusters/store-0042/a.yaml":       object("a"),
				"clusters/store-0042/b/b.yaml":     object("b"),
				"clusters/store-0042/b/c/d/d.yaml": object("d"),
				"clusters/store-0042/b/e/e.yaml":   object("e"),
				"clusters/store-0042/f/f.yaml":     object("f"),
			},
			path: "clusters/store-0042", rounds: 3,
			asked: []string{
				"clusters 1", "clusters/store-0042 2",
				"clusters/store-0042/b/b.yaml 0", "clusters/store-0042/b/c 0", "clusters/store-0042/b/e 0", "clusters/store-0042/f/f.yaml 0",
			},
		},
		"whole repository": {
			files: map[string]string{"a.yaml": object("a"), "b/c/c.yaml": object("c"), "d/d.yaml": object("d")},
			path:  ".", rounds: 1,
			asked: []string{"a.yaml 0", "b 0", "d 0"},
		},
		"kustomization with bases in other folders": {
			files: map[string]string{
				"clusters/store-0042/kustomization.yaml": "resources: [../../apps/mine, ../base, local/a.yaml]\npatches: [{path: patch.yaml}]\n",
				"clusters/store-0042/patch.yaml":         "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {x: y}\n",
				"clusters/store-0042/local/a.yaml":       object("a"),
				"clusters/store-0042/unused/large.bin":   "not needed",
				"clusters/base/kustomization.yaml":       "resources: [b.yaml]\n",
				"clusters/base/b.yaml":                   object("b"),
				"apps/mine/kustomization.yaml":           "resources: [c.yaml]\n",
				"apps/mine/c.yaml":                       object("c"),
			},
			path: "clusters/store-0042", rounds: 4,
			asked: []string{
				"clusters 1", "clusters/store-0042 2",
				"apps 1", "clusters/base 2", "clusters/store-0042/local/a.yaml 0",
				"apps/mine 2",
			},
		},
		"bundle in another folder": {
			files: map[string]string{
				"clusters/store-0042/edgeagent.yaml": fmt.Sprintf(oneBundle, "../../apps/mine"),
				"apps/mine/a.yaml":                   object("a"),
				"apps/mine/b/b.yaml":                 object("b"),
			},
			path: "clusters/store-0042", rounds: 5,
			asked: []string{"clusters 1", "clusters/store-0042 2", "apps 1", "apps/mine 2", "apps/mine/b/b.yaml 0"},
		},
		"directory that leads to others and is read too": {
			files: map[string]string{
				"edgeagent.yaml": fmt.Sprintf(oneBundle, "apps/one") + "---\n" +
					strings.Replace(fmt.Sprintf(oneBundle, "apps"), "name: app", "name: all", 1) + "---\n" +
					strings.Replace(fmt.Sprintf(oneBundle, "apps/two"), "name: app", "name: two", 1),
				"apps/kustomization.yaml": "resources: [a.yaml]\n",
				"apps/a.yaml":             object("a"),
				"apps/one/b.yaml":         object("b"),
				"apps/two/c.yaml":         object("c"),
			},
			path: ".", rounds: 3,
			asked: []string{"edgeagent.yaml 0", "apps 2", "apps/one/b.yaml 0", "apps/two/c.yaml 0"},
		},
		"directory in a chart that is a bundle too": {
			files: map[string]string{
				"edgeagent.yaml": fmt.Sprintf(oneBundle, "web") + "---\n" +
					strings.Replace(fmt.Sprintf(oneBundle, "web/files/x"), "name: app", "name: two", 1),
				"web/Chart.yaml":       "apiVersion: v2\nname: web\nversion: 1.0.0\n",
				"web/templates/a.yaml": object("a"),
				"web/files/x/y/b.yaml": object("b"),
			},
			path: ".", rounds: 3,
			asked: []string{"edgeagent.yaml 0", "web 2", "web/files/x 0", "web/templates/a.yaml 0"},
		},
		"chart": {
			files: map[string]string{
				"charts/web/Chart.yaml":                "apiVersion: v2\nname: web\nversion: 1.0.0\n",
				"charts/web/templates/a.yaml":          object("a"),
				"charts/web/templates/tests/deep.yaml": object("b"),
				"charts/web/files/x/y/z":               "z",
			},
			path: "charts/web", rounds: 3,
			asked: []string{
				"charts 1", "charts/web 2",
				"charts/web/files/x 0", "charts/web/templates/a.yaml 0", "charts/web/templates/tests 0",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			full := store{}
			files := c.files
			if c.path != "." {
				files = fleetOf(files)
			}
			root := full.tree(files)
			want, err := renderer(t, render.Config{Path: c.path}, full).RenderTree(t.Context(), root, cluster)
			if err != nil {
				t.Fatal(err)
			}
			for _, known := range []bool{false, true} {
				part := store{root: full[root]}
				r := renderer(t, render.Config{Path: c.path}, part)
				if known {
					if _, err := r.RenderTree(t.Context(), root, cluster); gitops.ReasonOf(err) != gitops.Incomplete {
						t.Fatalf("rendered without its files: %v", err)
					}
				}
				rounds, asked := rounds(t, r, root, part, full)
				if rounds != c.rounds || !slices.Equal(asked, c.asked) {
					t.Errorf("cluster known %t: %d rounds for %q, want %d for %q", known, rounds, asked, c.rounds, c.asked)
				}
				got, err := r.RenderTree(t.Context(), root, cluster)
				if err != nil || got.Digest != want.Digest {
					t.Errorf("rendered %s (%v), want %s", got.Digest, err, want.Digest)
				}
				for id := range part {
					if string(part[id].data) == "not needed" {
						t.Error("a file was brought that the closure does not hold")
					}
				}
			}
		})
	}
}

// rounds asks and brings until nothing is missing.
func rounds(t *testing.T, r *render.Renderer, root gitops.Hash, part, full store) (int, []string) {
	t.Helper()
	var asked []string
	for n := 0; ; n++ {
		missing, err := r.MissingFromTree(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		if len(missing) == 0 {
			return n, asked
		}
		if n > 20 {
			t.Fatalf("still missing: %v", missing)
		}
		for _, m := range missing {
			if full[m.ID].kind != m.Kind {
				t.Errorf("%s is asked for as a %s", m.Path, m.Kind)
			}
			asked = append(asked, fmt.Sprint(m.Path, " ", m.Depth))
			part.bring(full, m)
		}
	}
}
