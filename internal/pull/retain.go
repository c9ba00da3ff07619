// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// collectEvery is how often objects that nothing needs any more are removed:
// walking everything that is kept costs time and wears the flash.
// The first time comes soon, for a node that is switched off each night.
const (
	collectEvery    = 24 * time.Hour
	firstCollection = time.Hour
)

// Retain names the revisions of this source that must stay readable, beside
// its head, and removes from time to time what no source needs.
func (s *Source) Retain(ctx context.Context, revisions []gitops.Hash) error {
	if err := s.store.Retain(ctx, s.cfg.Source, revisions); err != nil {
		return err
	}
	s.mu.Lock()
	now := s.cfg.Now()
	due := now.Sub(s.collected) >= collectEvery
	if due {
		s.collected = now
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.store.GC(ctx, s.pulse.beat)
}
