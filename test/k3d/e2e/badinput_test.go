// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/node"
	"github.com/edgeagent/edgeagent/test/k3d/pki"
)

// badInput gets a clear error and changes nothing.
var badInput = []struct {
	name string
	run  func(*scene)
}{
	{"bad_configuration_is_refused_with_file_and_line", badConfig},
	{"changed_configuration_with_a_problem_is_refused_and_the_old_one_stays", badReload},
	{"bad_manifests_are_refused_before_any_write", badManifests},
	{"bad_links_have_each_their_reason", badLinks},
	{"bad_kubeconfigs_have_each_their_reason", badKubeconfigs},
	{"bad_state_directories_are_refused", badStateDirs},
	{"bad_sockets_are_refused", badSockets},
}

func TestBadInput(t *testing.T) {
	for _, c := range badInput {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(newScene(t, sharedCluster(t)))
		})
	}
}

// startFails runs the agent to its end and asserts its exit code and what its
// error says.
func (s *scene) startFails(says ...string) {
	s.t.Helper()
	s.writeConfig()
	r := node.Run(nil, edgeagentBinary, "run", "--config", s.node.ConfigPath())
	if r.Code != 1 {
		s.t.Errorf("exit code %d, want 1: %s", r.Code, r.Stderr)
	}
	for _, want := range says {
		if !strings.Contains(r.Stderr, want) {
			s.t.Errorf("stderr = %q, want it to say %q", r.Stderr, want)
		}
	}
	if n := len(s.writes()); n != 0 {
		s.t.Errorf("%d writes, want none", n)
	}
}

func badConfig(s *scene) {
	key := filepath.Join(s.dir, "key")
	s.must(os.WriteFile(key, []byte("secret"), 0o644))
	cases := []struct {
		spoil func()
		says  []string
	}{
		{func() { s.source["pullRequests"] = true }, []string{"config.yaml:", "pullRequests"}},
		{func() { s.copySource(s.name) }, []string{"config.yaml:", s.name}},
		{func() { s.source["trust"].(map[string]any)["allowedSigners"] = "/nowhere/allowed" }, []string{"config.yaml:", "/nowhere/allowed"}},
		{func() { s.source["auth"] = map[string]any{"usernameFile": key, "passwordFile": key} }, []string{"config.yaml:", key, "chmod"}},
		{func() { s.source["interval"] = "soon" }, []string{"config.yaml:", "interval"}},
		{func() { s.node.Config["socket"] = "/run/" + strings.Repeat("long/", 30) + "s.sock" }, []string{"config.yaml:", "socket"}},
	}
	for _, c := range cases {
		s.defaults()
		c.spoil()
		s.startFails(c.says...)
		if r := node.Run(nil, edgeagentBinary, "config", "check", "--config", s.node.ConfigPath()); r.Code != 1 {
			s.t.Errorf("config check: exit code %d, want 1: %s", r.Code, r.Stderr)
		}
	}
	if _, err := os.Stat(s.node.StateDir()); err == nil {
		s.t.Error("a state directory was made for a configuration that was refused")
	}
}

func badReload(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("good"))
	s.source["interval"] = "soon"
	s.writeConfig()
	s.eventually("the status to say that the new configuration is refused", func() bool {
		out := s.mustCLI("status", "-o", "json")
		return strings.Contains(out, "interval") && strings.Contains(out, "config.yaml:")
	})
	s.app("web:2")
	s.ready(s.push("the old configuration is in force"))
	s.source["interval"] = "30m"
	s.writeConfig()
	s.eventually("the repaired configuration to be taken", func() bool {
		return !strings.Contains(s.mustCLI("status", "-o", "json"), "config.yaml:")
	})
	s.app("web:3")
	s.ready(s.push("the new configuration is in force"))
}

func badManifests(s *scene) {
	s.write("app/good.yaml", configMap(s.ns, "good", "1"))
	s.start()
	good := s.push("good")
	s.ready(good)
	before := len(s.writes())
	cases := map[string]struct {
		content string
		reason  gitops.Reason
		says    string
	}{
		"not YAML":     {"a: [b\nc: {", gitops.InvalidManifest, "app/bad.yaml"},
		"no kind":      {"apiVersion: v1\nmetadata: {name: x}\n", gitops.InvalidManifest, "kind"},
		"unknown kind": {"apiVersion: example.com/v1\nkind: Unheard\nmetadata: {name: x, namespace: " + s.ns + "}\n", gitops.UnknownKind, "Unheard"},
		"a duplicate":  {configMap(s.ns, "good", "2"), gitops.DuplicateObject, "app/good.yaml"},
		"10 MB":        {configMap(s.ns, "big", strings.Repeat("x", 10<<20)), gitops.TooLarge, "app/bad.yaml"},
	}
	for name, c := range cases {
		s.write("app/bad.yaml", c.content)
		head := s.push(name)
		st := s.sync()
		ready := st.Condition(gitops.ConditionReady)
		if ready.Status != "False" || ready.Reason != c.reason || !strings.Contains(ready.Message, c.says) {
			s.t.Errorf("%s: Ready = %+v, want False for %s, naming %s", name, ready, c.reason, c.says)
		}
		if st.Verified.Revision.Hash() != head || st.Applied.Revision.Hash() != good {
			s.t.Errorf("%s: accepted %s, applied %s; want %s accepted and %s applied", name, st.Verified.Revision.Short(), st.Applied.Revision.Short(), head.Short(), good.Short())
		}
	}
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes, want none: %v", n, s.writes()[before:])
	}
	s.remove("app/bad.yaml")
	s.write("app/good.yaml", configMap(s.ns, "good", "3"))
	s.ready(s.push("good again"))
}

