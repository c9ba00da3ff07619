// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Waived is one step that need not descend: from what was accepted ("" for
// nothing) to a commit.
type Waived struct{ From, To gitops.Hash }

// waived reports whether a head that was refused for its ancestry is the one
// that root lets through. Its commits are judged like all others.
func (x *examination) waived(ctx context.Context, err error) (bool, error) {
	switch gitops.ReasonOf(err) {
	case gitops.Fork, gitops.RolledBack:
	default:
		return false, nil
	}
	if x.v.cfg.Waived == nil {
		return false, nil
	}
	w, waiveErr := x.v.cfg.Waived(ctx)
	return w.To == x.head() && w.From == x.from, waiveErr
}

// fromStart refuses a head of another repository. A head that descends from what
// was accepted needs no such look; one that root let through does.
func (x *examination) fromStart(ctx context.Context) error {
	if x.v.start == "" {
		return nil
	}
	if ok, err := x.v.isAncestor(ctx, x.v.start, x.head()); ok || err != nil {
		return err
	}
	return x.notDescendant(ctx)
}
