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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/cluster"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/node"
)

const (
	source    = "fleet"
	namespace = "shop"
	patience  = 2 * time.Minute
)

// demo is what the steps work on.
type demo struct {
	ctx     context.Context
	dir     string
	cluster *cluster.Cluster
	kube    kubernetes.Interface
	repo    *gitserver.Repo
	git     *gitserver.Server
	signer  *gitserver.Signer
	node    *node.Node

	one, two, three gitops.Hash
}

func (d *demo) kubeClient() error {
	rest, err := clientcmd.BuildConfigFromFlags("", d.cluster.Kubeconfig())
	if err != nil {
		return err
	}
	d.kube, err = kubernetes.NewForConfig(rest)
	return err
}

// show runs the command line, which has to succeed, and prints what it prints.
func (d *demo) show(args ...string) error { return d.showCode(0, args...) }

// showCode expects another exit code.
func (d *demo) showCode(code int, args ...string) error {
	fmt.Printf("\n$ edgeagent %s\n", strings.Join(args, " "))
	r := d.node.CLI(args...)
	fmt.Print(r.Stdout, r.Stderr)
	if r.Code != code {
		return fmt.Errorf("edgeagent %s: exit code %d, want %d", strings.Join(args, " "), r.Code, code)
	}
	return nil
}

// until waits for the source's status to be as the step needs it.
func (d *demo) until(what string, done func(gitops.SourceStatus) bool) error {
	var st gitops.SourceStatus
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if d.ctx.Err() != nil {
			return d.ctx.Err()
		}
		var err error
		if st, err = d.node.Status(source); err != nil {
			return err
		}
		if done(st) {
			return nil
		}
	}
	return fmt.Errorf("waited %s in vain for %s: the source is %s, %+v", patience, what, st.Phase, st.Condition(gitops.ConditionReady))
}

// change replaces an image in the example and pushes it.
func (d *demo) change(from, to, message string, signer *gitserver.Signer) (gitops.Hash, error) {
	path := filepath.Join("apps", "web", "deployment.yaml")
	data, err := os.ReadFile(filepath.Join(d.repo.Work, path))
	if err != nil {
		return "", err
	}
	if err := d.repo.Write(path, strings.Replace(string(data), "image: "+from, "image: "+to, 1)); err != nil {
		return "", err
	}
	return d.push(message, signer)
}

func (d *demo) push(message string, signer *gitserver.Signer) (gitops.Hash, error) {
	hash, err := d.repo.Commit(d.ctx, message, signer)
	if err != nil {
		return "", err
	}
	signed := "signed"
	if signer == nil {
		signed = "not signed"
	}
	fmt.Printf("$ git commit -m %q && git push   # %s, %s\n", message, gitops.Hash(hash).Short(), signed)
	return gitops.Hash(hash), d.repo.Push(d.ctx, false)
}

// takeBack removes the refused commit from the branch.
func (d *demo) takeBack() error {
	fmt.Println("$ git reset --hard HEAD~1 && git push --force")
	if err := d.repo.Reset(d.ctx, "HEAD~1"); err != nil {
		return err
	}
	if err := d.repo.Push(d.ctx, true); err != nil {
		return err
	}
	return d.until("the source to be ready again", func(st gitops.SourceStatus) bool { return st.Ready() && runs(st, d.two) })
}

// meddle edits one object by hand and deletes another.
func (d *demo) meddle() error {
	fmt.Println("$ kubectl -n shop scale deployment web --replicas=7")
	if _, err := d.kube.AppsV1().Deployments(namespace).Patch(d.ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{FieldManager: "kubectl"}); err != nil {
		return err
	}
	fmt.Println("$ kubectl -n shop delete configmap web")
	return d.kube.CoreV1().ConfigMaps(namespace).Delete(d.ctx, "web", metav1.DeleteOptions{})
}

func (d *demo) repaired() bool {
	deployment, err := d.kube.AppsV1().Deployments(namespace).Get(d.ctx, "web", metav1.GetOptions{})
	if err != nil || *deployment.Spec.Replicas != 2 {
		return false
	}
	_, err = d.kube.CoreV1().ConfigMaps(namespace).Get(d.ctx, "web", metav1.GetOptions{})
	return err == nil
}

// expectImage looks at the cluster, not at what the agent says of it.
func (d *demo) expectImage(image string) error {
	deployment, err := d.kube.AppsV1().Deployments(namespace).Get(d.ctx, "web", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if got := deployment.Spec.Template.Spec.Containers[0].Image; got != image {
		return fmt.Errorf("the Deployment runs %s, want %s", got, image)
	}
	fmt.Printf("\nThe cluster runs %s.\n", image)
	return nil
}
