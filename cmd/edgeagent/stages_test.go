// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// origin is a repository made by git, with a trust file: alice is the root, dan
// develops.
type origin struct {
	t   *testing.T
	dir string
}

func newOrigin(t *testing.T) *origin {
	o := &origin{t: t, dir: t.TempDir()}
	for _, tool := range []string{"git", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatal(tool + " is not installed; test/prerequisites.sh says what is")
		}
	}
	var principals []string
	for _, name := range []string{"alice", "dan"} {
		o.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(o.dir, name))
		principals = append(principals, fmt.Sprintf("  %s: {ssh: [%q]}\n", name, o.key(name)))
	}
	o.git("init", "-q", "-b", "main", "repo")
	if err := os.Mkdir(filepath.Join(o.dir, "repo", ".edgeagent"), 0o755); err != nil {
		t.Fatal(err)
	}
	o.write("repo/.edgeagent/trust.yaml", "apiVersion: edgeagent.dev/v1alpha1\nkind: Trust\nversion: 1\nprincipals:\n"+strings.Join(principals, "")+
		"roles:\n  root: {principals: [alice], threshold: 1}\n  developer: {principals: [dan]}\n")
	o.write("signers", "alice "+o.key("alice")+"\n")
	o.repo("add", ".")
	o.repo("commit", "-q", "-m", "begin")
	return o
}

func (o *origin) run(name string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), "HOME="+o.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (o *origin) git(args ...string) string { return o.run("git", args...) }
func (o *origin) repo(args ...string) string {
	return o.git(append([]string{"-C", "repo"}, args...)...)
}
func (o *origin) id(rev string) gitops.Hash { return gitops.Hash(o.repo("rev-parse", rev)) }

func (o *origin) write(name, text string) {
	if err := os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

func (o *origin) key(name string) string {
	text, err := os.ReadFile(filepath.Join(o.dir, name+".pub"))
	if err != nil {
		o.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// by makes git sign as somebody.
func (o *origin) by(name string, args ...string) string {
	return o.repo(append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + filepath.Join(o.dir, name)}, args...)...)
}

func (o *origin) approve(name string, commit, from gitops.Hash) {
	ref := verify.ApprovalRef(commit, name)
	tag := strings.TrimPrefix(ref, "refs/")
	o.by(name, "tag", "-s", "-m", verify.ApprovalMessage(o.id("main~1"), "refs/heads/main", from, commit), tag, string(commit))
	o.repo("update-ref", ref, "refs/tags/"+tag)
	o.repo("tag", "-d", tag)
}

// node is a node that follows the repository, which begins at its head, with the
// stages of its source.
func (o *origin) node(change func(*daemon, *config.Source)) (*daemon, agent.SourceConfig) {
	o.t.Helper()
	cfg := config.Default()
	cfg.StateDir, cfg.Socket = filepath.Join(o.t.TempDir(), "state"), filepath.Join(o.dir, "s")
	s := config.DefaultSource()
	s.Name, s.URL, s.Insecure, s.Ref.Branch = "fleet", "file://"+filepath.Join(o.dir, "repo"), true, "main"
	s.Trust.Introduction, s.Trust.AllowedSigners = string(o.id("HEAD")), filepath.Join(o.dir, "signers")
	d, err := openDaemon(o.t.Context(), cfg, "", slog.New(slog.DiscardHandler), false)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(d.close)
	if change != nil {
		change(d, &s)
	}
	if err := d.journal.Configure(o.t.Context(), "fleet", "orphan"); err != nil {
		o.t.Fatal(err)
	}
	sc, err := d.source(o.t.Context(), cfg, s)
	if err != nil {
		o.t.Fatal(err)
	}
	return d, sc
}

// The stages of a source are put together so that what comes beside a head, what
// the journal remembers and what root waived reach the decision.
func TestTheDecisionIsFedByAllStages(t *testing.T) {
	o := newOrigin(t)
	start := o.id("HEAD")
	d, sc := o.node(nil)
	var accepted gitops.Hash
	judge := func(want gitops.Reason) verify.Commit {
		t.Helper()
		commit, got, err := decide(t, sc, accepted)
		if gitops.ReasonOf(err) != want {
			t.Fatalf("%s: %v, want %q", commit.Revision.Short(), err, want)
		}
		return got
	}
	o.by("dan", "commit", "-q", "-S", "--allow-empty", "-m", "one")
	one := o.id("HEAD")
	judge(gitops.RefUnbound)
	o.approve("dan", one, start) // carried beside the head
	if got := judge(""); got.RefBinding() != verify.BoundApproval || got.TrustVersion() != 1 {
		t.Errorf("bound by %s, trust file %d", got.RefBinding(), got.TrustVersion())
	}
	accepted = one
	// A fork that root lets through.
	o.repo("reset", "-q", "--hard", string(start))
	o.by("dan", "commit", "-q", "-S", "--allow-empty", "-m", "fork")
	fork := o.id("HEAD")
	o.approve("dan", fork, start)
	judge(gitops.Fork)
	if err := d.journal.Waive(t.Context(), "fleet", gitops.Waiver{From: one, To: fork, Reason: "a test"}); err != nil {
		t.Fatal(err)
	}
	judge("")
	// What the journal remembers counts, whatever the host shows.
	fields := strings.Fields(o.run("ssh-keygen", "-l", "-f", filepath.Join(o.dir, "dan.pub")))
	if err := d.journal.Learn(t.Context(), "fleet", gitops.Learned{Revoked: []string{fields[1]}}); err != nil {
		t.Fatal(err)
	}
	judge(gitops.KeyRevoked)
}

// decide polls and has the head judged, bringing what that takes.
func decide(t *testing.T, sc agent.SourceConfig, accepted gitops.Hash) (gitops.Commit, verify.Commit, error) {
	t.Helper()
	var known []gitops.Hash
	if accepted != "" {
		known = append(known, accepted)
	}
	commit, err := sc.Git.Commits(t.Context(), gitops.PollRequest{Known: known})
	if err != nil {
		t.Fatal(err)
	}
	for {
		missing, err := sc.Verifier.Missing(t.Context(), commit, accepted)
		if err != nil {
			t.Fatal(err)
		}
		if len(missing) == 0 {
			break
		}
		if err := sc.Git.Objects(t.Context(), missing); err != nil {
			t.Fatal(err)
		}
	}
	got, err := sc.Verifier.Verify(t.Context(), commit, accepted)
	return commit, got, err
}

// The node's own clock reaches the decisions of the sources that ask for it.
func TestTheClockIsAskedOnlyWhereTheSourceSaysSo(t *testing.T) {
	for clock, want := range map[string]gitops.Reason{config.ClockAny: "", config.ClockSynchronised: gitops.ClockUntrusted} {
		t.Run(clock, func(t *testing.T) {
			o := newOrigin(t)
			start, set := o.id("HEAD"), false
			_, sc := o.node(func(d *daemon, s *config.Source) {
				d.synchronised = func() bool { return set }
				s.Trust.Clock = clock
			})
			if _, _, err := decide(t, sc, start); err != nil {
				t.Errorf("what was accepted: %v", err)
			}
			o.by("dan", "commit", "-q", "-S", "--allow-empty", "-m", "one")
			o.approve("dan", o.id("HEAD"), start)
			if _, _, err := decide(t, sc, start); gitops.ReasonOf(err) != want {
				t.Errorf("a new revision: %v, want %q", err, want)
			}
			set = true
			if _, _, err := decide(t, sc, start); err != nil {
				t.Errorf("a new revision once the clock is set: %v", err)
			}
		})
	}
}
