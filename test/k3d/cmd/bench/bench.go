// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/cluster"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/node"
)

const (
	source      = "bench"
	objectCount = 1000
	user        = "agent" // as the audit log shows it
)

// bench is one cluster, one repository and one agent, measured case by case:
// each case begins where the one before ended.
type bench struct {
	ctx     context.Context
	root    string
	dir     string
	cluster *cluster.Cluster
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	repo    *gitserver.Repo
	git     *gitserver.Server
	signer  *gitserver.Signer
	node    *node.Node
	first   gitops.Hash
	runtime string // the agent's runtime directory
}

func newBench(ctx context.Context) (b *bench, err error) {
	b = &bench{ctx: ctx}
	if b.root, err = os.Getwd(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "edgeagent-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.cluster, err = cluster.Start(ctx, cluster.Config{Log: os.Stderr}); err != nil {
		return b, err
	}
	if err = b.connect(); err != nil {
		return b, err
	}
	return b, b.prepare()
}

func (b *bench) connect() error {
	rest, err := clientcmd.BuildConfigFromFlags("", b.cluster.Kubeconfig())
	if err != nil {
		return err
	}
	rest.QPS = -1
	if b.kube, err = kubernetes.NewForConfig(rest); err != nil {
		return err
	}
	b.dynamic, err = dynamic.NewForConfig(rest)
	return err
}

// prepare makes the repository and the node. Two namespaces hold the same
// objects: the agent's and the floor's.
func (b *bench) prepare() (err error) {
	keys, repositories := filepath.Join(b.dir, "keys"), filepath.Join(b.dir, "git")
	for _, dir := range []string{keys, repositories} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if b.repo, err = gitserver.NewRepo(b.ctx, repositories, "bench"); err != nil {
		return err
	}
	if b.signer, err = gitserver.NewSigner(b.ctx, keys, "dev@example.com"); err != nil {
		return err
	}
	allowed := filepath.Join(b.dir, "allowed_signers")
	if err := gitserver.WriteAllowedSigners(allowed, b.signer); err != nil {
		return err
	}
	introduction, err := b.push("introduction", map[string]string{"README.md": "bench\n"})
	if err != nil {
		return err
	}
	if b.git, err = gitserver.Start(b.ctx, gitserver.Config{Root: repositories}); err != nil {
		return err
	}
	kubeconfig, err := b.cluster.User(user, "system:masters")
	if err != nil {
		return err
	}
	b.node = node.New(b.dir, filepath.Join(b.root, "bin", "edgeagent"), "bench", kubeconfig)
	// What systemd gives the agent for this is in memory; so is this.
	if b.runtime, err = os.MkdirTemp("/dev/shm", "edgeagent-bench-"); err != nil {
		return err
	}
	b.node.Config["sources"] = []any{map[string]any{
		"name": source, "url": b.git.URL(b.repo), "insecure": true, "ref": map[string]any{"branch": "main"},
		"interval": "60s",
		"trust":    map[string]any{"introduction": string(introduction), "allowedSigners": allowed},
	}}
	return nil
}

func (b *bench) close() {
	if b.node != nil {
		b.node.Kill() //nolint:errcheck // it is over
	}
	if b.git != nil {
		b.git.Stop()
	}
	if b.cluster != nil {
		b.cluster.Stop()
	}
	for _, dir := range []string{b.dir, b.runtime} {
		os.RemoveAll(dir) //nolint:errcheck // the system cleans up what is left
	}
}

func (b *bench) push(message string, files map[string]string) (gitops.Hash, error) {
	for path, content := range files {
		if err := b.repo.Write(path, content); err != nil {
			return "", err
		}
	}
	hash, err := b.repo.Commit(b.ctx, message, b.signer)
	if err != nil {
		return "", err
	}
	return gitops.Hash(hash), b.repo.Push(b.ctx, false)
}

// sync has the agent poll and converge, and takes the time until it has.
func (b *bench) sync(want gitops.Hash) (time.Duration, error) {
	begin := time.Now()
	if r := b.node.CLI("sync", source, "--wait"); r.Code != 0 {
		return 0, fmt.Errorf("sync: exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	took := time.Since(begin)
	st, err := b.node.Status(source)
	if err != nil {
		return 0, err
	}
	if !st.Ready() || st.Healthy.Revision.Hash() != want {
		return 0, fmt.Errorf("the source is not ready at %s: %+v", want, st.Condition(gitops.ConditionReady))
	}
	return took, nil
}

// requests is how many requests the agent made to the API server so far,
// watches included.
func (b *bench) requests() (int, error) {
	events, err := b.cluster.Requests(cluster.AuditFilter{User: user})
	return len(events), err
}

func configMap(i, version int) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm-%04d, namespace: %s}\ndata: {version: \"%d\", text: %q}\n",
		i, source, version, strings.Repeat("x", 100))
}

// all is the 1000 objects, of which the first changed are at version 2.
func all(changed int) map[string]string {
	files := map[string]string{"ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + source + "}\n"}
	for i := range objectCount {
		version := 1
		if i < changed {
			version = 2
		}
		files[fmt.Sprintf("app/cm-%04d.yaml", i)] = configMap(i, version)
	}
	return files
}

func (b *bench) until(done func() (bool, error)) error {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok, err := done(); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("waited three minutes in vain")
}

func (b *bench) version(i int) (string, error) {
	cm, err := b.kube.CoreV1().ConfigMaps(source).Get(b.ctx, fmt.Sprintf("cm-%04d", i), metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return cm.Data["version"], nil
}
