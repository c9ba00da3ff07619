// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/gitops"
)

const head = "apiVersion: edgeagent.dev/v1alpha1\nkind: Config\n" // two lines

const commit = "3f2a1bc0d4e5f60718293a4b5c6d7e8f90a1b2c3"

// folder is a directory with the files of a configuration; DIR in a text
// stands for it.
type folder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T) folder {
	t.Helper()
	f := folder{t, t.TempDir()}
	f.write("signers", "anna ssh-ed25519 AAAA\n", 0o644)
	f.write("password", "secret\n", 0o600)
	f.write("key", "key\n", 0o600)
	f.write("known_hosts", "h\n", 0o644)
	f.write("kubeconfig", "{}\n", 0o600)
	return f
}

func (f folder) write(name, text string, mode os.FileMode) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", f.dir)), 0o600); err != nil {
		f.t.Fatal(err)
	}
	// The umask must not decide what is tested.
	if err := os.Chmod(path, mode); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// problems runs every check and prints what was found without the folder.
func (f folder) problems(path string) []string {
	f.t.Helper()
	_, err := config.Check(path)
	if err == nil {
		return nil
	}
	var problems config.Problems
	if !errors.As(err, &problems) {
		f.t.Fatalf("error is %T, not Problems: %v", err, err)
	}
	var lines []string
	for _, p := range problems {
		if p.Remedy == "" {
			f.t.Errorf("no remedy: %s", p)
		}
		lines = append(lines, strings.ReplaceAll(p.String(), f.dir+"/", ""))
	}
	return lines
}

const good = head + `node:
  name: store-0042
  labels: {ring: canary, region: eu}
cluster: {kubeconfig: DIR/kubeconfig}
sources:
  - name: fleet
    url: https://git.example.com/fleet.git
    path: clusters/${node.name}/${node.labels.ring}
    trust:
      introduction: ` + commit + `
      allowedSigners: DIR/signers
`

