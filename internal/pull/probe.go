// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Probe asks the URL, and its mirrors where that fails, what the ref names now.
// It fetches nothing, stores nothing, and leaves the schedule of polls alone:
// it is for a person who wants to know whether link, credentials and ref are
// right. The answer is where the ref was found and the object that it names, ""
// where that is a static mirror.
func Probe(ctx context.Context, cfg Config) (url string, tip gitops.Hash, err error) {
	cfg.RuntimeDir = "" // the schedule belongs to the daemon
	s, err := New(cfg, nil)
	if err != nil {
		return "", "", err
	}
	defer s.close()
	var errs []error
	for _, p := range s.places {
		f := s.newFetch(ctx, p)
		tip, err := f.probe()
		f.end()
		if err == nil {
			return p.shown, tip, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return "", "", combine(errs)
}

// probe asks one place. Of a static mirror only the list is looked at: to know
// the ref, its newest bundle would have to be downloaded.
func (f *fetch) probe() (gitops.Hash, error) {
	if f.p.static != nil {
		_, err := f.p.static.Poll(f.link)
		return "", err
	}
	c, err := f.tip()
	return c.tip, err
}
