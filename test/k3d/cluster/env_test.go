// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/cluster"
)

func TestExternalClusterIsUsedAndLeftAlone(t *testing.T) {
	t.Setenv("EDGEAGENT_E2E", "external")
	t.Setenv("KUBECONFIG", shared.Kubeconfig())
	var log strings.Builder
	c, err := cluster.FromEnv(t.Context(), cluster.Config{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind() != "external" || c.Embedded() || c.URL() != shared.URL() || c.Kubeconfig() != shared.Kubeconfig() {
		t.Errorf("got a cluster %q at %s with %s, want the one of KUBECONFIG", c.Kind(), c.URL(), c.Kubeconfig())
	}
	if !strings.Contains(log.String(), "external, "+shared.URL()) {
		t.Errorf("the choice was not printed: %q", log.String())
	}
	_, userErr := c.User("somebody")
	_, writesErr := c.Writes(cluster.AuditFilter{})
	for what, err := range map[string]error{
		"kill": c.KillAPIServer(), "start": c.StartAPIServer(t.Context()), "wipe": c.WipeStorage(t.Context()),
		"rotate": c.RotateKubeconfig(t.Context()), "rotate CA": c.RotateCA(t.Context()), "user": userErr, "writes": writesErr,
	} {
		if !errors.Is(err, cluster.ErrNotEmbedded) {
			t.Errorf("%s: %v, want %v", what, err, cluster.ErrNotEmbedded)
		}
	}
	c.Stop()
	if _, err := client(t, shared).Discovery().ServerVersion(); err != nil {
		t.Errorf("stopping the handle ended the cluster: %v", err)
	}
}

func TestWrongEnvironmentIsAnError(t *testing.T) {
	tests := []struct{ mode, kubeconfig, want string }{
		{"externl", "", "want external, embedded or nothing"},
		{"external", "", "KUBECONFIG is empty"},
		{"external", "/nonexistent/kubeconfig", "/nonexistent/kubeconfig"},
	}
	for _, test := range tests {
		t.Setenv("EDGEAGENT_E2E", test.mode)
		t.Setenv("KUBECONFIG", test.kubeconfig)
		c, err := cluster.FromEnv(t.Context(), cluster.Config{})
		if err == nil {
			c.Stop()
			t.Fatalf("%+v: a cluster was chosen", test)
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %q", test, err)
		}
	}
}

// Docker is played by a script whose container is the shared cluster; what is
// tested is the choice, the kubeconfig, and that the container is removed.
func TestK3sInDockerIsUsedWhenItsImageIsThere(t *testing.T) {
	calls := fakeDocker(t, "mirror/k3s:v1")
	t.Setenv("EDGEAGENT_E2E", "")
	t.Setenv("EDGEAGENT_K3S_IMAGE", "mirror/k3s:v1")
	var log strings.Builder
	c, err := cluster.FromEnv(t.Context(), cluster.Config{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind() != "k3d" || c.Embedded() || c.URL() != shared.URL() {
		t.Errorf("got a cluster %q at %s, want k3d at the published port", c.Kind(), c.URL())
	}
	if _, err := client(t, c).Discovery().ServerVersion(); err != nil {
		t.Errorf("its kubeconfig: %v", err)
	}
	if !strings.Contains(log.String(), "k3s in docker, image mirror/k3s:v1") {
		t.Errorf("the choice was not printed: %q", log.String())
	}
	c.Stop()
	if got := calls(); !strings.Contains(got, "rm --force --volumes the-container") {
		t.Errorf("the container was not removed; docker was called with\n%s", got)
	}
	if _, err := os.Stat(c.Kubeconfig()); !os.IsNotExist(err) {
		t.Errorf("the kubeconfig stays behind: %v", err)
	}
}

func TestEmbeddedIsChosenWithoutTheImageAndNothingIsPulled(t *testing.T) {
	calls := fakeDocker(t, "some/other")
	t.Setenv("EDGEAGENT_E2E", "")
	t.Setenv("EDGEAGENT_K3S_IMAGE", "")
	var log strings.Builder
	// A program that is not there shows the choice without a second cluster.
	_, err := cluster.FromEnv(t.Context(), cluster.Config{Log: &log, Binary: "/nonexistent/controlplane"})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/controlplane") {
		t.Errorf("error is %v, want the embedded cluster's", err)
	}
	if !strings.Contains(log.String(), "embedded, because docker has no image rancher/k3s") {
		t.Errorf("the choice was not printed: %q", log.String())
	}
	if got := calls(); strings.Contains(got, "pull") || strings.Contains(got, "run") {
		t.Errorf("docker was asked for more than a look:\n%s", got)
	}
}

// fakeDocker puts a docker into PATH that has one image, and returns a function
// that lists its calls.
func fakeDocker(t *testing.T, image string) func() string {
	t.Helper()
	dir := t.TempDir()
	const k3sURL = "https://127.0.0.1:6443"
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >>%[1]s/calls
case "$1" in
image) test "$3" = %[2]s ;;
run) echo the-container ;;
port) echo %[3]s ;;
exec) sed 's#%[4]s#%[5]s#' %[6]s ;;
esac
`, dir, image, strings.TrimPrefix(shared.URL(), "https://"), shared.URL(), k3sURL, shared.Kubeconfig())
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		data, err := os.ReadFile(filepath.Join(dir, "calls"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}
