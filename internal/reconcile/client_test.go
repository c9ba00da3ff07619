// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
	"github.com/edgeagent/edgeagent/test/k3d/cluster"
)

func TestNewWantsAPathAndAName(t *testing.T) {
	for _, cfg := range []reconcile.Config{{Node: "n"}, {Kubeconfig: "k"}} {
		if _, err := reconcile.New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

func TestCapabilities(t *testing.T) {
	c := newCluster(t, reconcile.Config{Kubeconfig: agentKubeconfig, Node: "node-1", Version: "v0"})
	caps, err := c.Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if caps.KubeVersion != "v1.37.2" || len(caps.ClusterUID) != 36 {
		t.Errorf("capabilities are %+v", caps)
	}
	for _, want := range []string{"v1", "v1/ConfigMap", "apps/v1", "apps/v1/Deployment"} {
		found := false
		for _, have := range caps.APIVersions {
			found = found || have == want
		}
		if !found {
			t.Errorf("API versions do not hold %q", want)
		}
	}
}

func TestBadKubeconfigs(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, err := os.ReadFile(agentKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := shared.User("nobody-" + filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		path, context string
		reason        gitops.Reason
		words         []string
	}{
		"missing":     {path: filepath.Join(dir, "none"), reason: gitops.KubeconfigError, words: []string{"none", "start k3s"}},
		"directory":   {path: dir, reason: gitops.KubeconfigError, words: []string{dir}},
		"garbage":     {path: file("garbage", "\x00\x01secret-token"), reason: gitops.KubeconfigError, words: []string{"is not a kubeconfig"}},
		"empty":       {path: file("empty", ""), reason: gitops.KubeconfigError, words: []string{"is not a kubeconfig"}},
		"no such ctx": {path: agentKubeconfig, context: "other", reason: gitops.KubeconfigError, words: []string{`no context "other"`}},
		"missing key": {path: file("key", changed(t, good, func(c *clientcmdapi.Config) {
			forEachUser(c, func(u *clientcmdapi.AuthInfo) {
				*u = clientcmdapi.AuthInfo{ClientCertificate: "/none", ClientKey: "/none"}
			})
		})), reason: gitops.KubeconfigError, words: []string{"not there"}},
		"wrong CA": {path: file("ca", changed(t, good, func(c *clientcmdapi.Config) {
			forEachCluster(c, func(cl *clientcmdapi.Cluster) { cl.CertificateAuthorityData = otherCA(t) })
		})), reason: gitops.APIUnauthorized, words: []string{"certificate", "k3s wrote"}},
		"bad token": {path: file("token", changed(t, good, func(c *clientcmdapi.Config) {
			forEachUser(c, func(u *clientcmdapi.AuthInfo) { *u = clientcmdapi.AuthInfo{Token: "canary"} })
		})), reason: gitops.APIUnauthorized, words: []string{"kubeconfig"}},
		"nobody listens": {path: file("away", changed(t, good, func(c *clientcmdapi.Config) {
			forEachCluster(c, func(cl *clientcmdapi.Cluster) { cl.Server = "https://127.0.0.1:1" })
		})), reason: gitops.APIUnreachable, words: []string{"systemctl status k3s"}},
		"no rights": {path: nobody, reason: gitops.Forbidden, words: []string{"right"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, reconcile.Config{Kubeconfig: test.path, Context: test.context, Node: "node-1"})
			_, err := c.Capabilities(t.Context())
			wantReason(t, err, test.reason, test.words...)
			if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "secret-token") {
				t.Errorf("the error shows a secret: %v", err)
			}
			_, err = c.Plan(t.Context(), gitops.PlanRequest{Source: "x", Want: manifests(t, strings.ReplaceAll(configMap("a", "1"), "NS", "default"))})
			wantReason(t, err, test.reason)
		})
	}
}

func changed(t *testing.T, content []byte, change func(*clientcmdapi.Config)) string {
	t.Helper()
	c, err := clientcmd.Load(content)
	if err != nil {
		t.Fatal(err)
	}
	change(c)
	out, err := clientcmd.Write(*c)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func forEachUser(c *clientcmdapi.Config, change func(*clientcmdapi.AuthInfo)) {
	for _, u := range c.AuthInfos {
		change(u)
	}
}

func forEachCluster(c *clientcmdapi.Config, change func(*clientcmdapi.Cluster)) {
	for _, cl := range c.Clusters {
		change(cl)
	}
}

// splitKubeconfig writes a kubeconfig whose certificates and keys are files
// beside it, and returns its path.
func splitKubeconfig(t *testing.T, from, dir string) string {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		if len(data) == 0 {
			return ""
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	text := changed(t, content, func(c *clientcmdapi.Config) {
		forEachUser(c, func(u *clientcmdapi.AuthInfo) {
			u.ClientCertificate, u.ClientKey = write("cert", u.ClientCertificateData), write("key", u.ClientKeyData)
			u.ClientCertificateData, u.ClientKeyData = nil, nil
		})
		forEachCluster(c, func(cl *clientcmdapi.Cluster) {
			cl.CertificateAuthority, cl.CertificateAuthorityData = write("ca", cl.CertificateAuthorityData), nil
		})
	})
	write("kubeconfig", []byte(text))
	return filepath.Join(dir, "kubeconfig")
}

// otherCA is a certificate that did not sign the API server's.
func otherCA(t *testing.T) []byte {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	return pemOf(server.Certificate().Raw)
}

// TestKubeconfigIsReadAgain needs a cluster of its own: it kills and rotates.
func TestKubeconfigIsReadAgainAndOutagesAreTold(t *testing.T) {
	own, err := cluster.Start(t.Context(), cluster.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	c := newCluster(t, reconcile.Config{Kubeconfig: own.Kubeconfig(), Node: "node-1", Version: "v0"})
	want := manifests(t, strings.ReplaceAll(configMap("a", "1"), "NS", "default"))
	req := gitops.PlanRequest{Source: "rotate", Want: want, Prune: true, Guard: guard}
	plan, err := c.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if err := own.RotateKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(t.Context(), plan, nil); err != nil {
		t.Fatalf("after the kubeconfig was rotated: %v", err)
	}
	// The same with certificates in files beside a kubeconfig that stays as it is.
	split := splitKubeconfig(t, own.Kubeconfig(), t.TempDir())
	beside := newCluster(t, reconcile.Config{Kubeconfig: split, Node: "node-1", Version: "v0"})
	if _, err := beside.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := own.RotateKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	splitKubeconfig(t, own.Kubeconfig(), filepath.Dir(split))
	if _, err := beside.Capabilities(t.Context()); err != nil {
		t.Fatalf("after the files beside the kubeconfig were rotated: %v", err)
	}
	if err := own.RotateCA(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Plan(t.Context(), req); err != nil {
		t.Fatalf("after the CA was rotated: %v", err)
	}
	if err := own.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	_, err = c.Capabilities(t.Context())
	wantReason(t, err, gitops.APIUnreachable)
	_, err = c.Plan(t.Context(), req)
	wantReason(t, err, gitops.APIUnreachable)
	_, err = c.Apply(t.Context(), plan, nil)
	wantReason(t, err, gitops.APIUnreachable)
	if err := own.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Plan(t.Context(), req); err != nil {
		t.Fatalf("after the API server came back: %v", err)
	}
}

func TestBusyAPIServerIsAskedAgain(t *testing.T) {
	tests := map[string]struct {
		code   int
		times  int64
		reason gitops.Reason // "" = it gets through
	}{
		"429 once":      {code: http.StatusTooManyRequests, times: 1},
		"500 twice":     {code: http.StatusInternalServerError, times: 2},
		"503 for good":  {code: http.StatusServiceUnavailable, times: 1 << 30, reason: gitops.APIUnreachable},
		"500 for good":  {code: http.StatusInternalServerError, times: 1 << 30, reason: gitops.ServerError},
		"cut for good":  {code: 0, times: 1 << 30, reason: gitops.APIUnreachable},
		"refused, once": {code: http.StatusUnprocessableEntity, times: 1, reason: gitops.Rejected},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			proxy := newProxy(t, func(n int64, r *http.Request) int {
				if r.Method == http.MethodPatch && n <= test.times {
					return test.code
				}
				return -1
			})
			s.c = newCluster(t, reconcile.Config{Kubeconfig: proxy, Node: "node-1", Version: s.version})
			plan := s.mustPlan(s.want(configMap("a", "1")))
			changes, err := s.c.Apply(t.Context(), plan, nil)
			if test.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				wantActions(t, changes, "created ConfigMap/a")
				return
			}
			wantReason(t, err, test.reason)
			wantActions(t, changes, "failed ConfigMap/a")
		})
	}
}

func TestInterruptedApplyReturnsTheContextsError(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	proxy := newProxy(t, func(n int64, r *http.Request) int {
		if r.Method == http.MethodPatch && n == 3 {
			cancel()
			time.Sleep(50 * time.Millisecond)
		}
		return -1
	})
	s.c = newCluster(t, reconcile.Config{Kubeconfig: proxy, Node: "node-1", Version: s.version, Concurrency: 1})
	plan := s.mustPlan(s.want(configMaps(10)...))
	changes, err := s.c.Apply(ctx, plan, nil)
	if err == nil || gitops.ReasonOf(err) != "" || ctx.Err() == nil {
		t.Errorf("error is %v, want the context's", err)
	}
	if len(changes) == 0 || len(changes) >= 10 {
		t.Errorf("%d changes are returned, want those that were made", len(changes))
	}
	for _, c := range changes {
		if c.Action != gitops.Created || c.Item.UID == "" {
			t.Errorf("change %+v", c)
		}
	}
}
