// SPDX-License-Identifier: Apache-2.0

package render

import (
	"context"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// RenderTree renders in a worker, for trees without a commit.
func (r *Renderer) RenderTree(ctx context.Context, root gitops.Hash, caps gitops.Capabilities) (gitops.Manifests, error) {
	return r.render(ctx, root, caps)
}

// MissingFromTree is Missing without a commit.
func (r *Renderer) MissingFromTree(ctx context.Context, root gitops.Hash) ([]gitops.MissingObject, error) {
	j := r.job
	j.ClosureOnly = !r.known
	_, missing, err := r.tree(ctx, root, j)
	return missing, err
}

// Build renders in this process.
func (r *Renderer) Build(ctx context.Context, root gitops.Hash, caps gitops.Capabilities) (gitops.Manifests, error) {
	j := r.job
	j.Capabilities = caps
	out, err := build(j, newTree(ctx, r.objects, root))
	if err != nil || out == nil {
		return gitops.Manifests{}, err
	}
	m := gitops.Manifests{Bundles: out.bundles, Objects: out.objects}
	m.Digest = digest(m)
	return m, nil
}

// RefusedFunctions, Functions: what charts find in place of the engine's own.
func RefusedFunctions() []string { return refusedFunctions }

func Functions() map[string]any { return functions() }

// LimitCPU lowers the worker's processor time, in seconds.
func (r *Renderer) LimitCPU(seconds uint64) { r.process.cpu = seconds }

// RunProcess is the agent's half alone, for tests that play the worker.
func RunProcess(ctx context.Context, command []string, memory int64, timeout time.Duration, objects Objects, root gitops.Hash) error {
	_, err := process{command: command, memory: memory, timeout: timeout, cpu: 5}.run(ctx, job{Source: "s", Path: "."}, newTree(ctx, objects, root))
	return err
}

// Confine gives up files and sockets for this process.
func Confine() error { return confine() }
