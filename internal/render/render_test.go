// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// counting notes which objects are read.
type counting struct {
	store
	read map[gitops.Hash]int
}

func (c counting) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	c.read[id]++
	return c.store.Object(ctx, id)
}

// broken is a renderer that has no worker.
func broken(t *testing.T, cfg render.Config, objects render.Objects) *render.Renderer {
	t.Helper()
	cfg.WorkerCommand, cfg.Source, cfg.Node = []string{"/nonexistent"}, "fleet", node
	r, err := render.New(cfg, objects)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSameBytesInEveryRun renders everything that can be rendered many times,
// in new processes and in this one.
func TestSameBytesInEveryRun(t *testing.T) {
	_, helm := archive(t, "testdata/golden/helm.txtar")
	_, kustomize := archive(t, "testdata/golden/kustomize.txtar")
	files := map[string]string{"edgeagent.yaml": strings.ReplaceAll(helm["edgeagent.yaml"], "path: ", "path: helm/") + "---\n" +
		strings.ReplaceAll(kustomize["site/edgeagent.yaml"], "path: ../", "path: kustomize/")}
	files["edgeagent.yaml"] = strings.ReplaceAll(files["edgeagent.yaml"], "values/", "helm/values/")
	for p, content := range helm {
		files["helm/"+p] = content
	}
	for p, content := range kustomize {
		files["kustomize/"+p] = content
	}
	delete(files, "helm/edgeagent.yaml")
	s := store{}
	root := s.tree(files)
	var first gitops.Manifests
	for i := range 20 {
		r := renderer(t, render.Config{}, s)
		m, err := r.Build(t.Context(), root, cluster)
		if i%4 == 0 {
			m, err = r.RenderTree(t.Context(), root, cluster)
		}
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = m
		}
		if m.Digest != first.Digest || !bytes.Equal(m.Bytes(), first.Bytes()) {
			t.Fatalf("run %d renders something else:\n%s", i, cmp.Diff(first, m))
		}
	}
	if len(first.Objects) < 15 {
		t.Errorf("only %d objects: the case does not cover what it is for", len(first.Objects))
	}
}

// TestDigestCoversTheRules: what changes nothing in the bytes, but what is
// done with them, changes the digest. What only moves files does not.
func TestDigestCoversTheRules(t *testing.T) {
	s := store{}
	digest := func(spec, file string) string {
		t.Helper()
		root := s.tree(map[string]string{
			"edgeagent.yaml": "apiVersion: edgeagent.dev/v1alpha1\nkind: Bundle\nmetadata: {name: b}\nspec: " + spec + "\n",
			file:             fmt.Sprintf(configMap, "a"),
		})
		m, err := renderer(t, render.Config{}, s).Build(t.Context(), root, cluster)
		if err != nil {
			t.Fatal(err)
		}
		return m.Digest
	}
	plain := digest("{path: apps}", "apps/a.yaml")
	for _, spec := range []string{"{path: apps, prune: false}", "{path: apps, wait: false}", "{path: apps, gate: wanted}",
		"{path: apps, timeout: 1m}", "{path: apps, force: true}", "{path: apps, drift: notify}"} {
		if digest(spec, "apps/a.yaml") == plain {
			t.Errorf("%s has the digest of the bundle without it", spec)
		}
	}
	if digest("{path: apps, wait: true}", "apps/other/b.yml") != plain {
		t.Error("a moved file changes the digest")
	}
}

