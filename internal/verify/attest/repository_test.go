// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

func TestResolveReadsRevisionsAsGitDoes(t *testing.T) {
	w := introduced(t)
	w.commit("dan")
	w.git("tag", "-a", "-m", "one", "v1", "HEAD~1")
	w.git("update-ref", "refs/remotes/origin/main", "HEAD~2")
	w.git("pack-refs", "--all")
	w.git("commit", "-q", "--allow-empty", "-m", "loose")
	w.git("gc", "-q")
	w.git("commit", "-q", "--allow-empty", "-m", "looser")
	head := string(w.head())
	for _, name := range []string{
		"HEAD", "main", "refs/heads/main", "heads/main", "HEAD~1", "HEAD~", "HEAD^", "main^^", "v1", "v1~1", "refs/tags/v1",
		"origin/main", "main~2^", head, head[:7], head[:8], strings.ToUpper(head), w.git("rev-parse", "HEAD~3")[:10],
	} {
		want := w.git("rev-parse", name+"^{commit}")
		if got, err := w.open().Resolve(name); err != nil || string(got) != want {
			t.Errorf("%s is %s, %v; git says %s", name, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"": "is not here", "nothing": "is not here", "HEAD~x": "is no revision", "HEAD~9": "no ancestor", "dead": "is not here", "deadbeef": "is not here",
		w.git("rev-parse", "HEAD^{tree}"): "is a tree", strings.Repeat("1", 40): "fetch it first",
	} {
		_, err := w.open().Resolve(name)
		fails(t, err, want)
	}
}

func TestAtFindsWhatNodesWouldSee(t *testing.T) {
	w := introduced(t)
	w.git("tag", "-a", "-m", "one", "v1")
	w.git("tag", "light")
	w.git("update-ref", "refs/remotes/origin/stable", "HEAD~1")
	r := w.open()
	c, err := r.At(r.FullRef("refs/tags/v1"), "")
	if err != nil || c.Tag != gitops.Hash(w.git("rev-parse", "v1")) || c.Revision != gitops.NewRevision("v1", w.head()) {
		t.Errorf("a tag: %+v, %v", c, err)
	}
	if c, err := r.At("refs/tags/light", ""); err != nil || c.Tag != "" {
		t.Errorf("a lightweight tag: %+v, %v", c, err)
	}
	if _, err := r.At("refs/tags/none", "HEAD"); err == nil {
		t.Error("a tag that is not there is found")
	}
	if c, err := r.At(r.FullRef("stable"), ""); err != nil || c.Revision.Hash() != w.start || c.FullRef != "refs/heads/stable" {
		t.Errorf("a branch at origin: %+v, %v", c, err)
	}
	if c, err := r.At(r.FullRef("other"), ""); err != nil || c.Revision.Hash() != w.head() {
		t.Errorf("a branch that is nowhere: %+v, %v", c, err)
	}
}

func TestOpenRefusesWhatItCannotRead(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	_, err := attest.Open(t.TempDir())
	fails(t, err, "there is none, nor above it")
	w := newWorld(t)
	w.git("config", "core.repositoryformatversion", "1")
	w.git("config", "extensions.objectformat", "sha256")
	_, err = attest.Open(w.dir)
	fails(t, err, "is not supported")
	strange := t.TempDir()
	w.write(filepath.Join(strange, ".git"), "elsewhere")
	_, err = attest.Open(strange)
	fails(t, err, "does not say gitdir")
}

func TestObjectsThatAreMissingAreSaidToBe(t *testing.T) {
	w := introduced(t)
	if _, _, err := w.open().Object(t.Context(), gitops.Hash(strings.Repeat("1", 40))); gitops.ReasonOf(err) != gitops.Incomplete {
		t.Errorf("a missing object: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.open().Object(ctx, w.head()); err == nil {
		t.Error("an ended context is not honoured")
	}
}

func TestInitKeepsTheRepositorysConfiguration(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(filepath.Join(w.dir, ".git/config"))
	if err != nil || !strings.Contains(string(text), "[core]") {
		t.Fatalf("%s, %v", text, err)
	}
	if got := w.git("config", "edgeagent.introduction"); got != string(w.start) {
		t.Errorf("git reads the introduction as %s, want %s", got, w.start)
	}
	if got := w.git("config", "gpg.format"); got != "ssh" {
		t.Errorf("gpg.format is %q now", got)
	}
	_, err = w.open().Init(t.Context(), attest.InitOptions{Files: w.files})
	fails(t, err, "is there already")
}

func TestInitRefusesRootsThatNodesCannotKnow(t *testing.T) {
	w := newWorld(t)
	w.git("checkout", "-q", "-f", string(w.start))
	os.RemoveAll(filepath.Join(w.dir, ".edgeagent"))
	for _, text := range []string{"ann=cert-authority " + w.public("ann").SSH, "ann=sigstore:https://ci.example.com ann"} {
		m, err := attest.ReadMember(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.open().Init(t.Context(), attest.InitOptions{Roots: []attest.Member{m}, Files: w.files})
		fails(t, err, "nodes know the first roots by plain SSH keys")
	}
	m := attest.Member{Name: "ann", Key: w.public("ann")}
	o := attest.InitOptions{Roots: []attest.Member{m, m}, Files: w.files, Threshold: 2}
	_, err := w.open().Init(t.Context(), o)
	fails(t, err, "a threshold of 2 with 1 principals")
	o.Threshold = 0
	if done, err := w.open().Init(t.Context(), o); err != nil || done.Need[0].Need != 1 {
		t.Errorf("one root: %+v, %v", done, err)
	}
	w.commit("ann")
	os.RemoveAll(filepath.Join(w.dir, ".edgeagent"))
	_, err = w.open().Init(t.Context(), o)
	fails(t, err, "has a trust file; check it out")
}

func TestHolderOfACertificateApproves(t *testing.T) {
	w := introduced(t)
	authority, err := attest.ReadPublicKey("cert-authority " + w.public("ca").SSH)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.change(func(d *attest.Draft) error {
		return d.Add("staff", []attest.PublicKey{authority}, []string{"developer", "root"})
	}); err != nil {
		t.Fatal(err)
	}
	w.commit("ann")
	ca, err := ssh.NewSignerFromKey(w.key("ca"))
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: key, CertType: ssh.UserCert, KeyId: "kim", ValidPrincipals: []string{"staff"},
		ValidAfter: uint64(now.Add(-time.Hour).Unix()), ValidBefore: uint64(time.Now().AddDate(1, 0, 0).Unix())}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	socket := w.agent()
	w.serve(socket, agent.AddedKey{PrivateKey: private, Certificate: cert})
	done, err := w.open().Approve(t.Context(), "HEAD", attest.Options{Now: now, Key: attest.KeyOptions{Agent: socket}}, false)
	if err != nil || done.Principal != "staff" {
		t.Errorf("approved by %q: %v", done.Principal, err)
	}
}
