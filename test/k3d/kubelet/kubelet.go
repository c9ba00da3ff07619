// SPDX-License-Identifier: Apache-2.0

// Package kubelet pretends to be the kubelet of one node, and its scheduler: the
// node is Ready, every pod lands on it, runs, becomes Ready, and goes when it is
// deleted. Nothing is executed.
//
// A pod's images say how it behaves, by the last part of their names; the
// annotation edgeagent.dev/test says it for all its containers:
//
//	broken…    crash loop
//	missing…   the image cannot be pulled
//	slow-N     Ready after N seconds
//	flaky-N    Ready for N seconds, then a crash loop
//
// Pods of a Job end at once, with success, or with failure when broken.
// The package holds no state that it could not lose: it is never part of the
// product, and a second one may take over.
package kubelet

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
)

const (
	workers    = 4
	retryAfter = 100 * time.Millisecond
)

// Config says which node to play, and where.
type Config struct {
	Client   kubernetes.Interface // may read and write nodes, leases and pods
	NodeName string
	Log      io.Writer // what went wrong, once per kind of trouble; nil = nothing
}

// Kubelet plays one node.
type Kubelet struct {
	client kubernetes.Interface
	node   string
	log    io.Writer
	queue  workqueue.TypedDelayingInterface[types.NamespacedName]

	mu       sync.Mutex
	pods     map[types.NamespacedName]*corev1.Pod
	memory   map[types.UID]memory
	lastIP   int
	lastLine string
}

// memory is what is remembered of a pod while it exists.
type memory struct {
	ip      string
	started time.Time
}

// New returns a kubelet that does nothing before Run.
func New(config Config) *Kubelet {
	log := config.Log
	if log == nil {
		log = io.Discard
	}
	return &Kubelet{
		client: config.Client, node: config.NodeName, log: log,
		pods: map[types.NamespacedName]*corev1.Pod{}, memory: map[types.UID]memory{},
	}
}

// Run plays the node until ctx ends. It outlives API servers: whatever fails is
// tried again.
func (k *Kubelet) Run(ctx context.Context) {
	k.queue = workqueue.NewTypedDelayingQueue[types.NamespacedName]()
	var wg sync.WaitGroup
	wg.Go(func() { k.keepNode(ctx) })
	for range workers {
		wg.Go(func() { k.work(ctx) })
	}
	for ctx.Err() == nil {
		k.complain(ctx, "watch pods", k.follow(ctx))
		sleep(ctx, retryAfter)
	}
	k.queue.ShutDown()
	wg.Wait()
}

// follow lists all pods and watches them until the watch ends, as it does every
// few minutes and whenever the API server goes away.
func (k *Kubelet) follow(ctx context.Context) error {
	list, err := k.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	k.replace(list.Items)
	watcher, err := k.client.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, metav1.ListOptions{
		ResourceVersion: list.ResourceVersion, AllowWatchBookmarks: true,
	})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		pod, isPod := event.Object.(*corev1.Pod)
		switch {
		case event.Type == watch.Error:
			return apierrors.FromObject(event.Object)
		case event.Type == watch.Bookmark || !isPod:
		case event.Type == watch.Deleted:
			k.forget(pod)
		default:
			k.remember(pod)
		}
	}
	return nil
}

func (k *Kubelet) replace(pods []corev1.Pod) {
	k.mu.Lock()
	clear(k.pods)
	alive := map[types.UID]bool{}
	for i := range pods {
		alive[pods[i].UID] = true
	}
	for uid := range k.memory {
		if !alive[uid] {
			delete(k.memory, uid)
		}
	}
	k.mu.Unlock()
	for i := range pods {
		k.remember(&pods[i])
	}
}

func (k *Kubelet) remember(pod *corev1.Pod) {
	name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	k.mu.Lock()
	k.pods[name] = pod
	k.mu.Unlock()
	k.queue.Add(name)
}

func (k *Kubelet) forget(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pods, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	delete(k.memory, pod.UID)
}

// recall returns what a pod keeps for life: its address and its start, both
// taken from its status when another kubelet has seen it before.
func (k *Kubelet) recall(pod *corev1.Pod) memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	if m, known := k.memory[pod.UID]; known {
		return m
	}
	m := memory{ip: pod.Status.PodIP, started: time.Now()}
	if pod.Status.StartTime != nil {
		m.started = pod.Status.StartTime.Time
	}
	if m.ip == "" {
		m.ip = k.freeIP()
	}
	k.memory[pod.UID] = m
	return m
}

// freeIP takes the next address of 10.42.0.0/16 that no pod has.
func (k *Kubelet) freeIP() string {
	used := map[string]bool{}
	for _, pod := range k.pods {
		used[pod.Status.PodIP] = true
	}
	for _, m := range k.memory {
		used[m.ip] = true
	}
	for {
		k.lastIP = k.lastIP%65000 + 1
		if ip := fmt.Sprintf("10.42.%d.%d", k.lastIP>>8, k.lastIP&255); !used[ip] {
			return ip
		}
	}
}

// complain writes a line when the trouble is new: between a dead API server and
// its return there are many of the same. Being told to end is no trouble.
func (k *Kubelet) complain(ctx context.Context, what string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	line := fmt.Sprintf("kubelet: %s: %v", what, err)
	k.mu.Lock()
	defer k.mu.Unlock()
	if line != k.lastLine {
		k.lastLine = line
		fmt.Fprintln(k.log, line)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
