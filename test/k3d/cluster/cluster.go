// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/edgeagent/edgeagent/test/k3d/loopback"
)

// ErrNotEmbedded is returned by what only the embedded cluster can do: ending
// its processes, losing its data, reading its audit log.
var ErrNotEmbedded = errors.New("only the embedded cluster can do this")

// Config says how to start an embedded cluster. Its zero value is useful.
type Config struct {
	Binary string    // the controlplane program; "" = FindBinary
	Dir    string    // where everything is kept; "" = a temporary directory that Stop removes
	Log    io.Writer // one line per start and stop; nil = none
}

// Cluster is a running cluster. Its methods may be called from one goroutine at
// a time, except Kubeconfig, URL, Writes and Requests.
type Cluster struct {
	kind       string
	url        string
	kubeconfig string
	log        io.Writer
	release    func() error // ends a cluster that is not embedded

	// What follows is of the embedded cluster only.
	binary    string
	dir       string
	ownDir    bool
	port      int
	pki       *identities
	audit     *auditLog
	storage   *process
	apiServer *process
	manager   *process
	kubelet   *background
	stopped   sync.Once
}

// Start starts an embedded cluster and returns when its API server, its
// controllers and its node are ready. ctx bounds the start only; Stop ends the
// cluster, and so does the death of this process.
func Start(ctx context.Context, config Config) (_ *Cluster, err error) {
	c := &Cluster{kind: "embedded", binary: config.Binary, dir: config.Dir, log: config.Log}
	if c.log == nil {
		c.log = io.Discard
	}
	if c.binary == "" {
		if c.binary, err = FindBinary(); err != nil {
			return nil, err
		}
	}
	if c.dir == "" {
		c.ownDir = true
		if c.dir, err = os.MkdirTemp("", "edgeagent-cluster-"); err != nil {
			return nil, fmt.Errorf("make a directory for the cluster: %w", err)
		}
	}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	if err := c.prepare(); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := c.startProcesses(ctx); err != nil {
		return nil, err
	}
	c.printf("embedded cluster is ready at %s after %s; files in %s", c.url, time.Since(begin).Round(time.Millisecond), c.dir)
	return c, nil
}

// prepare makes the files that outlive a restart: keys, certificates, policy.
func (c *Cluster) prepare() error {
	if err := os.MkdirAll(filepath.Join(c.dir, "users"), 0o700); err != nil {
		return fmt.Errorf("make the cluster's directory: %w", err)
	}
	// The kernel allows 107 bytes for the path of a unix socket.
	if n := len(c.socketPath()); n > 107 {
		return fmt.Errorf("directory %s is too long for a unix socket in it (%d of 107 bytes): choose a shorter one", c.dir, n)
	}
	port, err := loopback.FreePort()
	if err != nil {
		return err
	}
	c.port = port
	c.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	c.audit = newAuditLog(c.path("audit.log"))
	if err := os.WriteFile(c.path("audit-policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("write the audit policy: %w", err)
	}
	if c.pki, err = newIdentities(c.dir, c.url); err != nil {
		return err
	}
	c.kubeconfig, err = c.pki.add(adminUser, "system:masters")
	return err
}

// Kind is "embedded", "k3d" or "external".
func (c *Cluster) Kind() string { return c.kind }

// Embedded reports whether the cluster can be killed, wiped and audited.
func (c *Cluster) Embedded() bool { return c.kind == "embedded" }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// URL is the address of the API server. It stays the same over restarts.
func (c *Cluster) URL() string { return c.url }

// Dir is where an embedded cluster keeps its files and its processes' logs.
func (c *Cluster) Dir() string { return c.dir }

// User makes an identity and returns the path of its kubeconfig. The audit log
// shows its requests under name. A user in system:masters may do everything;
// without groups it may only ask what it may do.
func (c *Cluster) User(name string, groups ...string) (string, error) {
	if !c.Embedded() {
		return "", fmt.Errorf("make user %s: %w", name, ErrNotEmbedded)
	}
	return c.pki.add(name, groups...)
}

// Stop ends the cluster and removes its directory, if it was made by Start. It
// may be called twice.
func (c *Cluster) Stop() {
	c.stopped.Do(func() {
		if !c.Embedded() {
			if c.release != nil {
				if err := c.release(); err != nil {
					c.printf("stop the %s cluster: %v", c.kind, err)
				}
			}
			return
		}
		c.killProcesses()
		if c.ownDir {
			if err := os.RemoveAll(c.dir); err != nil {
				c.printf("remove %s: %v", c.dir, err)
			}
		}
	})
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }
func (c *Cluster) socketPath() string      { return c.path("kine.sock") }

func (c *Cluster) printf(format string, args ...any) {
	fmt.Fprintf(c.log, "cluster: "+format+"\n", args...)
}
