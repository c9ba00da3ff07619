// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// fieldManager is our name in managedFields: the owner of what Git says.
const fieldManager = "edgeagent"

// discoveryAge is how old the list of served kinds may get before charts are
// rendered for it. A kind that is missing is looked for at once.
const discoveryAge = 10 * time.Minute

// Config is what a Cluster needs to know.
type Config struct {
	Kubeconfig string
	Context    string // "" = the file's current context
	// Concurrency is how many writes are in flight, 4 if it is 0.
	Concurrency int
	// Node names the writer: another one in the ApplySet's parent means that
	// another agent writes to this cluster.
	Node    string
	Version string
}

// Cluster is the API server of the node, seen through plans. It is safe for
// use by several sources at once.
type Cluster struct {
	cfg Config

	mu   sync.Mutex
	conn *connection
	// learned is when the served kinds were read for Capabilities.
	learned time.Time
	caps    gitops.Capabilities
	watches *watches
	// formerly holds names that this node had before.
	formerly []string
}

// New returns a Cluster. It connects at its first use, so the kubeconfig need
// not be there yet.
func New(cfg Config) (*Cluster, error) {
	if cfg.Kubeconfig == "" || cfg.Node == "" {
		return nil, errors.New("reconcile: the kubeconfig's path and the node's name are required")
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 4
	}
	return &Cluster{cfg: cfg}, nil
}

// Capabilities says what the cluster is and can do. It fails fast when the API
// server is away, so it is also the reachability check.
func (c *Cluster) Capabilities(ctx context.Context) (gitops.Capabilities, error) {
	if caps, ok := c.remembered(); ok {
		return caps, nil
	}
	var caps gitops.Capabilities
	err := c.ask(ctx, func(ctx context.Context, conn *connection) error {
		version, err := conn.discovery.ServerVersionWithContext(ctx)
		if err != nil {
			return err
		}
		system, err := conn.metadata.Resource(namespaces).Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c.mu.Lock()
		fresh := time.Since(c.learned) > discoveryAge
		c.mu.Unlock()
		served, err := conn.served(ctx, fresh)
		if err != nil {
			return err
		}
		caps = gitops.Capabilities{KubeVersion: version.GitVersion, APIVersions: served.names(), ClusterUID: string(system.UID)}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.caps = caps; fresh {
			c.learned = time.Now()
		}
		return nil
	})
	return caps, c.failure("ask the API server for its version", nil, err)
}

// namespaces is where Namespace objects live.
var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// names lists what is served the way charts ask for it: "apps/v1" and
// "apps/v1/Deployment".
func (k *kinds) names() []string {
	seen := map[string]bool{}
	for gvk := range k.resources {
		seen[gvk.GroupVersion().String()] = true
		seen[gvk.GroupVersion().String()+"/"+gvk.Kind] = true
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
