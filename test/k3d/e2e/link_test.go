// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/node"
	"github.com/edgeagent/edgeagent/test/k3d/webserver"
)

// stick is a file that is carried from node to node.
func (s *scene) stick(name string) string {
	s.t.Helper()
	return filepath.Join(s.mkdir("stick"), name)
}

// bundle writes a bundle of some revisions with git itself.
func (s *scene) bundle(name string, revisions ...string) string {
	s.t.Helper()
	file := s.stick(name)
	_, err := s.repo.Git(s.ctx, append([]string{"bundle", "create", "--quiet", file}, revisions...)...)
	s.must(err)
	return file
}

// islander is a node with a cluster of its own, that follows the same
// repository and never had a network.
func (s *scene) islander() *scene {
	s.t.Helper()
	other := newScene(s.t, embeddedCluster(s.t))
	other.source = s.source
	other.sources = []map[string]any{s.source}
	other.start()
	return other
}

// arrives waits until a source that may never have run anything runs a revision.
func (s *scene) arrives(head gitops.Hash) (st gitops.SourceStatus) {
	s.t.Helper()
	s.eventually("the source to run "+head.Short(), func() bool {
		st = s.status()
		return st.Healthy != nil && st.Phase == gitops.StageWaiting && st.Healthy.Revision.Hash() == head
	})
	return st
}

// refusedImport runs import and fails the test unless it is refused for a reason.
func (s *scene) refusedImport(file string, reason gitops.Reason) {
	s.t.Helper()
	r := s.node.CLI("import", file)
	if r.Code != 1 || !strings.Contains(r.Stdout+r.Stderr, string(reason)) {
		s.t.Errorf("import %s: exit code %d, want 1 for %s\n%s%s", file, r.Code, reason, r.Stdout, r.Stderr)
	}
}

// bundleOnAStick carries a revision from a node with an uplink to one without,
// then an increment that git wrote. What is older than what runs goes nowhere.
func bundleOnAStick(s *scene) {
	s.app("web:1")
	s.write("elsewhere/a.yaml", configMap(s.ns, "elsewhere", "1"))
	s.source["path"] = "app"
	s.start()
	one := s.push("one")
	s.ready(one)
	first := s.stick("first.bundle")
	s.mustCLI("export", s.name, first)
	s.gitDown()

	other := s.islander()
	if st := other.sync(); st.Link.Reason == "" || st.Verified != nil {
		s.t.Errorf("without a network: link = %+v, accepted = %+v", st.Link, st.Verified)
	}
	other.mustCLI("import", first, "--wait")
	if st := other.arrives(one); !st.Ready() || st.Verified.Signer != "dev@example.com" {
		other.fatalf("the imported revision does not run")
	}
	if other.deploymentImage("web") != "web:1" {
		s.t.Errorf("image = %s, want web:1", other.deploymentImage("web"))
	}

	s.app("web:2")
	two := s.push("two")
	other.mustCLI("import", s.bundle("second.bundle", string(one)+"..main"), "--wait")
	other.arrives(two)
	if other.deploymentImage("web") != "web:2" {
		s.t.Errorf("image = %s, want web:2", other.deploymentImage("web"))
	}
	other.refusedImport(first, gitops.RolledBack)
	other.arrives(two)
}

// dropFolder puts bundles into the folder as somebody with a file manager does.
func dropFolder(s *scene) {
	s.app("web:1")
	one := s.push("one")
	whole := s.bundle("whole.bundle", "main")
	content, err := os.ReadFile(whole)
	s.must(err)
	s.app("web:2")
	s.commitUnsigned("two, of nobody")
	unsigned := s.bundle("unsigned.bundle", "main")
	s.resetTo(string(one))
	s.gitDown()
	s.start()
	folder := filepath.Join(s.node.StateDir(), "import")
	s.eventually("the folder", func() bool { _, err := os.Stat(folder); return err == nil })

	put := func(name string, content []byte) {
		part := filepath.Join(folder, name+".part")
		s.must(os.WriteFile(part, content, 0o600))
		s.must(os.Rename(part, filepath.Join(folder, name)))
	}
	there := func(name string) bool { _, err := os.Stat(filepath.Join(folder, name)); return err == nil }
	put("a-truncated.bundle", content[:len(content)-30])
	s.eventually("the note of a truncated bundle", func() bool { return there("a-truncated.bundle.refused") })
	put("b-whole.bundle", content)
	s.arrives(one)
	s.eventually("the bundle to go", func() bool { return !there("b-whole.bundle") })
	put("c-unsigned.bundle", s.read(unsigned))
	s.eventually("the note of an unsigned bundle", func() bool { return there("c-unsigned.bundle.refused") })
	note := string(s.read(filepath.Join(folder, "c-unsigned.bundle.refused")))
	if !strings.Contains(note, string(gitops.Unsigned)) {
		s.t.Errorf("the note says %q, want %s", note, gitops.Unsigned)
	}
	if !there("a-truncated.bundle") || !there("c-unsigned.bundle") || there("b-whole.bundle.refused") {
		s.t.Error("refused bundles are gone, or the good one has a note")
	}
	if st := s.arrives(one); st.Verified.Revision.Hash() != one || s.deploymentImage("web") != "web:1" {
		s.t.Errorf("accepted = %+v, image = %s; want %s, web:1", st.Verified, s.deploymentImage("web"), one.Short())
	}
}

