// SPDX-License-Identifier: Apache-2.0

// Command demo shows the main job on an embedded cluster: it makes a signed
// repository out of examples/fleet, serves it on loopback, runs the agent
// against it, and tells step by step what happens, with the output of the real
// command line. It fails when any step did not happen.
//
// With KEEP=1 in the environment everything is left running at the end.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/edgeagent/edgeagent/test/k3d/cluster"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := projectRoot()
	if err != nil {
		return err
	}
	// Short: a unix socket's path is.
	dir, err := os.MkdirTemp("", "edgeagent-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the system cleans up what is left

	title("A Kubernetes control plane, a Git server and an agent, all on loopback")
	c, err := cluster.Start(ctx, cluster.Config{Log: os.Stdout})
	if err != nil {
		return err
	}
	defer c.Stop()
	d := &demo{ctx: ctx, dir: dir, cluster: c}
	if err := d.prepare(root); err != nil {
		return err
	}
	defer d.git.Stop()
	defer d.node.Kill() //nolint:errcheck // the demo is over
	for _, step := range d.story() {
		if err := step(); err != nil {
			return fmt.Errorf("%w\n\nthe agent's log:\n%s", err, d.node.Logs())
		}
	}
	title("All of it happened")
	if os.Getenv("KEEP") != "" {
		d.keep()
	}
	return nil
}

// prepare makes the repository from examples/fleet, signed, and a node that
// follows it.
func (d *demo) prepare(root string) (err error) {
	keys, repositories := filepath.Join(d.dir, "keys"), filepath.Join(d.dir, "git")
	for _, dir := range []string{keys, repositories} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if d.repo, err = gitserver.NewRepo(d.ctx, repositories, "fleet"); err != nil {
		return err
	}
	if d.signer, err = gitserver.NewSigner(d.ctx, keys, "you@example.com"); err != nil {
		return err
	}
	allowed := filepath.Join(d.dir, "allowed_signers")
	if err := gitserver.WriteAllowedSigners(allowed, d.signer); err != nil {
		return err
	}
	if err := os.CopyFS(d.repo.Work, os.DirFS(filepath.Join(root, "examples", "fleet"))); err != nil {
		return err
	}
	if d.one, err = d.push("the example fleet", d.signer); err != nil {
		return err
	}
	if d.git, err = gitserver.Start(d.ctx, gitserver.Config{Root: repositories}); err != nil {
		return err
	}
	d.node = node.New(d.dir, filepath.Join(root, "bin", "edgeagent"), "shop-0042", d.cluster.Kubeconfig())
	d.node.Config["node"] = map[string]any{"name": "shop-0042", "labels": map[string]string{"ring": "canary"}}
	d.node.Config["sources"] = []any{map[string]any{
		"name": source, "url": d.git.URL(d.repo), "insecure": true, "ref": map[string]any{"branch": "main"},
		"interval": "5s",
		"trust":    map[string]any{"introduction": string(d.one), "allowedSigners": allowed},
		"health":   map[string]any{"timeout": "1m", "stable": "2s"},
	}}
	return d.kubeClient()
}

// keep leaves everything running until it is interrupted.
func (d *demo) keep() {
	fmt.Printf(`
Everything keeps running until you press Ctrl-C.

  socket      export EDGEAGENT_SOCKET=%s
  kubeconfig  export KUBECONFIG=%s
  repository  %s   (git push goes to %s)
  log         %s/agent.log

Commits must be signed with %s/keys.
`, d.node.Socket(), d.cluster.Kubeconfig(), d.repo.Work, d.git.URL(d.repo), d.dir, d.dir)
	<-d.ctx.Done()
}

func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "examples", "fleet")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("examples/fleet is not here or above: run the demo from the project's folder, with make demo")
}