func badLinks(s *scene) {
	s.app("web:1")
	s.start()
	good := s.push("good")
	s.ready(good)
	before := len(s.writes())
	for mode, want := range map[gitserver.Mode]gitops.Reason{
		gitserver.Unauthorized: gitops.Auth, gitserver.NotFound: gitops.NotGit,
		gitserver.ServerError: gitops.ServerError, gitserver.HTML: gitops.CaptivePortal,
	} {
		s.git.SetMode(mode)
		st := s.sync()
		if st.Link.Reason != want || st.Condition(gitops.ConditionSourceReachable).Reason != want || st.Link.Message == "" {
			s.t.Errorf("%s: link = %+v, want %s", mode, st.Link, want)
		}
		if st.Applied.Revision.Hash() != good || st.Refused != nil {
			s.t.Errorf("%s: applied = %v, refused = %v", mode, st.Applied, st.Refused)
		}
	}
	s.git.SetMode(gitserver.Serving)
	s.source["ref"] = map[string]any{"branch": "release"}
	s.writeConfig()
	s.eventually("the missing ref to be named", func() bool {
		st := s.sync()
		return st.Link.Reason == gitops.RefMissing && strings.Contains(st.Link.Message, "release")
	})
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes, want none: %v", n, s.writes()[before:])
	}
}

func badKubeconfigs(s *scene) {
	s.app("web:1")
	head := s.push("good")
	forbidden, err := s.cluster.User("nobody-"+s.name, "nobodies")
	s.must(err)
	wrong := filepath.Join(s.dir, "wrong.yaml")
	garbage := filepath.Join(s.dir, "garbage.yaml")
	s.must(os.WriteFile(garbage, []byte("{"), 0o600))
	s.must(s.otherAuthority(wrong))
	place := filepath.Join(s.dir, "kubeconfig.yaml")
	s.node.Config["cluster"] = map[string]any{"kubeconfig": place}
	s.start()
	for _, c := range []struct {
		name, from string
		reason     gitops.Reason
		says       string
	}{
		{"missing", "", gitops.KubeconfigError, place},
		{"garbage", garbage, gitops.KubeconfigError, place},
		{"wrong authority", wrong, gitops.APIUnauthorized, "certificate"},
		{"forbidden", forbidden, gitops.Forbidden, "nobody"},
	} {
		if c.from != "" {
			s.copyFile(c.from, place)
		}
		s.eventually(c.name, func() bool {
			st := s.sync()
			c2 := st.Condition(gitops.ConditionStalled)
			return c2.Reason == c.reason && strings.Contains(c2.Message, c.says)
		})
	}
	if n := len(s.writes()); n != 0 || s.has("settings") {
		s.t.Errorf("%d writes, want none", n)
	}
	s.copyFile(s.kubeconfig, place)
	s.ready(head)
}

func badStateDirs(s *scene) {
	if os.Geteuid() != 0 {
		s.t.Skip("SKIPPED LOUDLY: mounting a small disk needs root")
	}
	s.app("web:1")
	s.push("good")
	dir := s.mkdir("state")
	mount := func(options string) {
		s.t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
			s.t.Skipf("SKIPPED LOUDLY: mount a small disk: %v", err)
		}
	}
	mount("size=1m")
	s.must(syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	s.startFails(dir, "read-only")
	s.must(syscall.Unmount(dir, 0))

	mount("size=64k")
	filler := make([]byte, 1<<20)
	os.WriteFile(filepath.Join(dir, "filler"), filler, 0o600) //nolint:errcheck // it fills the disk and fails
	s.startFails(dir, "space")
	s.must(syscall.Unmount(dir, 0))
}

func badSockets(s *scene) {
	s.app("web:1")
	s.push("good")
	s.must(os.MkdirAll(filepath.Dir(s.node.Socket()), 0o755))
	s.must(os.WriteFile(s.node.Socket(), []byte("not a socket"), 0o600))
	s.startFails(s.node.Socket(), "not a socket")
	s.must(os.Remove(s.node.Socket()))
	s.start()
	other := s.clone()
	other.node.Config["socket"] = s.node.Socket()
	other.startFails(s.node.Socket(), "another daemon")
	if r := s.node.CLI("status"); r.Code != 0 {
		s.t.Errorf("the first daemon's socket was taken: %s", r.Stderr)
	}
}

func (s *scene) copyFile(from, to string) {
	s.t.Helper()
	data, err := os.ReadFile(from)
	s.must(err)
	s.must(os.WriteFile(to+".new", data, 0o600))
	s.must(os.Rename(to+".new", to))
}

// otherAuthority writes the scene's kubeconfig with the authority of somebody
// else in it.
func (s *scene) otherAuthority(path string) error {
	cfg, err := clientcmd.LoadFromFile(s.kubeconfig)
	if err != nil {
		return err
	}
	authority, err := pki.NewAuthority("somebody else")
	if err != nil {
		return err
	}
	for _, c := range cfg.Clusters {
		c.CertificateAuthority, c.CertificateAuthorityData = "", authority.PEM
	}
	return clientcmd.WriteToFile(*cfg, path)
}