// TestClosure: no object is read that the bundles do not reach.
func TestClosure(t *testing.T) {
	s := store{}
	files := map[string]string{
		"site/edgeagent.yaml":            "apiVersion: edgeagent.dev/v1alpha1\nkind: Bundle\nmetadata: {name: k}\nspec: {path: ../overlay}\n",
		"site/a.yaml":                    "not read",
		"overlay/kustomization.yaml":     "resources: [../base]\n",
		"overlay/README.md":              "not read",
		"base/kustomization.yaml":        "resources: [a.yaml]\nconfigMapGenerator: [{name: g, files: [data/x]}]\n",
		"base/a.yaml":                    fmt.Sprintf(configMap, "a"),
		"base/unused.yaml":               "not read",
		"base/data/x":                    "x",
		"other/site/kustomization.yaml":  "not read",
		"other/site/deep/er/secret.yaml": "not read",
	}
	root := s.tree(files)
	c := counting{s, map[gitops.Hash]int{}}
	if _, err := renderer(t, render.Config{Path: "site"}, c).RenderTree(t.Context(), root, cluster); err != nil {
		t.Fatal(err)
	}
	for id := range c.read {
		if string(s[id].data) == "not read" {
			t.Errorf("a file was read that no bundle reaches")
		}
	}
	if len(c.read) != 10 { // 5 trees and 5 files
		t.Errorf("%d objects were read, want the 10 of the closure", len(c.read))
	}
}

// TestMissingLeadsToTheWholeClosure takes every object of the closure away and
// puts back what is asked for, until nothing is: exactly the closure is back,
// and the result is that of the whole tree.
func TestMissingLeadsToTheWholeClosure(t *testing.T) {
	for _, file := range cases(t, "testdata/golden/*.txtar") {
		settings, files := archive(t, file)
		files["unrelated/large.bin"] = "not needed"
		full := store{}
		root := full.tree(files)
		cfg := render.Config{Path: settings["path"], Node: variables(settings)}
		want, err := renderer(t, cfg, full).RenderTree(t.Context(), root, cluster)
		if err != nil {
			t.Fatal(err)
		}
		for _, known := range []bool{false, true} {
			part := store{}
			r := renderer(t, cfg, part)
			if known { // the cluster is known from an earlier revision
				part.tree(map[string]string{})
				if _, err := r.RenderTree(t.Context(), root, cluster); gitops.ReasonOf(err) != gitops.Incomplete {
					t.Fatalf("%s: got %v, want Incomplete", file, err)
				}
			}
			rounds := 0
			for {
				ids, err := r.MissingFromTree(t.Context(), root)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if len(ids) == 0 {
					break
				}
				if rounds++; rounds > 30 {
					t.Fatalf("%s: still missing after %d rounds: %v", file, rounds, ids)
				}
				for _, m := range ids {
					id := m.ID
					if _, ok := part[id]; ok {
						t.Fatalf("%s: %s is named and there", file, id)
					}
					part[id] = full[id]
				}
			}
			got, err := r.RenderTree(t.Context(), root, cluster)
			if err != nil || got.Digest != want.Digest {
				t.Errorf("%s: rendered %s (%v), want %s", file, got.Digest, err, want.Digest)
			}
			for _, o := range part {
				if string(o.data) == "not needed" && settings["path"] != "" && settings["path"] != "." {
					t.Errorf("%s: an object outside of the closure was asked for", file)
				}
			}
		}
	}
}

func TestFaultOfTheRevisionIsNotMissing(t *testing.T) {
	s := store{}
	root := s.tree(map[string]string{"a.yaml": "no: object\n"})
	commit := verified(t, s, root)
	r := renderer(t, render.Config{}, s)
	for range 2 {
		if ids, err := r.Missing(t.Context(), commit); err != nil || len(ids) > 0 {
			t.Errorf("Missing answers %v, %v; want nothing", ids, err)
		}
		if _, err := r.Render(t.Context(), commit, cluster); gitops.ReasonOf(err) != gitops.InvalidManifest {
			t.Errorf("Render answers %v, want InvalidManifest", err)
		}
	}
	if _, err := broken(t, render.Config{}, s).Missing(t.Context(), commit); gitops.ReasonOf(err) != gitops.WorkerFailed {
		t.Errorf("Missing without a worker answers %v, want WorkerFailed", err)
	}
}

