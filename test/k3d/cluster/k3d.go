// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

const defaultK3sImage = "rancher/k3s"

// k3sImage names the k3s image that Docker has, or says why there is none.
func k3sImage(ctx context.Context) (image, reason string) {
	image = os.Getenv("EDGEAGENT_K3S_IMAGE")
	if image == "" {
		image = defaultK3sImage
	}
	if _, err := exec.LookPath("docker"); err != nil {
		return "", "there is no docker"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := docker(ctx, "version", "--format", "{{.Server.Version}}"); err != nil {
		return "", "docker does not run"
	}
	if _, err := docker(ctx, "image", "inspect", image); err != nil {
		return "", "docker has no image " + image
	}
	return image, ""
}

// startK3d runs k3s in one container, whose port 6443 is a free one of loopback.
func startK3d(ctx context.Context, image string, config Config) (_ *Cluster, err error) {
	c := &Cluster{kind: "k3d", dir: config.Dir, log: config.Log}
	c.printf("k3s in docker, image %s; cases that kill, wipe or audit cannot run here", image)
	if c.dir == "" {
		c.ownDir = true
		if c.dir, err = os.MkdirTemp("", "edgeagent-k3d-"); err != nil {
			return nil, fmt.Errorf("make a directory for the kubeconfig: %w", err)
		}
	}
	var container string
	c.release = func() error {
		var errs []error
		if container != "" {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, err := docker(ctx, "rm", "--force", "--volumes", container)
			errs = append(errs, err)
		}
		if c.ownDir {
			errs = append(errs, os.RemoveAll(c.dir))
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	container, err = docker(ctx, "run", "--detach", "--privileged", "--pull", "never", "--tmpfs", "/run",
		"--publish", "127.0.0.1::6443", image, "server", "--tls-san", "127.0.0.1",
		"--disable", "traefik,metrics-server,servicelb")
	if err != nil {
		return nil, fmt.Errorf("start k3s in docker: %w", err)
	}
	if err := c.adoptK3s(ctx, container); err != nil {
		return nil, err
	}
	c.printf("k3s is ready at %s", c.url)
	return c, nil
}

// adoptK3s waits for the kubeconfig that k3s writes, points it at the published
// port, and waits until the node could run a pod.
func (c *Cluster) adoptK3s(ctx context.Context, container string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	published, err := docker(ctx, "port", container, "6443/tcp")
	if err != nil {
		return fmt.Errorf("find the port of k3s: %w", err)
	}
	published, _, _ = strings.Cut(published, "\n")
	c.url = "https://" + published
	c.kubeconfig = filepath.Join(c.dir, "k3s.yaml")
	var last error
	for {
		if last = c.tryK3s(ctx, container); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for k3s in container %s: %w; last answer: %v", container, ctx.Err(), last)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (c *Cluster) tryK3s(ctx context.Context, container string) error {
	written, err := docker(ctx, "exec", container, "cat", "/etc/rancher/k3s/k3s.yaml")
	if err != nil {
		return err
	}
	config, err := clientcmd.Load([]byte(written))
	if err != nil {
		return fmt.Errorf("read the kubeconfig of k3s: %w", err)
	}
	for _, entry := range config.Clusters {
		entry.Server = c.url
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode the kubeconfig of k3s: %w", err)
	}
	if err := writeFile(c.kubeconfig, data); err != nil {
		return err
	}
	client, err := clientFor(c.kubeconfig)
	if err != nil {
		return err
	}
	return workloadsCanRun(ctx, client)
}

func docker(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
