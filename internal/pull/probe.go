// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Probe asks the URL, and its mirrors where that fails, what the ref names now.
// It fetches nothing, stores nothing, and leaves the schedule of polls alone:
// it is for a person who wants to know whether link, credentials and ref are
// right. The answer is where the ref was found and the object that it names.
func Probe(ctx context.Context, cfg Config) (url string, tip gitops.Hash, err error) {
	cfg.RuntimeDir = "" // the schedule belongs to the daemon
	s, err := New(cfg, nil)
	if err != nil {
		return "", "", err
	}
	var errs []error
	for n, r := range s.remotes {
		tip, err := s.probe(ctx, r)
		if err == nil {
			return s.places[n].shown, tip, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return "", "", combine(errs)
}

func (s *Source) probe(ctx context.Context, r remote) (gitops.Hash, error) {
	online, done := s.meter.guard(ctx, s.cfg.Limits, s.cfg.Timeout)
	defer done()
	defer r.end()
	ad, err := r.refs(online)
	if err != nil {
		return "", err
	}
	c, err := s.cfg.Ref.choose(ad)
	return c.tip, err
}
