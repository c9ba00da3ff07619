// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// rawApply is the floor of an apply: the same objects, sent by four workers,
// with nothing recorded and nothing looked at.
func (b *bench) rawApply() (time.Duration, error) {
	const floor = "floor"
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: floor}}
	if _, err := b.kube.CoreV1().Namespaces().Create(b.ctx, ns, metav1.CreateOptions{}); err != nil {
		return 0, err
	}
	var parsed []*unstructured.Unstructured
	for i := range objectCount {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(configMap(i, 1)), &u.Object); err != nil {
			return 0, err
		}
		u.SetNamespace(floor)
		parsed = append(parsed, u)
	}
	client := b.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(floor)
	begin := time.Now()
	group, ctx := errgroup.WithContext(b.ctx)
	group.SetLimit(4)
	for _, u := range parsed {
		group.Go(func() error {
			_, err := client.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: floor, Force: true})
			return err
		})
	}
	return time.Since(begin), group.Wait()
}

func (b *bench) gitClone() (string, error) {
	dir := filepath.Join(b.dir, "clone")
	return dir, b.runGit("clone", "--quiet", "--bare", b.git.URL(b.repo), dir)
}

func (b *bench) gitFetch(clone string) (time.Duration, error) {
	begin := time.Now()
	err := b.runGit("-C", clone, "fetch", "--quiet", "origin", "+refs/heads/main:refs/heads/main")
	return time.Since(begin), err
}

func (b *bench) gitLsRemote() error {
	return b.runGit("ls-remote", b.git.URL(b.repo), "refs/heads/main")
}

func (b *bench) runGit(args ...string) error {
	cmd := exec.CommandContext(b.ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME="+b.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %v: %w\n%s", args, err, out)
	}
	return nil
}

func (b *bench) history() ([]gitops.Attempt, error) {
	r := b.node.CLI("history", source, "-o", "json")
	if r.Code != 0 {
		return nil, fmt.Errorf("history: %s", r.Stderr)
	}
	var attempts []gitops.Attempt
	return attempts, json.Unmarshal([]byte(r.Stdout), &attempts)
}
