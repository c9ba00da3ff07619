// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/client-go/tools/clientcmd"
)

// FromEnv chooses the cluster that tests run against, and says on config.Log
// which one, and why:
//
//   - EDGEAGENT_E2E=external: the cluster that KUBECONFIG names
//   - EDGEAGENT_K3S_IMAGE: k3s in Docker, if Docker runs and has that image
//     (default rancher/k3s); nothing is ever pulled
//   - otherwise, and with EDGEAGENT_E2E=embedded: the embedded control plane
func FromEnv(ctx context.Context, config Config) (*Cluster, error) {
	if config.Log == nil {
		config.Log = io.Discard
	}
	switch mode := os.Getenv("EDGEAGENT_E2E"); mode {
	case "external":
		return external(config)
	case "embedded":
		return Start(ctx, config)
	case "":
	default:
		return nil, fmt.Errorf("choose a cluster: EDGEAGENT_E2E is %q, want external, embedded or nothing", mode)
	}
	image, reason := k3sImage(ctx)
	if reason == "" {
		return startK3d(ctx, image, config)
	}
	fmt.Fprintf(config.Log, "cluster: embedded, because %s\n", reason)
	return Start(ctx, config)
}

func external(config Config) (*Cluster, error) {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return nil, errors.New("use an external cluster: KUBECONFIG is empty; let it name the cluster's kubeconfig")
	}
	loaded, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("use the external cluster of %s: %w", path, err)
	}
	c := &Cluster{kind: "external", url: loaded.Host, kubeconfig: path, log: config.Log}
	c.printf("external, %s from %s; cases that kill, wipe or audit cannot run here", c.url, path)
	return c, nil
}
