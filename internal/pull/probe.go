// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"fmt"
	"os"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Probed is what one place answered.
type Probed struct {
	URL    string // without credentials
	Mirror bool
	Client string // how it is spoken to
	// Tip is what the ref names now, "" where that is not known: of a static
	// mirror only the list is looked at, its newest bundle would have to be
	// downloaded.
	Tip gitops.Hash
	Err error
}

// Probe asks the URL and every mirror what the ref names now. It fetches nothing,
// stores nothing, and leaves the schedule of polls alone: it is for a person who
// wants to know whether link, credentials and ref are right. Each place has
// cfg.Timeout to answer.
func Probe(ctx context.Context, cfg Config) ([]Probed, error) {
	// The schedule, and what came of a static mirror, belong to the daemon.
	dir, err := os.MkdirTemp("", "edgeagent-probe-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to probe with: %v", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg.RuntimeDir, cfg.StateDir = "", dir
	s, err := New(cfg, nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var out []Probed
	for _, p := range s.places {
		f := s.newFetch(ctx, p)
		tip, err := f.probe()
		f.end()
		out = append(out, Probed{URL: p.shown, Mirror: p.n > 0, Client: p.clientName(), Tip: tip, Err: err})
	}
	return out, nil
}

// probe asks one place.
func (f *fetch) probe() (gitops.Hash, error) {
	if f.p.static != nil {
		_, err := f.p.static.Poll(f.link)
		return "", err
	}
	c, err := f.tip()
	return c.tip, err
}
