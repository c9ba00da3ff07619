// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/edgeagent/edgeagent/test/k3d/cluster"
	"github.com/edgeagent/edgeagent/test/k3d/netns"
)

// shared is the cluster of all tests that leave it standing.
var shared *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	inside, err := netns.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if inside || os.Getenv(ownerVariable) != "" {
		return m.Run() // the one test that is run as a child starts its own cluster
	}
	shared, err = cluster.Start(context.Background(), cluster.Config{Log: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	return m.Run()
}

func TestServerSaysItsVersion(t *testing.T) {
	version, err := client(t, shared).Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if version.GitVersion != "v1.37.2" || version.Major != "1" || version.Minor != "37" {
		t.Errorf("server version is %s (%s.%s), want v1.37.2 (1.37)", version.GitVersion, version.Major, version.Minor)
	}
}

func TestKilledAPIServerComesBackWithItsData(t *testing.T) {
	c := shared
	kube := client(t, c)
	createConfigMap(t, kube, "kept")
	since := time.Now()
	createConfigMap(t, kube, "logged-before")
	if err := c.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	tearAuditLog(t, c)
	if _, err := kube.Discovery().ServerVersion(); err == nil {
		t.Fatal("the API server answers after it was killed")
	}
	url := c.URL()
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.URL() != url {
		t.Errorf("the address changed from %s to %s", url, c.URL())
	}
	if _, err := kube.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("what was written before the kill: %v", err)
	}
	// The controllers and the kubelet are back as well.
	createPod(t, kube, podSpec{name: "after-kill", image: "web"})
	waitForPod(t, kube, "after-kill", ready)
	createConfigMap(t, kube, "logged-after")
	if got := writes(t, cluster.AuditFilter{Since: since, User: "admin", Resource: "configmaps"}); len(got) != 2 {
		t.Errorf("the audit log has %v, want one write before and one after the kill", got)
	}
}

func TestWipedStorageIsANewCluster(t *testing.T) {
	c := shared
	kube := client(t, c)
	createConfigMap(t, kube, "lost")
	before := clusterUID(t, kube)
	if err := c.WipeStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := clusterUID(t, kube); after == before {
		t.Errorf("kube-system has the same UID %s after the wipe", after)
	}
	if _, err := kube.CoreV1().ConfigMaps("default").Get(t.Context(), "lost", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("an object from before the wipe: %v, want not found", err)
	}
	createPod(t, kube, podSpec{name: "after-wipe", image: "web"})
	waitForPod(t, kube, "after-wipe", ready)
}

func TestRotatedCredentialsReplaceTheOldOnes(t *testing.T) {
	c := shared
	agent, err := c.User("edgeagent", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	old := clientOf(t, agent)
	createConfigMap(t, old, "before")
	if err := c.RotateKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.CoreV1().ConfigMaps("default").Get(t.Context(), "before", metav1.GetOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("old credentials: %v, want unauthorized", err)
	}
	if _, err := clientOf(t, agent).CoreV1().ConfigMaps("default").Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Errorf("new credentials from the same file: %v", err)
	}

	old = clientOf(t, agent)
	if err := c.RotateCA(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Discovery().ServerVersion(); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("a client that trusts the old authority: %v, want a failed handshake", err)
	}
	if _, err := clientOf(t, agent).CoreV1().ConfigMaps("default").Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Errorf("new authority from the same file: %v", err)
	}
}

func TestUserWithoutGroupsMayDoNothing(t *testing.T) {
	path, err := shared.User("nobody")
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientOf(t, path).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("list as nobody: %v, want forbidden", err)
	}
}

func TestClusterRunsInAnEmptyNetworkNamespace(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestInsideNamespace$", "-test.v")
	netns.Isolate(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !contains(string(out), "--- PASS: TestInsideNamespace") {
		t.Fatalf("the test did not run inside:\n%s", out)
	}
}

func TestInsideNamespace(t *testing.T) {
	if inside, _ := netns.Enter(); !inside {
		return // runs only as a child of the test above, which insists on it
	}
	c := start(t)
	kube := client(t, c)
	createPod(t, kube, podSpec{name: "inside", image: "web"})
	waitForPod(t, kube, "inside", ready)
}

func TestStopEndsEveryProcess(t *testing.T) {
	dir := t.TempDir()
	c, err := cluster.Start(t.Context(), cluster.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if n := processesIn(t, dir); n != 3 {
		t.Errorf("%d processes run in the cluster's directory, want 3", n)
	}
	c.Stop()
	c.Stop()
	if n := processesIn(t, dir); n != 0 {
		t.Errorf("%d processes are left after Stop", n)
	}
}

// tearAuditLog leaves what an API server leaves that was killed while it wrote.
func tearAuditLog(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(c.Dir(), "audit.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.WriteString(`{"kind":"Event","apiVersion":"aud`); err != nil {
		t.Fatal(err)
	}
}

// start starts a cluster for one test.
func start(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Config{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

func client(t *testing.T, c *cluster.Cluster) kubernetes.Interface {
	t.Helper()
	return clientOf(t, c.Kubeconfig())
}

func clientOf(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return kube
}

func dynamicClient(t *testing.T, c *cluster.Cluster) dynamic.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return dyn
}

func createConfigMap(t *testing.T, kube kubernetes.Interface, name string) {
	t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := kube.CoreV1().ConfigMaps("default").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func clusterUID(t *testing.T, kube kubernetes.Interface) string {
	t.Helper()
	namespace, err := kube.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(namespace.UID)
}

// eventually polls until condition returns "", and fails with its last words.
func eventually(t *testing.T, condition func() string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		problem := condition()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(problem)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
