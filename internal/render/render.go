// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Defaults of Config.
const (
	DefaultMemoryLimit = 512 << 20
	DefaultTimeout     = time.Minute

	// defaultCPU is below the timeout: a template that loops is stopped by it
	// also when the worker gets little of the processor.
	defaultCPU = 30 // seconds
)

// Config is one source, as the node's configuration has it.
type Config struct {
	Source string
	// Path is where in the repository the source lies. ${node.name} and
	// ${node.labels.X} are expanded.
	Path string
	Node Node
	// WorkerCommand starts a process that calls Worker. Default: this program
	// with the argument render-worker.
	WorkerCommand []string
	// MemoryLimit is what a worker may use, in bytes.
	MemoryLimit int64
	// Timeout is how long one rendering may take.
	Timeout time.Duration
	// Version is the agent's: another one may render to something else.
	Version string
}

// Renderer renders one source. It keeps the last result, so that a commit that
// does not touch this source's files costs no rendering.
type Renderer struct {
	objects Objects
	job     job
	process process

	mu    sync.Mutex
	known bool // job.Capabilities are the cluster's
	last  *remembered
}

// New checks the configuration. It starts nothing.
func New(cfg Config, objects Objects) (*Renderer, error) {
	path, err := sourcePath(cmp.Or(cfg.Path, "."), cfg.Node)
	if err != nil {
		return nil, err
	}
	if err := checkVariables(cfg.Node.Variables); err != nil {
		return nil, failure(gitops.BadRequest, "rename it in the node's configuration", "read node.variables: %s", err)
	}
	command := cfg.WorkerCommand
	if len(command) == 0 {
		command = []string{"/proc/self/exe", "render-worker"}
	}
	return &Renderer{
		objects: objects,
		job:     job{Source: cfg.Source, Path: path, Node: cfg.Node, Version: cfg.Version},
		process: process{
			command: command,
			memory:  cmp.Or(cfg.MemoryLimit, DefaultMemoryLimit),
			cpu:     defaultCPU,
			timeout: cmp.Or(cfg.Timeout, DefaultTimeout),
		},
	}, nil
}

// Missing names the objects that rendering needs and the store does not hold,
// and of each tree how much below it. The cluster makes no difference to it.
// When they are there, it may be called again and name others, because what
// they say can reach further. A fault of the revision is not reported here but
// by Render: then nothing more is needed.
func (r *Renderer) Missing(ctx context.Context, c verify.Commit) ([]gitops.MissingObject, error) {
	if !c.Valid() {
		return nil, notVerified()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.job
	j.ClosureOnly = !r.known
	// Where the cluster is known, this is the rendering itself, and Render
	// finds its result.
	_, missing, err := r.tree(ctx, c.Tree(), j)
	if revisionsFault(err) {
		err = nil
	}
	return missing, err
}

// Render renders a verified commit for a cluster.
func (r *Renderer) Render(ctx context.Context, c verify.Commit, caps gitops.Capabilities) (gitops.Manifests, error) {
	if !c.Valid() {
		return gitops.Manifests{}, notVerified()
	}
	m, err := r.render(ctx, c.Tree(), caps)
	m.Revision = c.Revision()
	if err != nil {
		return gitops.Manifests{}, err
	}
	return m, nil
}

func notVerified() error {
	return failure(gitops.Unsigned, "", "render: the commit did not pass verification")
}

func (r *Renderer) render(ctx context.Context, root gitops.Hash, caps gitops.Capabilities) (gitops.Manifests, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	caps.ClusterUID = "" // templates do not see it
	caps.APIVersions = slices.Sorted(slices.Values(caps.APIVersions))
	r.job.Capabilities, r.known = caps, true
	m, missing, err := r.tree(ctx, root, r.job)
	if err == nil && len(missing) > 0 {
		err = failure(gitops.Incomplete, "", "render source %s: %d objects of the revision are not in the store, among them %s (%s)", r.job.Source, len(missing), missing[0].Path, missing[0].ID.Short())
	}
	return m, err
}

// tree renders one tree, or finds that nothing it depends on has changed.
func (r *Renderer) tree(ctx context.Context, root gitops.Hash, j job) (gitops.Manifests, []gitops.MissingObject, error) {
	if same, err := r.last.still(ctx, r.objects, root, j); err != nil {
		return gitops.Manifests{}, nil, err
	} else if same {
		return r.last.manifests, nil, r.last.failed()
	}
	t := newTree(ctx, r.objects, root)
	out, err := r.process.run(ctx, j, t)
	missing := t.wanted()
	if err == nil && len(missing) > 0 || j.ClosureOnly {
		return gitops.Manifests{}, missing, err
	}
	var m gitops.Manifests
	if err == nil {
		m = gitops.Manifests{Bundles: out.bundles, Objects: out.objects}
		m.Digest = digest(m)
	}
	// A tree that could not be read may be another one where t.seen is the same.
	if err == nil || len(missing) == 0 && t.broken == nil && revisionsFault(err) {
		r.last = remember(j, t, m, err)
	}
	return m, missing, err
}

// revisionsFault reports whether rendering the same again would fail the same.
// A worker that died may have died of the node's state.
func revisionsFault(err error) bool {
	e, ok := typed(err)
	if !ok {
		return false
	}
	switch e.Reason {
	case gitops.WorkerFailed, gitops.Incomplete, gitops.Corrupt, gitops.StoreFailed, gitops.Unreachable:
		return false
	}
	return true
}

// digest is over everything that decides what is done in the cluster: the
// bundles' rules, and of each object its bytes, bundle, wave and hook.
func digest(m gitops.Manifests) string {
	// Neither type can fail to encode: they hold strings, numbers and booleans.
	bundles, _ := json.Marshal(m.Bundles)
	objects, _ := json.Marshal(m.Objects)
	return gitops.Digest(append(append(bundles, '\n'), objects...))
}
