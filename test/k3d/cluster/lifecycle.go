// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/edgeagent/edgeagent/test/k3d/kubelet"
)

const (
	startTimeout = 2 * time.Minute // a machine with two busy cores, and then some
	pollInterval = 20 * time.Millisecond
	nodeName     = "edge"
)

// KillAPIServer ends the API server, the controllers and the storage with
// SIGKILL. On k3s they are one process, so they die together here too.
func (c *Cluster) KillAPIServer() error {
	if !c.Embedded() {
		return fmt.Errorf("kill the API server: %w", ErrNotEmbedded)
	}
	c.killProcesses()
	c.printf("API server was killed")
	return nil
}

// StartAPIServer starts what KillAPIServer ended, on the same port and with the
// same data, and returns when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if !c.Embedded() {
		return fmt.Errorf("start the API server: %w", ErrNotEmbedded)
	}
	if err := c.startProcesses(ctx); err != nil {
		c.killProcesses()
		return err
	}
	c.printf("API server is back at %s", c.url)
	return nil
}

// WipeStorage ends the cluster, deletes its datastore and starts it again, as a
// k3s whose disk was replaced: nothing is left, and kube-system has a new UID.
// Certificates stay, so every kubeconfig keeps working.
func (c *Cluster) WipeStorage(ctx context.Context) error {
	if err := c.KillAPIServer(); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(c.path("state.db" + suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete the datastore: %w", err)
		}
	}
	return c.StartAPIServer(ctx)
}

// RotateKubeconfig replaces the credentials of every user, in the same files,
// and restarts the API server, which answers the old ones with 401.
func (c *Cluster) RotateKubeconfig(ctx context.Context) error {
	if err := c.KillAPIServer(); err != nil {
		return err
	}
	if err := c.pki.renewClients(); err != nil {
		return err
	}
	return c.StartAPIServer(ctx)
}

// RotateCA replaces the API server's certificate and its authority as well:
// clients with an old kubeconfig fail in the TLS handshake.
func (c *Cluster) RotateCA(ctx context.Context) error {
	if err := c.KillAPIServer(); err != nil {
		return err
	}
	if err := c.pki.renewServers(); err != nil {
		return err
	}
	if err := c.pki.renewClients(); err != nil {
		return err
	}
	return c.StartAPIServer(ctx)
}

func (c *Cluster) killProcesses() {
	c.kubelet.stop()
	// Front to back, so that nothing logs that what it needs is gone.
	c.manager.kill()
	c.apiServer.kill()
	c.storage.kill()
	c.kubelet, c.manager, c.apiServer, c.storage = nil, nil, nil, nil
	if c.audit != nil {
		c.audit.noteKill()
	}
}

// startProcesses starts the parts in the order in which they need each other.
func (c *Cluster) startProcesses(ctx context.Context) (err error) {
	if c.apiServer != nil {
		return errors.New("start the API server: it runs already")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.audit.repair(); err != nil {
		return err
	}
	if c.storage, err = startProcess(c.binary, c.dir, storageCommand, c.storageFlags()); err != nil {
		return err
	}
	if err := c.await(ctx, c.storage, "the storage to listen", c.storageListens); err != nil {
		return err
	}
	if c.apiServer, err = startProcess(c.binary, c.dir, apiServerCommand, c.apiServerFlags()); err != nil {
		return err
	}
	admin, err := clientFor(c.kubeconfig)
	if err != nil {
		return err
	}
	if err := c.await(ctx, c.apiServer, "the API server to be ready", func(ctx context.Context) error {
		return admin.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	return c.startNode(ctx, admin)
}

// startNode starts the controllers and the kubelet, and waits until a workload
// would run.
func (c *Cluster) startNode(ctx context.Context, admin kubernetes.Interface) error {
	if _, err := c.pki.add(managerUser); err != nil {
		return err
	}
	var err error
	if c.manager, err = startProcess(c.binary, c.dir, managerCommand, c.managerFlags()); err != nil {
		return err
	}
	if err := c.startKubelet(); err != nil {
		return err
	}
	return c.await(ctx, c.manager, "the controllers and the node", func(ctx context.Context) error {
		return workloadsCanRun(ctx, admin)
	})
}

// workloadsCanRun returns nil once pods can be made, which needs their service
// account, and have a node to run on.
func workloadsCanRun(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
	}
	return fmt.Errorf("no node of %d is Ready", len(nodes.Items))
}

func (c *Cluster) startKubelet() error {
	path, err := c.pki.add(kubeletUser, "system:masters")
	if err != nil {
		return err
	}
	client, err := clientFor(path)
	if err != nil {
		return err
	}
	node := kubelet.New(kubelet.Config{Client: client, NodeName: nodeName, Log: c.log})
	c.kubelet = startBackground(node.Run)
	return nil
}

func (c *Cluster) storageListens(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.socketPath())
	if err != nil {
		return err
	}
	return conn.Close()
}

// await polls until ready returns nil, p ends, or ctx does.
func (c *Cluster) await(ctx context.Context, p *process, what string, ready func(context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ready(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ended := p.exited(); ended != nil {
			return fmt.Errorf("wait for %s: %w", what, ended)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last answer: %v; last lines in %s:\n%s", what, ctx.Err(), err, p.logPath, p.tail())
		case <-time.After(pollInterval):
		}
	}
}

func clientFor(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig %s: %w", kubeconfig, err)
	}
	config.QPS = -1 // no limit on our side
	config.DisableCompression = true
	client, err := kubernetes.NewForConfig(rest.AddUserAgent(config, "test-cluster"))
	if err != nil {
		return nil, fmt.Errorf("make a client from %s: %w", kubeconfig, err)
	}
	return client, nil
}
