// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/node"
)

// killInEveryPhase kills the agent before and after every write to the journal,
// one after another, and starts it again: each time the cluster has to become
// the revision, and nothing may stay behind that no inventory knows.
func killInEveryPhase(s *scene) {
	s.source["prunePolicy"] = map[string]any{"maxDeletes": 100, "maxPercent": 100, "minimum": 1000}
	s.write("app/base.yaml", configMap(s.ns, "base", "0"))
	s.write("app/extra.yaml", configMap(s.ns, "extra-0", "0"))
	s.start()
	s.ready(s.push("base"))
	s.stop()
	crashes := 0
	for n := 1; ; n++ {
		s.write("app/base.yaml", configMap(s.ns, "base", fmt.Sprint(n)))
		s.write("app/extra.yaml", configMap(s.ns, fmt.Sprintf("extra-%d", n), "1"))
		head := s.push(fmt.Sprint("crash at point ", n))
		s.crash(fmt.Sprint(n))
		crashed := false
		s.eventually("a crash or convergence", func() bool {
			if !s.node.Running() {
				crashed = true
				return true
			}
			s.node.CLI("sync", s.name)
			st, err := s.node.Status(s.name)
			return err == nil && st.Ready() && st.Healthy.Revision.Hash() == head
		})
		if crashed {
			crashes++
			s.start()
		}
		s.ready(head)
		if got, want := s.owned(), []string{"base", fmt.Sprintf("extra-%d", n)}; strings.Join(got, " ") != strings.Join(want, " ") {
			s.t.Fatalf("after a crash at point %d the cluster holds %v, want %v", n, got, want)
		}
		s.stop()
		if !crashed {
			break
		}
	}
	// Accept, Begin, Applied, Healthy and Pruned, before and after each.
	if crashes < 10 {
		s.t.Errorf("the agent was crashed at %d points, want at least 10", crashes)
	}
}

func apiServerDown(s *scene) {
	s.app("web:1")
	s.source["interval"] = "5s"
	s.start()
	s.ready(s.push("good"))
	s.must(s.cluster.KillAPIServer())
	s.eventually("the API server to be missed", func() bool {
		c := s.status().Condition(gitops.ConditionStalled)
		return c.Status == "True" && c.Reason == gitops.APIUnreachable
	})
	s.app("web:2")
	head := s.push("while the API server is away")
	s.sync()
	// The trust decision does not need a cluster.
	s.eventually("the commit to be accepted", func() bool { return s.status().Verified.Revision.Hash() == head })
	if len(s.history()) != 1 {
		s.t.Errorf("history = %+v, want no attempt while the API server is away", s.history())
	}
	s.must(s.cluster.StartAPIServer(context.Background()))
	s.eventually("convergence by itself", func() bool {
		st := s.status()
		return st.Ready() && st.Healthy.Revision.Hash() == head
	})
	if s.deploymentImage("web") != "web:2" {
		s.t.Errorf("image = %s, want web:2", s.deploymentImage("web"))
	}
}

func kubeconfigRotated(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("good"))
	s.must(s.cluster.RotateKubeconfig(context.Background()))
	s.app("web:2")
	s.ready(s.push("after the credentials changed"))
	s.must(s.cluster.RotateCA(context.Background()))
	s.app("web:3")
	s.ready(s.push("after the authority changed"))
	s.login()
	if s.deploymentImage("web") != "web:3" {
		s.t.Errorf("image = %s, want web:3", s.deploymentImage("web"))
	}
}

func renamedNode(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("under the old name"))
	s.stop()
	s.node.Config["node"] = map[string]any{"name": "renamed"}
	s.start()
	before := len(s.writes())
	s.app("web:2")
	head := s.push("under the new name")
	st := s.sync()
	if c := st.Condition(gitops.ConditionStalled); c.Status != "True" || c.Reason != gitops.IdentityChanged {
		s.t.Errorf("Stalled = %+v, want True for IdentityChanged", c)
	}
	if n := len(s.writes()) - before; n != 0 || s.deploymentImage("web") != "web:1" {
		s.t.Errorf("%d writes, image = %s; want none, web:1", n, s.deploymentImage("web"))
	}
	s.mustCLI("accept-identity")
	s.ready(head)
	s.kill()
	s.start()
	s.app("web:3")
	s.ready(s.push("after a restart"))
}

func secondDaemon(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("first"))
	r := node.Run(nil, edgeagentBinary, "run", "--config", s.node.ConfigPath())
	if r.Code != 1 {
		s.t.Errorf("exit code %d, want 1", r.Code)
	}
	if pid := fmt.Sprint(s.node.PID()); !strings.Contains(r.Stderr, pid) || !strings.Contains(r.Stderr, s.dir) {
		s.t.Errorf("stderr = %q, want it to name the holder (pid %s) and the directory", r.Stderr, pid)
	}
	if st := s.sync(); !st.Ready() {
		s.fatalf("the first daemon was disturbed")
	}
}

func socketWriteNeedsRoot(s *scene) {
	if os.Geteuid() != 0 {
		s.t.Skip("SKIPPED LOUDLY: becoming another user needs root")
	}
	s.app("web:1")
	s.start()
	s.ready(s.push("first"))
	// The socket's group may read: let nobody's group in, all the way down.
	const nobody = 65534
	for dir := s.dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		s.must(os.Chmod(dir, 0o755))
	}
	s.must(os.Chmod(filepath.Dir(s.node.Socket()), 0o755))
	s.must(os.Chown(s.node.Socket(), 0, nobody))
	as := &syscall.Credential{Uid: nobody, Gid: nobody}
	if r := s.node.CLIAs(as, "status"); r.Code != 0 {
		s.t.Errorf("status as nobody: exit code %d: %s%s, want 0", r.Code, r.Stdout, r.Stderr)
	}
	for _, args := range [][]string{
		{"sync", s.name}, {"rollback", s.name}, {"retry", s.name}, {"resume", s.name},
		{"suspend", s.name, "--reason", "mischief"}, {"remove", s.name, "--prune"},
	} {
		r := s.node.CLIAs(as, args...)
		if r.Code != 1 || !strings.Contains(r.Stderr, "root") {
			s.t.Errorf("edgeagent %v as nobody: exit code %d, %q; want 1 and a hint at root", args, r.Code, r.Stderr)
		}
	}
	if st := s.status(); st.Suspended != nil || !s.has("settings") {
		s.t.Error("an order of nobody was carried out")
	}
}