func (s *scene) read(file string) []byte {
	s.t.Helper()
	content, err := os.ReadFile(file)
	s.must(err)
	return content
}

// incompressible is ConfigMaps of n bytes that stay as large on the wire.
func incompressible(ns, prefix string, n int) string {
	random := rand.New(rand.NewPCG(uint64(n), uint64(len(prefix))))
	var docs []string
	for i := 0; n > 0; i++ {
		raw := make([]byte, min(n, 60_000)*3/4)
		for b := range raw {
			raw[b] = byte(random.Uint32())
		}
		docs = append(docs, configMap(ns, fmt.Sprintf("%s-%d", prefix, i), base64.StdEncoding.EncodeToString(raw)))
		n -= 60_000
	}
	return strings.Join(docs, "---\n")
}

// budgetSpent has an update that costs more than the day's bytes. It waits for
// the next day; a person who asks gets it now.
func budgetSpent(s *scene) {
	s.source["interval"] = "5s"
	s.source["link"] = map[string]any{"budgetPerDay": "100kB"}
	s.app("web:1")
	one := s.push("one")
	s.start()
	s.ready(one)
	s.write("app/large.yaml", incompressible(s.ns, "large", 300_000))
	two := s.push("two")
	var st gitops.SourceStatus
	s.eventually("the budget to be spent", func() bool {
		st = s.status()
		return st.Link.Reason == gitops.BudgetSpent
	})
	now := time.Now().UTC()
	if midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour); st.Link.NextPoll.Before(midnight) {
		s.t.Errorf("the next poll is at %s, want it not before %s", st.Link.NextPoll, midnight)
	}
	spent := st.Link.Today.In + st.Link.Today.Out
	if st.Link.Budget != 100_000 || spent > 2*st.Link.Budget || st.Applied.Revision.Hash() != one || !strings.Contains(st.Link.Message, "sync") {
		s.t.Errorf("link = %+v, applied = %+v; want a budget of 100 kB that is kept, and %s", st.Link, st.Applied, one.Short())
	}
	// A restart does not give the budget back.
	s.kill()
	s.start()
	s.eventually("the budget to be spent still", func() bool { return s.status().Link.Reason == gitops.BudgetSpent })
	s.ready(two)
	if st := s.status(); st.Link.Today.In+st.Link.Today.Out < 200_000 || !s.has("large-4") {
		s.t.Errorf("link = %+v, large-4 is there: %v", st.Link, s.has("large-4"))
	}
}

// staticMirror has a mirror that is nothing but files, written by publish.
func staticMirror(s *scene) {
	files := s.mkdir("static")
	publish := func() {
		s.t.Helper()
		if r := node.Run(nil, edgeagentBinary, "publish", s.repo.Bare, files); r.Code != 0 {
			s.t.Fatalf("publish: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	}
	server, err := webserver.Start(files)
	s.must(err)
	s.t.Cleanup(func() { s.must(server.Close()) })
	list := server.URL() + "/list"
	s.source["mirrors"] = []map[string]any{{"url": list, "type": "bundles"}}
	s.app("web:1")
	one := s.push("one")
	publish()
	s.gitDown()
	s.start()
	s.ready(one)
	if st := s.status(); !st.Link.Mirror || st.Link.URL != list {
		s.t.Errorf("link = %+v, want the mirror", st.Link)
	}
	s.app("web:2")
	two := s.push("two")
	publish()
	s.ready(two)
	late := s.mkdir("late")
	s.must(os.CopyFS(filepath.Join(late, "two"), os.DirFS(files)))
	s.app("web:3")
	three := s.push("three")
	publish()
	s.ready(three)
	// A mirror that falls behind is left for the Git server, which is back.
	s.must(os.RemoveAll(files))
	s.must(os.Rename(filepath.Join(late, "two"), files))
	s.app("web:4")
	four := s.push("four")
	s.gitUp()
	s.ready(four)
	if st := s.status(); st.Link.Mirror || s.deploymentImage("web") != "web:4" {
		s.t.Errorf("link = %+v, image = %s; want the Git server's", st.Link, s.deploymentImage("web"))
	}
	// With nothing but the late mirror, everything stays, and it is said why.
	s.gitDown()
	if st := s.sync(); st.Applied.Revision.Hash() != four || st.Link.Failures == 0 || !strings.Contains(st.Link.Message, "older than the accepted") {
		s.t.Errorf("applied = %+v, link = %+v", st.Applied, st.Link)
	}
}
