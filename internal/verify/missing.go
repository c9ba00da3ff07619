// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Missing names the objects that the decision about c needs and the store does
// not hold: trust files, the trees in which protected paths lie, statements.
// When they are there it may be called again and name others, because what they
// say can reach further. What the rules say of c is not told here but by Verify.
func (v *Verifier) Missing(ctx context.Context, c gitops.Commit, accepted gitops.Hash) ([]gitops.MissingObject, error) {
	if v.cfg.Mode == ModeNone {
		return nil, nil
	}
	seen := &noting{objects: v.objects, known: map[gitops.Hash]bool{}}
	x, err := v.reading(seen).examine(ctx, c, accepted)
	if err == nil {
		x.visit(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return seen.missing, nil
}

// reading is the same verifier over another view of the store.
func (v *Verifier) reading(objects Objects) *Verifier {
	w := &Verifier{cfg: v.cfg, objects: objects, start: v.start}
	w.trust.Store(v.trust.Load())
	w.anchor.Store(v.anchor.Load())
	return w
}

// visit reads all that a decision would, whatever it would be.
func (x *examination) visit(ctx context.Context) {
	var last judgement
	for _, id := range x.subjects() {
		last, _ = x.judge(ctx, id)
	}
	if last.raw.tree != "" {
		_, _ = x.release(ctx, last)
	}
}

// noting is a store that remembers what was asked of it in vain.
type noting struct {
	objects Objects
	missing []gitops.MissingObject
	known   map[gitops.Hash]bool
}

func (n *noting) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	kind, raw, err := n.objects.Object(ctx, id)
	if gitops.ReasonOf(err) == gitops.Incomplete && !n.known[id] {
		n.known[id] = true
		n.missing = append(n.missing, gitops.MissingObject{ID: id, Depth: 1})
	}
	return kind, raw, err
}
