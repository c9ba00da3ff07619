// SPDX-License-Identifier: Apache-2.0

// Package e2e_test runs the real program against a real API server and a real
// Git server. The names of its cases are the specification.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/cluster"
	"github.com/edgeagent/edgeagent/test/k3d/netns"
)

var (
	edgeagentBinary  string // as users get it
	crashpointBinary string // kills itself around the journal's moves
	inNamespace      bool
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	var err error
	if inNamespace, err = netns.Enter(); err != nil {
		return 1, err
	}
	// The programs are built from the tree that is tested: a stale bin/edgeagent
	// would prove nothing.
	dir, err := os.MkdirTemp("", "edgeagent-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // one case runs the program as nobody
		return 1, err
	}
	if edgeagentBinary, err = build(dir, "edgeagent"); err != nil {
		return 1, err
	}
	if crashpointBinary, err = build(dir, "edgeagent-crashpoint", "-tags", "crashpoint"); err != nil {
		return 1, err
	}
	defer func() {
		if shared.cluster != nil {
			shared.cluster.Stop()
		}
	}()
	return m.Run(), nil
}

func build(dir, name string, flags ...string) (string, error) {
	if given := os.Getenv("EDGEAGENT_E2E_BIN"); given != "" {
		return filepath.Join(given, name), nil
	}
	path := filepath.Join(dir, name)
	args := append([]string{"build", "-o", path, "-ldflags", "-X main.version=v0.0.0-e2e"}, flags...)
	cmd := exec.Command("go", append(args, "github.com/edgeagent/edgeagent/cmd/edgeagent")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

var shared struct {
	once    sync.Once
	cluster *cluster.Cluster
	err     error
}

// sharedCluster is the cluster that most cases use side by side, each in a
// namespace of its own: the embedded one, k3d's, or KUBECONFIG's.
func sharedCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	shared.once.Do(func() {
		shared.cluster, shared.err = cluster.FromEnv(context.Background(), cluster.Config{Log: os.Stderr})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// embeddedCluster is a cluster of one test, which may end and wipe it.
func embeddedCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// runInNamespace runs tests of this program in a network namespace that holds
// a loopback interface and nothing else.
func runInNamespace(t *testing.T, pattern string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run="+pattern, "-test.v=true", "-test.count=1")
	cmd.Env = append(os.Environ(), "EDGEAGENT_E2E_BIN="+filepath.Dir(edgeagentBinary))
	netns.Isolate(cmd)
	out, err := cmd.CombinedOutput()
	t.Logf("in an empty network namespace:\n%s", out)
	if err != nil {
		t.Fatalf("tests in the namespace: %v", err)
	}
}