func TestGoodFileHasNoProblems(t *testing.T) {
	f := newFolder(t)
	path := f.write("config.yaml", good, 0o644)
	if got := f.problems(path); got != nil {
		t.Fatalf("problems in a good file:\n%s", strings.Join(got, "\n"))
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("warnings for a good file: %v", w)
	}
	want := config.Default()
	want.Node = config.Node{Name: "store-0042", Labels: map[string]string{"ring": "canary", "region": "eu"}, Variables: map[string]string{}}
	want.Cluster.Kubeconfig = f.dir + "/kubeconfig"
	s := config.DefaultSource()
	s.Name, s.URL, s.Path = "fleet", "https://git.example.com/fleet.git", "clusters/${node.name}/${node.labels.ring}"
	s.Ref.Branch = "main"
	s.Trust.Introduction, s.Trust.AllowedSigners = commit, f.dir+"/signers"
	want.Sources = []config.Source{s}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(config.Config{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	s := config.DefaultSource()
	if s.Interval != time.Minute || s.Timeout != time.Minute || s.Trust.Mode != "history" || s.Trust.Clock != "any" || s.Prefetch != "auto" ||
		!s.Prune || s.OnRemove != "orphan" || s.Drift != gitops.DriftCorrect || s.Rollback != (config.Rollback{Mode: "auto", Max: 2}) ||
		s.Health != (config.Health{Timeout: 5 * time.Minute, Stable: 15 * time.Second}) ||
		s.PrunePolicy.Guard() != (gitops.PruneGuard{MaxDeletes: 20, MaxPercent: 25, Minimum: 5}) {
		t.Errorf("DefaultSource() = %+v", s)
	}
}

func TestPiecesAreMergedInTheOrderOfTheirNames(t *testing.T) {
	f := newFolder(t)
	path := f.write("config.yaml", good, 0o644)
	f.write("config.d/20-site.yaml", "node: {labels: {ring: stable, site: '7'}}\nlog: {level: debug}\n", 0o644)
	f.write("config.d/10-image.yaml", "log: {level: warn, format: json}\nsources:\n- name: base\n  url: https://git.example.com/base.git\n"+
		"  trust: {introduction: first-seen, allowedSigners: DIR/signers}\n", 0o644)
	f.write("config.d/notes.txt", "not YAML: [", 0o644)
	c, err := config.Check(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"ring": "stable", "region": "eu", "site": "7"}, c.Node.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if c.Log != (config.Log{Level: "debug", Format: "json"}) {
		t.Errorf("log = %+v", c.Log)
	}
	if len(c.Sources) != 2 || c.Sources[0].Name != "fleet" || c.Sources[1].Name != "base" {
		t.Errorf("sources = %+v", c.Sources)
	}
	want := []string{"config.d", "config.d/10-image.yaml", "config.d/20-site.yaml", "config.yaml", "kubeconfig", "signers"}
	var got []string
	for _, file := range c.Files() {
		got = append(got, strings.TrimPrefix(file, f.dir+"/"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// A node may be told to wait for its clock, whatever is verified.
func TestClockThatHasToBeSynchronised(t *testing.T) {
	f := newFolder(t)
	for _, trust := range []string{"introduction: first-seen, allowedSigners: DIR/signers", "mode: none"} {
		c, err := config.Check(f.write("config.yaml", head+"cluster: {kubeconfig: DIR/kubeconfig}\nsources:\n- name: fleet\n  url: https://git.example.com/fleet.git\n"+
			"  insecure: true\n  ref: {branch: main}\n  trust: {"+trust+", clock: synchronised}\n", 0o644))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Sources[0].Trust.Clock; got != config.ClockSynchronised {
			t.Errorf("clock = %q", got)
		}
	}
}

// Somebody who signs without a key is a signer as any other; whom to believe in
// that is read again when it changes.
func TestKeylessSigner(t *testing.T) {
	f := newFolder(t)
	f.write("root.json", "{}", 0o644)
	for name, trust := range map[string]string{
		"alone":                 "sigstore: {issuer: 'https://accounts.example.com', subject: ann@example.com, trustedRoot: DIR/root.json}",
		"for the repository's":  "allowedSigners: DIR/signers, sigstore: {trustedRoot: DIR/root.json}",
		"beside allowedSigners": "allowedSigners: DIR/signers, sigstore: {issuer: i, subject: s, trustedRoot: DIR/root.json}",
	} {
		t.Run(name, func(t *testing.T) {
			path := f.write("config.yaml", strings.Replace(good, "trust:\n      introduction: "+commit+"\n      allowedSigners: DIR/signers\n",
				"trust: {introduction: "+commit+", "+trust+"}\n", 1), 0o644)
			c, err := config.Check(path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(c.Files(), f.dir+"/root.json") {
				t.Errorf("the trusted root is not watched: %q", c.Files())
			}
		})
	}
}

func TestDuplicateSourceNamesBothFiles(t *testing.T) {
	f := newFolder(t)
	path := f.write("config.yaml", good, 0o644)
	f.write("config.d/10.yaml", "sources:\n- name: fleet\n  url: https://git.example.com/b.git\n  trust: {introduction: first-seen, allowedSigners: DIR/signers}\n", 0o644)
	want := []string{`config.d/10.yaml:2: sources[1].name: source "fleet" is already in config.yaml:8; rename or remove one of the two`}
	if diff := cmp.Diff(want, f.problems(path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEmptyNameIsTheHostName(t *testing.T) {
	f := newFolder(t)
	c, err := config.Load(f.write("config.yaml", head, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if c.Node.Name != strings.ToLower(host) {
		t.Errorf("node.name = %q, host name is %q", c.Node.Name, host)
	}
}

func TestWarnings(t *testing.T) {
	f := newFolder(t)
	path := f.write("config.yaml", head+`cluster: {kubeconfig: DIR/not-yet}
sources:
- {name: a, url: "http://127.0.0.1/a", insecure: true, trust: {mode: none}}
- {name: b, url: "http://127.0.0.1/b", insecure: true, trust: {introduction: first-seen, allowedSigners: DIR/signers}}
`, 0o644)
	c, err := config.Check(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Warnings() {
		got = append(got, strings.ReplaceAll(p.String(), f.dir+"/", ""))
	}
	want := []string{
		"config.yaml:3: cluster.kubeconfig: not-yet does not exist; nothing is applied until k3s has written it",
		"config.yaml:5: sources[0].trust.mode: nothing is verified: whoever can write to the repository or to the link owns this cluster; sign the commits and set mode: history",
		"config.yaml:6: sources[1].insecure: links that are neither encrypted nor authenticated are allowed; use https or ssh",
		"config.yaml:6: sources[1].trust.introduction: the first head that is verified will be pinned; write the commit at which trust begins",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPrintedConfigurationReadsBackTheSame(t *testing.T) {
	f := newFolder(t)
	c, err := config.Load(f.write("config.yaml", strings.Replace(good, "region: eu", `version: "1.10", on: "true"`, 1), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"    interval: 60s\n", "      timeout: 5m\n", "      stable: 15s\n", "    mirrors: []\n", "    onRemove: orphan\n", "  ha: false\n", "  listen: \"\"\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no line %q in:\n%s", line, text)
		}
	}
	again, err := config.Load(f.write("again.yaml", string(text), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The sample that the package ships says itself which lines to change; it must
// be readable as it is, and show the defaults.
func TestPackagedSample(t *testing.T) {
	path := "../../packaging/deb/config.yaml"
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Node.Name = c.Node.Name
	s := config.DefaultSource()
	s.Name, s.URL, s.Ref.Branch = "fleet", "https://git.example.com/fleet.git", "main"
	s.Trust.Introduction, s.Trust.AllowedSigners = strings.Repeat("0", 40), "/etc/edgeagent/allowed_signers"
	want.Sources = []config.Source{s}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("not the defaults (-want +got):\n%s", diff)
	}
	_, err = config.Check(path)
	var problems config.Problems
	if errors.As(err, &problems) && (len(problems) != 1 || problems[0].Field != "sources[0].trust.allowedSigners") {
		t.Errorf("problems besides the keys that a node brings: %v", err)
	}
}