// verified makes a commit object and the trust decision about it.
func verified(t *testing.T, s store, root gitops.Hash) verify.Commit {
	t.Helper()
	const who = "A U Thor <a@example.com> 1700000000 +0000\n"
	id := s.put(gitops.CommitObject, []byte("tree "+string(root)+"\nauthor "+who+"committer "+who+"\nmessage\n"))
	v, err := verify.New(verify.Config{Source: "fleet", Mode: verify.ModeNone, Insecure: true, Introduction: string(id)}, s)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Verify(t.Context(), gitops.Commit{Revision: gitops.NewRevision("main", id), FullRef: "refs/heads/main"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRenderOfAVerifiedCommit(t *testing.T) {
	s := store{}
	commit := verified(t, s, s.tree(map[string]string{"a.yaml": fmt.Sprintf(configMap, "a")}))
	m, err := renderer(t, render.Config{}, s).Render(t.Context(), commit, cluster)
	if err != nil {
		t.Fatal(err)
	}
	if m.Revision != commit.Revision() || len(m.Objects) != 1 {
		t.Errorf("rendered %v, want one object of %s", m, commit.Revision())
	}
}

func TestUnverifiedCommitIsNotRendered(t *testing.T) {
	r := broken(t, render.Config{}, store{})
	if _, err := r.Render(t.Context(), verify.Commit{}, cluster); gitops.ReasonOf(err) != gitops.Unsigned {
		t.Errorf("Render answers %v, want Unsigned", err)
	}
	if _, err := r.Missing(t.Context(), verify.Commit{}); gitops.ReasonOf(err) != gitops.Unsigned {
		t.Errorf("Missing answers %v, want Unsigned", err)
	}
}

// TestNothingIsRenderedTwice counts the workers by what they read.
func TestNothingIsRenderedTwice(t *testing.T) {
	files := map[string]string{
		"mine/kustomization.yaml": "resources: [a.yaml, ../base]\n",
		"mine/a.yaml":             fmt.Sprintf(configMap, "a"),
		"base/kustomization.yaml": "resources: [b.yaml]\n",
		"base/b.yaml":             fmt.Sprintf(configMap, "b"),
		"other/c.yaml":            fmt.Sprintf(configMap, "c"),
	}
	with := func(change map[string]string) map[string]string {
		out := maps.Clone(files)
		maps.Copy(out, change)
		return out
	}
	newer := cluster
	newer.KubeVersion = "v1.37.0"
	rebuilt := cluster
	rebuilt.ClusterUID = "another"
	rebuilt.APIVersions = slices.Clone(cluster.APIVersions)
	slices.Reverse(rebuilt.APIVersions)
	for name, c := range map[string]struct {
		files map[string]string
		caps  gitops.Capabilities
		again bool
	}{
		"same tree":                       {files, cluster, false},
		"another directory":               {with(map[string]string{"other/c.yaml": "x", "new/d": "y"}), cluster, false},
		"same cluster, rebuilt":           {files, rebuilt, false},
		"own file":                        {with(map[string]string{"mine/a.yaml": fmt.Sprintf(configMap, "z")}), cluster, true},
		"base":                            {with(map[string]string{"base/b.yaml": fmt.Sprintf(configMap, "z")}), cluster, true},
		"file that was looked for":        {with(map[string]string{"mine/edgeagent.yaml": "kind: Nonsense\n"}), cluster, true},
		"newer cluster":                   {files, newer, true},
		"directory replaced by a symlink": {with(map[string]string{"mine/a.yaml": "symlink:/x"}), cluster, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := counting{store{}, map[gitops.Hash]int{}}
			r := renderer(t, render.Config{Path: "mine"}, s)
			first, err := r.RenderTree(t.Context(), s.tree(files), cluster)
			if err != nil {
				t.Fatal(err)
			}
			root := s.tree(c.files)
			clear(s.read)
			second, err := r.RenderTree(t.Context(), root, c.caps)
			blobs := 0
			for id := range s.read {
				if s.store[id].kind == gitops.BlobObject {
					blobs++
				}
			}
			if (blobs > 0) != c.again && name != "directory replaced by a symlink" {
				t.Errorf("%d files were read again, want any: %v", blobs, c.again)
			}
			if !c.again && (err != nil || second.Digest != first.Digest) {
				t.Errorf("got %s (%v), want %s", second.Digest, err, first.Digest)
			}
			if strings.Contains(name, "symlink") && gitops.ReasonOf(err) != gitops.Symlink {
				t.Errorf("got %v, want Symlink", err)
			}
		})
	}
}

func TestFailureIsRemembered(t *testing.T) {
	s := counting{store{}, map[gitops.Hash]int{}}
	bad := s.tree(map[string]string{"a.yaml": "no: object\n"})
	good := s.tree(map[string]string{"a.yaml": fmt.Sprintf(configMap, "a")})
	r := renderer(t, render.Config{}, s)
	_, first := r.RenderTree(t.Context(), bad, cluster)
	clear(s.read)
	_, second := r.RenderTree(t.Context(), bad, cluster)
	if first == nil || second == nil || first.Error() != second.Error() || len(s.read) > 0 {
		t.Errorf("the second rendering says %v after %d reads, the first said %v", second, len(s.read), first)
	}
	if _, err := r.RenderTree(t.Context(), good, cluster); err != nil {
		t.Errorf("a good revision after a bad one: %v", err)
	}
}

// TestPackedSubchart: dependencies may be vendored as archives.
func TestPackedSubchart(t *testing.T) {
	pack := func(files map[string]string) string {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		w := tar.NewWriter(zip)
		for name, content := range files {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	sub := "apiVersion: v2\nname: sub\nversion: 0.1.0\n"
	for name, c := range map[string]struct {
		archive string
		want    string // "" = it renders
	}{
		"good":           {pack(map[string]string{"sub/Chart.yaml": sub, "sub/templates/a.yaml": fmt.Sprintf(configMap, "{{ .Chart.Name }}")}), ""},
		"path outside":   {pack(map[string]string{"sub/Chart.yaml": sub, "sub/../../x": "x"}), "parent directory"},
		"no archive":     {"x", "HelmFailed"},
		"bomb of 40 MiB": {pack(map[string]string{"sub/Chart.yaml": sub, "sub/big": strings.Repeat("x", 40<<20)}), "maximum size"},
	} {
		t.Run(name, func(t *testing.T) {
			s := store{}
			root := s.tree(map[string]string{
				"Chart.yaml":         chartFile + "dependencies: [{name: sub, version: 0.1.0, repository: \"https://example.com\"}]\n",
				"charts/sub-0.1.tgz": c.archive,
			})
			m, err := renderer(t, render.Config{}, s).RenderTree(t.Context(), root, cluster)
			switch {
			case c.want == "" && (err != nil || len(m.Objects) != 1 || m.Objects[0].Ref.Name != "sub"):
				t.Errorf("got %v, %v; want the subchart's object", m.Objects, err)
			case c.want != "" && gitops.ReasonOf(err) != gitops.HelmFailed:
				t.Errorf("got %q (%v), want HelmFailed", gitops.ReasonOf(err), err)
			case c.want != "" && c.want != "HelmFailed" && !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want words %q", err, c.want)
			}
		})
	}
}

// TestSecretsStayOutOfErrors: what a library quotes of a document does not
// reach the status.
func TestSecretsStayOutOfErrors(t *testing.T) {
	valued := func(secret string) map[string]string {
		files := chart(`{{ tpl .Values.secret . }}`)
		files["values.yaml"] = "secret: '" + secret + "'\n"
		return files
	}
	for name, files := range map[string]map[string]string{
		"template in a value":  valued("hunter2 {{ broken"),
		"template that fails":  valued(`hunter2 {{ fail "no" }}`),
		"resource is a scalar": {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": "hunter2\n"},
		"number in stringData": {"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {pin: [hunter2]}\n"},
		"userinfo of a base":   {"kustomization.yaml": "resources: ['https://user:hunter2@example.com/x']\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := store{}
			_, err := renderer(t, render.Config{}, s).RenderTree(t.Context(), s.tree(files), cluster)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}
