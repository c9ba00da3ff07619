// SPDX-License-Identifier: Apache-2.0

// Command cluster starts a test cluster, prints its kubeconfig, and keeps it
// until it is interrupted. It owns nothing itself: package cluster does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/edgeagent/edgeagent/test/k3d/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir := flag.String("dir", "", "keep the cluster's files here (default: a temporary directory)")
	flag.Parse()
	c, err := cluster.FromEnv(ctx, cluster.Config{Dir: *dir, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer c.Stop()
	fmt.Printf("export KUBECONFIG=%s\n", c.Kubeconfig())
	fmt.Fprintln(os.Stderr, "cluster: press Ctrl-C to end it")
	<-ctx.Done()
	return nil
}
