// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// TestMissingRefIsExplainedOnce asks for all names when the ref is not there,
// but not with each poll.
func TestMissingRefIsExplainedOnce(t *testing.T) {
	r, first, head := fleet(t, 2, 1)
	srv := count(t, r.backend())
	cfg := config(srv.URL)
	cfg.Introduction, cfg.Ref = string(first), pull.Ref{Branch: "mian"}
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	for n := range 4 {
		before := srv.requests.Load()
		_, err := s.Commits(t.Context(), gitops.PollRequest{})
		wantReason(t, err, gitops.RefMissing)
		if !strings.Contains(err.Error(), `the server has "main"`) {
			t.Error(err)
		}
		if n > 0 && srv.requests.Load()-before != 1 {
			t.Errorf("%d requests", srv.requests.Load()-before)
		}
	}
	r.git(r.bare, "branch", "mian", "main")
	if c := mustPoll(t, s); c.Revision.Hash() != head {
		t.Error(c)
	}
}

// TestDeletedRefLosesNothing polls a branch that goes away and comes back.
func TestDeletedRefLosesNothing(t *testing.T) {
	r, first, head := fleet(t, 2, 1)
	srv := count(t, r.backend())
	cfg := config(srv.URL)
	cfg.Introduction = string(first)
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	r.git(r.bare, "branch", "other", "main")
	r.git(r.bare, "update-ref", "-d", "refs/heads/main")
	_, err := s.Commits(t.Context(), gitops.PollRequest{Known: []gitops.Hash{head}})
	wantReason(t, err, gitops.RefMissing)
	if at, ok, err := store.Head(t.Context(), "fleet"); err != nil || !ok || at != head {
		t.Errorf("head %s, %v, %v", at, ok, err)
	}
	r.git(r.bare, "update-ref", "refs/heads/main", string(head))
	before := srv.requests.Load()
	mustPoll(t, s, head)
	if n := srv.requests.Load() - before; n != 1 {
		t.Errorf("%d requests for a head that is here", n)
	}
}

// TestCollectionIsDueAfterAnHourAndThenDaily lets go of what a head that was
// left behind needed.
func TestCollectionIsDueAfterAnHourAndThenDaily(t *testing.T) {
	r, first, head := fleet(t, 2, 0)
	clock := noon()
	cfg := config(r.serve().URL)
	cfg.Introduction, cfg.Now = string(first), clock.Now
	store := openStore(t, objects.Options{})
	s := newSource(t, cfg, store)
	mustPoll(t, s)
	if err := bringFolder(t, r, s, head, "clusters/n0001"); err != nil {
		t.Fatal(err)
	}
	old := r.id("main:clusters/n0001/a.yaml")
	r.write("clusters/n0001/a.yaml", "new\n")
	next := r.commit("next")
	mustPoll(t, s, head)
	if err := bringFolder(t, r, s, next, "clusters/n0001"); err != nil {
		t.Fatal(err)
	}
	here := func() bool {
		t.Helper()
		if err := s.Retain(t.Context(), []gitops.Hash{next}); err != nil {
			t.Fatal(err)
		}
		ok, err := store.Has(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !here() {
		t.Error("collected at once")
	}
	clock.now = clock.now.Add(61 * time.Minute)
	here()
	clock.now = clock.now.Add(25 * time.Hour) // what came since the last collection is spared once
	if here() {
		t.Error("it is still there")
	}
	hasFolder(t, r, store, next, "clusters/n0001")
}

// TestOneConnectionOverSSH counts connections: a handshake is 4 kB. Only v2 can
// ask again in the same one.
func TestOneConnectionOverSSH(t *testing.T) {
	for _, v2 := range []bool{true, false} {
		r, first, head := fleet(t, 4, 3)
		sshd, err := gitserver.StartSSH(t.Context(), gitserver.SSHConfig{Dir: t.TempDir(), Protocol2: v2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sshd.Stop)
		line, err := link.Start(sshd.Address(), link.Shape{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(line.Close)
		known, err := os.ReadFile(sshd.KnownHosts)
		if err != nil {
			t.Fatal(err)
		}
		_, from, _ := strings.Cut(sshd.Address(), ":")
		_, to, _ := strings.Cut(line.Addr(), ":")
		if err := os.WriteFile(sshd.KnownHosts, bytes.ReplaceAll(known, []byte(from), []byte(to)), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := config("")
		cfg.URL = strings.Replace(sshd.URL(&gitserver.Repo{Bare: r.bare}), sshd.Address(), line.Addr(), 1)
		cfg.Introduction = string(first)
		t.Cleanup(func() { line.Sever() }) // the server's end waits for that of the connection
		cfg.Auth = pull.Auth{SSHKeyFile: sshd.KeyFile, KnownHostsFile: sshd.KnownHosts}
		store := openStore(t, objects.Options{})
		s := newSource(t, cfg, store)
		mustPoll(t, s)
		if err := bringFolder(t, r, s, head, "clusters/n0002"); err != nil {
			t.Fatal(err)
		}
		hasFolder(t, r, store, head, "clusters/n0002")
		if n := line.Counters().Connections; v2 && n != 1 {
			t.Errorf("%d connections", n)
		}
	}
}
