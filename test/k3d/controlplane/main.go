// SPDX-License-Identifier: Apache-2.0

// Command controlplane is a Kubernetes control plane in one static program, for
// edgeagent's tests: kube-apiserver, kube-controller-manager, and kine on
// SQLite as their storage, which is what k3s runs. Each is a subcommand, so
// that a test can kill one of them and leave the others alone.
//
// It owns no policy: what is started, with which flags, is package cluster's.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

const usage = "usage: controlplane kube-apiserver|kube-controller-manager|storage FLAGS"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	// The Kubernetes commands read their flags from os.Args themselves.
	name := os.Args[1]
	os.Args = os.Args[1:]
	switch name {
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "storage":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		if err := serveStorage(ctx, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "storage:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}
