// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/cluster"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/node"
)

// scene is the world of one case: a namespace and a user on a cluster, a signed
// repository on a Git server, and an agent with its own state and socket.
type scene struct {
	t    *testing.T
	ctx  context.Context
	name string // of the source
	ns   string
	dir  string
	user string // whom the audit log shows for the agent

	cluster    *cluster.Cluster
	kubeconfig string // the agent's
	kube       kubernetes.Interface
	dynamic    dynamic.Interface

	repo   *gitserver.Repo
	git    *gitserver.Server
	signer *gitserver.Signer

	node    *node.Node
	source  map[string]any
	sources []map[string]any
}

var unsafe = regexp.MustCompile(`[^a-z0-9]+`)

func newScene(t *testing.T, c *cluster.Cluster) *scene {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "/")
	name = strings.Trim(unsafe.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(name) > 30 {
		name = strings.Trim(name[:30], "-")
	}
	// A unix socket's path is short: the usual temporary directory of a test
	// with a long name is not.
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, ctx: context.Background(), name: name, ns: "t-" + name, dir: dir, user: "agent-" + name, cluster: c}
	t.Cleanup(s.close)
	s.connect()
	s.repository()
	s.defaults()
	return s
}

func (s *scene) close() {
	if s.node != nil && s.node.Running() {
		s.kill()
	}
	if s.git != nil {
		s.git.Stop()
	}
	if s.t.Failed() {
		s.t.Logf("kept for a look: %s", s.dir)
		return
	}
	os.RemoveAll(s.dir)
}

// connect makes the agent's user and the case's namespace.
func (s *scene) connect() {
	s.t.Helper()
	s.kubeconfig = s.cluster.Kubeconfig()
	if s.cluster.Embedded() {
		var err error
		s.kubeconfig, err = s.cluster.User(s.user, "system:masters")
		s.must(err)
	}
	s.login()
	_, err := s.kube.CoreV1().Namespaces().Create(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}, metav1.CreateOptions{})
	s.must(err)
}

// login reads the administrator's kubeconfig: again after it was rotated.
func (s *scene) login() {
	s.t.Helper()
	rest, err := clientcmd.BuildConfigFromFlags("", s.cluster.Kubeconfig())
	s.must(err)
	rest.QPS = -1
	s.kube, err = kubernetes.NewForConfig(rest)
	s.must(err)
	s.dynamic, err = dynamic.NewForConfig(rest)
	s.must(err)
}

// repository makes a repository whose first commit is where trust begins.
func (s *scene) repository() {
	s.t.Helper()
	var err error
	s.repo, err = gitserver.NewRepo(s.ctx, s.mkdir("git"), "fleet")
	s.must(err)
	s.signer, err = gitserver.NewSigner(s.ctx, s.mkdir("keys/dev"), "dev@example.com")
	s.must(err)
	s.must(gitserver.WriteAllowedSigners(filepath.Join(s.dir, "allowed_signers"), s.signer))
	s.git, err = gitserver.Start(s.ctx, gitserver.Config{Root: filepath.Join(s.dir, "git")})
	s.must(err)
}

func (s *scene) defaults() {
	s.write("README.md", "a fleet\n")
	introduction := s.push("introduction")
	s.source = map[string]any{
		"name": s.name, "url": s.git.URL(s.repo), "insecure": true,
		"ref": map[string]any{"branch": "main"}, "path": ".",
		"interval": "1h", "timeout": "20s",
		"trust":  map[string]any{"mode": "history", "introduction": string(introduction), "allowedSigners": filepath.Join(s.dir, "allowed_signers")},
		"health": map[string]any{"timeout": "60s", "stable": "1s"},
	}
	s.sources = []map[string]any{s.source}
	s.node = node.New(s.dir, edgeagentBinary, "edge", s.kubeconfig)
	s.node.Config["log"] = map[string]any{"level": "debug"}
}

func (s *scene) health(field, value string) { s.source["health"].(map[string]any)[field] = value }

// copySource adds a source like the first, under another name.
func (s *scene) copySource(name string) map[string]any {
	other := maps.Clone(s.source)
	other["name"] = name
	s.sources = append(s.sources, other)
	return other
}

func (s *scene) dropSources() { s.sources = nil }

// clone is another node with the same source, on the same cluster.
func (s *scene) clone() *scene {
	s.t.Helper()
	other := *s
	other.dir = s.mkdir("other")
	other.user, other.git = s.user+"-2", nil
	if s.cluster.Embedded() {
		var err error
		other.kubeconfig, err = s.cluster.User(other.user, "system:masters")
		s.must(err)
	}
	other.node = node.New(other.dir, edgeagentBinary, "intruder", other.kubeconfig)
	s.t.Cleanup(other.close)
	return &other
}

func (s *scene) mkdir(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.dir, name)
	s.must(os.MkdirAll(dir, 0o755))
	return dir
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// history lists the attempts, newest first, as `history -o json` prints them.
func (s *scene) history() []gitops.Attempt {
	s.t.Helper()
	var attempts []gitops.Attempt
	out := s.mustCLI("history", s.name, "-o", "json")
	s.must(json.Unmarshal([]byte(out), &attempts))
	return attempts
}

func (s *scene) onlyAttempt(head gitops.Hash, cause gitops.Cause, phase gitops.Phase) {
	s.t.Helper()
	h := s.history()
	if len(h) != 1 || h[0].Revision.Hash() != head || h[0].Cause != cause || h[0].Phase != phase {
		s.t.Errorf("history = %+v, want one %s at %s in phase %s", h, cause, head.Short(), phase)
	}
}

// notReady asserts that the accepted head is not what runs, and why.
func (s *scene) notReady(st gitops.SourceStatus, reason gitops.Reason, head gitops.Hash) {
	s.t.Helper()
	if c := st.Condition(gitops.ConditionReady); c.Status != "False" || c.Reason != reason {
		s.t.Errorf("Ready = %+v, want False for %s", c, reason)
	}
	if st.Verified == nil || st.Verified.Revision.Hash() != head {
		s.t.Errorf("accepted = %+v, want %s", st.Verified, head)
	}
	if st.Applied != nil && st.Applied.Revision.Hash() == head {
		s.t.Errorf("%s was applied", head)
	}
}

// settled waits until the source runs a revision and does nothing more.
func (s *scene) settled(head gitops.Hash) (st gitops.SourceStatus) {
	s.t.Helper()
	s.eventually("the source to settle at "+head.Short(), func() bool {
		st = s.status()
		return st.Phase == gitops.StageWaiting && st.Applied.Revision.Hash() == head && st.Healthy.Revision.Hash() == head
	})
	return st
}

func (s *scene) serverVersion() string {
	s.t.Helper()
	v, err := s.kube.Discovery().ServerVersion()
	s.must(err)
	return v.GitVersion
}

func (s *scene) writes() []cluster.AuditEvent {
	s.t.Helper()
	return s.audit(cluster.AuditFilter{User: s.user})
}

// objectWrites is the writes to the case's own objects: not to the parent of
// the ApplySet.
func (s *scene) objectWrites() []cluster.AuditEvent {
	s.t.Helper()
	var out []cluster.AuditEvent
	for _, w := range s.writes() {
		if w.Namespace == s.ns {
			out = append(out, w)
		}
	}
	return out
}

func (s *scene) audit(filter cluster.AuditFilter) []cluster.AuditEvent {
	s.t.Helper()
	if !s.cluster.Embedded() {
		s.t.Skip("SKIPPED LOUDLY: the rest of this case reads the audit log, which only the embedded cluster gives")
	}
	events, err := s.cluster.Writes(filter)
	s.must(err)
	return events
}
