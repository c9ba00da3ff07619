// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
)

var update = flag.Bool("update", false, "write the golden files")

// archive reads a case: "key: value" lines, then the files of the repository.
func archive(t *testing.T, file string) (map[string]string, map[string]string) {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for text := range strings.Lines(string(a.Comment)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(text), ": "); ok && !strings.HasPrefix(key, "#") {
			settings[key] = value
		}
	}
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	return settings, files
}

func cases(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no cases %s (%v)", pattern, err)
	}
	return found
}

func variables(settings map[string]string) render.Node {
	n := node
	n.Variables = map[string]string{}
	for pair := range strings.FieldsSeq(settings["variables"]) {
		key, value, _ := strings.Cut(pair, "=")
		n.Variables[key] = value
	}
	return n
}

// TestGolden renders every case through the worker and in this process, and
// compares both with the golden bytes.
func TestGolden(t *testing.T) {
	for _, file := range cases(t, "testdata/golden/*.txtar") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			settings, files := archive(t, file)
			s := store{}
			root := s.tree(files)
			r := renderer(t, render.Config{Path: settings["path"], Node: variables(settings)}, s)
			worker, err := r.RenderTree(t.Context(), root, cluster)
			if err != nil {
				t.Fatal(err)
			}
			here, err := r.Build(t.Context(), root, cluster)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(worker, here); diff != "" {
				t.Errorf("worker and in-process rendering differ:\n%s", diff)
			}
			compareGolden(t, strings.TrimSuffix(file, ".txtar")+".yaml", describe(t, worker))
		})
	}
}

// describe is the manifests' rules as comments, and their canonical bytes.
func describe(t *testing.T, m gitops.Manifests) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, bundle := range m.Bundles {
		rules, err := json.Marshal(bundle)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("# bundle " + string(rules) + "\n")
	}
	for _, o := range m.Objects {
		rules, err := json.Marshal(struct {
			Ref    string
			Bundle string
			Wave   int
			Hook   *gitops.Hook `json:",omitempty"`
		}{o.Ref.String(), o.Bundle, o.Wave, o.Hook})
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("# object " + string(rules) + "\n")
		if o.Digest != gitops.Digest(o.YAML) {
			t.Errorf("%s: digest %s is not of its bytes", o.Ref, o.Digest)
		}
	}
	b.Write(m.Bytes())
	return b.Bytes()
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update writes it:\n%s", file, diff)
	}
}

// TestBadInput: each case names the reason and words of the message. The
// revision fails as a whole, in the worker as in this process.
func TestBadInput(t *testing.T) {
	for _, file := range cases(t, "testdata/bad/*.txtar") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			settings, files := archive(t, file)
			s := store{}
			root := s.tree(files)
			r := renderer(t, render.Config{Path: settings["path"], Node: variables(settings)}, s)
			m, err := r.RenderTree(t.Context(), root, cluster)
			if got := string(gitops.ReasonOf(err)); got != settings["reason"] {
				t.Fatalf("got %q (%v), want %q", got, err, settings["reason"])
			}
			if settings["message"] == "" || !strings.Contains(err.Error(), settings["message"]) {
				t.Errorf("message %q does not say %q", err, settings["message"])
			}
			if len(m.Objects) != 0 {
				t.Errorf("%d objects came out of a failed rendering", len(m.Objects))
			}
			if _, here := r.Build(t.Context(), root, cluster); here == nil || here.Error() != err.Error() {
				t.Errorf("in this process it fails with %v, in the worker with %v", here, err)
			}
		})
	}
}
