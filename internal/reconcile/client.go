// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxKubeconfig bounds what is read from the kubeconfig: k3s writes 3 kB.
const maxKubeconfig = 1 << 20

// connection is one kubeconfig's clients. They share one HTTP client, and
// thereby one TCP connection. A changed kubeconfig makes a new connection.
type connection struct {
	content   [sha256.Size]byte // of the kubeconfig
	metadata  metadata.Interface
	dynamic   dynamic.Interface
	discovery *discovery.DiscoveryClient
	close     func()

	mu    sync.Mutex
	kinds *kinds
}

// connect returns the clients for the kubeconfig as it is now. k3s rewrites the
// file when it rotates its certificates, so its content is compared each time.
func (c *Cluster) connect() (*connection, error) {
	content, err := readKubeconfig(c.cfg.Kubeconfig)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.conn.content == sum {
		return c.conn, nil
	}
	conn, err := dial(c.cfg, content)
	if err != nil {
		return nil, err
	}
	conn.content = sum
	if c.conn != nil {
		c.conn.close()
	}
	c.conn = conn
	return conn, nil
}

func readKubeconfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		remedy := "make it readable for the agent, or set cluster.kubeconfig"
		if errors.Is(err, fs.ErrNotExist) {
			remedy = "start k3s, which writes it, or set cluster.kubeconfig"
		}
		return nil, &gitops.Error{Reason: gitops.KubeconfigError, Message: fmt.Sprintf("cannot read the kubeconfig: %v", err), Remedy: remedy, Err: err}
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKubeconfig))
	if err != nil {
		return nil, &gitops.Error{Reason: gitops.KubeconfigError, Message: fmt.Sprintf("cannot read the kubeconfig %s: %v", path, err), Err: err}
	}
	return content, nil
}

func dial(cfg Config, content []byte) (*connection, error) {
	// The parser's own message may quote the file, which holds keys.
	bad := func(what string) error {
		return &gitops.Error{
			Reason:  gitops.KubeconfigError,
			Message: fmt.Sprintf("the kubeconfig %s %s", cfg.Kubeconfig, what),
			Remedy:  "restore it (k3s writes a new one when it starts), or set cluster.kubeconfig and cluster.context",
		}
	}
	file, err := clientcmd.Load(content)
	if err != nil || len(file.Clusters) == 0 {
		return nil, bad("is not a kubeconfig")
	}
	if cfg.Context != "" && file.Contexts[cfg.Context] == nil {
		return nil, bad(fmt.Sprintf("has no context %q", cfg.Context))
	}
	// Certificates in files of their own are read now: client-go would go on
	// with those that it read first, for minutes after they were rotated.
	for _, user := range file.AuthInfos {
		user.LocationOfOrigin = cfg.Kubeconfig
	}
	for _, cluster := range file.Clusters {
		cluster.LocationOfOrigin = cfg.Kubeconfig
	}
	if err := clientcmdapi.FlattenConfig(file); err != nil {
		return nil, bad("names a file that is not there, or holds a certificate twice")
	}
	rc, err := clientcmd.NewNonInteractiveClientConfig(*file, cfg.Context, nil, nil).ClientConfig()
	if err != nil {
		return nil, bad("names no usable cluster or user")
	}
	rc.UserAgent = "edgeagent/" + cfg.Version
	rc.WarningHandler = rest.NoWarnings{} // client-go would log what Git asked for
	rc.QPS = -1                           // the number of writes in flight is the limit
	rc.DisableCompression = true          // the API server is on this machine
	rc.ContentType, rc.AcceptContentTypes = "application/json", "application/json"
	client, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, bad("holds certificates or keys that cannot be used")
	}
	conn := &connection{close: client.CloseIdleConnections}
	if conn.metadata, err = metadata.NewForConfigAndClient(rc, client); err != nil {
		return nil, bad("names a server that cannot be used")
	}
	if conn.dynamic, err = dynamic.NewForConfigAndClient(rc, client); err != nil {
		return nil, bad("names a server that cannot be used")
	}
	if conn.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(rc, client); err != nil {
		return nil, bad("names a server that cannot be used")
	}
	return conn, nil
}
