// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/edgeagent/edgeagent/test/k3d/pki"
)

// Users that every embedded cluster has.
const (
	adminUser   = "admin"
	managerUser = "system:kube-controller-manager"
	kubeletUser = "fake-kubelet"
)

// identities are the authorities of a cluster and a kubeconfig for each of its
// users, with the certificates inside, as k3s writes them.
type identities struct {
	dir string
	url string

	mu      sync.Mutex
	servers *pki.Authority
	clients *pki.Authority
	users   map[string][]string // groups by name
}

func newIdentities(dir, url string) (*identities, error) {
	ids := &identities{dir: dir, url: url, users: map[string][]string{}}
	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "service-account.key"), key, 0o600); err != nil {
		return nil, fmt.Errorf("write the service account key: %w", err)
	}
	if err := ids.renewServers(); err != nil {
		return nil, err
	}
	return ids, ids.renewClients()
}

// add makes a user and writes its kubeconfig, whose path it returns.
func (ids *identities) add(name string, groups ...string) (string, error) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	ids.users[name] = slices.Clone(groups)
	return ids.path(name), ids.write(name)
}

func (ids *identities) path(name string) string {
	return filepath.Join(ids.dir, "users", name+".kubeconfig")
}

// renewServers replaces the authority of the API server's certificate, and with
// it the certificate.
func (ids *identities) renewServers() error {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	authority, err := pki.NewAuthority("cluster-server-ca")
	if err != nil {
		return err
	}
	serving, err := authority.Server([]net.IP{net.IPv4(10, 43, 0, 1)}, []string{"kubernetes.default.svc"})
	if err != nil {
		return err
	}
	ids.servers = authority
	return writeFiles(ids.dir, map[string][]byte{
		"server-ca.crt": authority.PEM, "server.crt": serving.Cert, "server.key": serving.Key,
	})
}

// renewClients replaces the authority of all users: no certificate that was
// handed out before is accepted by an API server that starts from now on.
func (ids *identities) renewClients() error {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	authority, err := pki.NewAuthority("cluster-client-ca")
	if err != nil {
		return err
	}
	ids.clients = authority
	if err := writeFiles(ids.dir, map[string][]byte{"client-ca.crt": authority.PEM}); err != nil {
		return err
	}
	for name := range ids.users {
		if err := ids.write(name); err != nil {
			return err
		}
	}
	return nil
}

// write puts a new certificate into a user's kubeconfig. The file is replaced
// by rename: a reader sees the old one or the new one.
func (ids *identities) write(name string) error {
	pair, err := ids.clients.Client(name, ids.users[name])
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["default"] = &clientcmdapi.Cluster{Server: ids.url, CertificateAuthorityData: ids.servers.PEM}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	config.Contexts["default"] = &clientcmdapi.Context{Cluster: "default", AuthInfo: name}
	config.CurrentContext = "default"
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode the kubeconfig of %s: %w", name, err)
	}
	return writeFile(ids.path(name), data)
}

func writeFiles(dir string, files map[string][]byte) error {
	for name, data := range files {
		if err := writeFile(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
