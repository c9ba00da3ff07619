// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// clientName is what status shows as the client in use.
const clientName = "git v0, full history"

// returnAfter is how long a mirror is preferred before the source's own URL is
// tried first again.
const returnAfter = 10 * time.Minute

// Source polls one repository. Commits and Objects belong to one goroutine;
// Link and NextPoll may be called from any.
type Source struct {
	cfg     Config
	store   *objects.Store
	remotes []remote
	places  []place
	meter   *meter
	pulse   *pulse

	mu        sync.Mutex
	memory    memory
	was       memory // with the counters that this process started from
	answered  string
	preferred int
	since     time.Time // of preferred
	collected time.Time // when unused objects were last removed
}

// New checks a source's configuration and recalls its backoff. It sends nothing.
func New(cfg Config, store *objects.Store) (*Source, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Ref.validate(); err != nil {
		return nil, err
	}
	p := &pulse{call: cfg.Progress}
	s := &Source{cfg: cfg, store: store, meter: &meter{moved: p.beat}, pulse: p, collected: cfg.Now()}
	var err error
	s.remotes, s.places, err = remotes(cfg, wire{
		meter: s.meter, limits: cfg.Limits, agent: "git/2.0-edgeagent-" + cfg.Version, now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	longest := max(mostBackoff, cfg.Interval+cfg.Interval/5)
	s.memory = recall(cfg.memoryFile(), cfg.Now(), longest)
	s.was = s.memory
	return s, nil
}

// NextPoll is when the source wants to be polled. Commits polls at any time.
func (s *Source) NextPoll() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory.NextPoll
}

// Link says how the link has been.
func (s *Source) Link() gitops.LinkStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return gitops.LinkStatus{
		URL:         s.answered,
		LastSuccess: s.memory.LastSuccess,
		Failures:    s.memory.Failures,
		NextPoll:    s.memory.NextPoll,
		BytesIn:     s.was.BytesIn + s.meter.in.Load(),
		BytesOut:    s.was.BytesOut + s.meter.out.Load(),
		Reason:      s.memory.Reason,
		Message:     s.memory.Message,
		Client:      clientName,
	}
}

// Commits polls: it finds what the ref names now and, when that is new,
// fetches what is missing. When it returns, the commit, its history and every
// object they reach are in the store. The commits that the node has used and
// that are still in the store are not sent again.
func (s *Source) Commits(ctx context.Context, r gitops.PollRequest) (gitops.Commit, error) {
	s.begin()
	commit, err := s.poll(ctx, r.Known)
	s.finish(err)
	return commit, err
}

// begin notes the poll before it starts, so that a process that dies in it
// does not poll at once when it is back.
func (s *Source) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.memory.LastPoll = now
	s.memory.NextPoll = now.Add(jittered(s.cfg.Interval))
	s.remember()
}

func (s *Source) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	switch {
	case err == nil:
		s.memory.Failures, s.memory.Reason, s.memory.Message = 0, "", ""
		s.memory.LastSuccess = now
		s.memory.NextPoll = now.Add(jittered(s.cfg.Interval))
	case errors.Is(err, context.Canceled):
		// The agent stops: that says nothing about the link.
	default:
		s.memory.Failures++
		s.memory.Reason, s.memory.Message = gitops.ReasonOf(err), err.Error()
		s.memory.NextPoll = now.Add(backoff(s.memory.Failures))
	}
	s.remember()
}

func (s *Source) remember() {
	m := s.memory
	m.BytesIn = s.was.BytesIn + s.meter.in.Load()
	m.BytesOut = s.was.BytesOut + s.meter.out.Load()
	m.keep(s.cfg.memoryFile())
}

// poll tries the URL and its mirrors until one answers.
func (s *Source) poll(ctx context.Context, known []gitops.Hash) (gitops.Commit, error) {
	if c := s.cfg.Ref.Commit; c != "" {
		// A commit id never names anything else: once it is here, it is known.
		whole, err := s.store.Complete(ctx, gitops.Hash(c))
		if err != nil {
			return gitops.Commit{}, err
		}
		if whole {
			return s.found(ctx, choice{short: commitRef, tip: gitops.Hash(c)}, s.places[0])
		}
	}
	var errs []error
	for _, n := range s.order() {
		commit, err := s.ask(ctx, s.remotes[n], s.places[n], known)
		if err == nil {
			s.prefer(n)
			return commit, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || gitops.ReasonOf(err) == gitops.StoreFailed {
			break
		}
	}
	return gitops.Commit{}, combine(errs)
}

// combine keeps the first failure's reason: it is of the place that should
// have answered.
func combine(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	first, ok := errors.AsType[*gitops.Error](errs[0])
	if !ok {
		return errors.Join(errs...)
	}
	text := make([]string, 0, len(errs))
	for _, err := range errs[1:] {
		text = append(text, err.Error())
	}
	return failed(first.Reason, first.Remedy, "%s (mirrors: %s)", first.Message, strings.Join(text, "; "))
}

// order is that in which the places are tried: the last good one first, until
// it is time to see whether the source's own URL is back.
func (s *Source) order() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]int, 0, len(s.remotes))
	if s.preferred != 0 && s.cfg.Now().Sub(s.since) < returnAfter {
		out = append(out, s.preferred)
	}
	for n := range s.remotes {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func (s *Source) prefer(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != s.preferred || s.cfg.Now().Sub(s.since) >= returnAfter {
		s.preferred, s.since = n, s.cfg.Now()
	}
	s.answered = s.places[n].shown
}

// ask polls one place.
func (s *Source) ask(ctx context.Context, r remote, p place, known []gitops.Hash) (gitops.Commit, error) {
	online, done := s.meter.guard(ctx, s.cfg.Limits, s.cfg.Timeout)
	defer done()
	defer r.end()
	ad, err := r.refs(online)
	if err != nil {
		return gitops.Commit{}, err
	}
	c, err := s.cfg.Ref.choose(ad)
	if err != nil {
		return gitops.Commit{}, err
	}
	whole, err := s.store.Complete(ctx, c.tip)
	if err != nil {
		return gitops.Commit{}, err
	}
	if !whole {
		if ad.shallow {
			return gitops.Commit{}, failed(gitops.Incomplete, "use a repository with its whole history",
				"fetch from %s: its repository is shallow", p.shown)
		}
		if err := s.fetch(ctx, online, done, r, p, c, ad, known); err != nil {
			return gitops.Commit{}, err
		}
	}
	return s.found(ctx, c, p)
}

// fetch brings what the tip reaches. The link's limits end with the network
// part: storing a large pack takes the time it takes.
func (s *Source) fetch(ctx, online context.Context, done func(), r remote, p place, c choice, ad advertisement, known []gitops.Hash) error {
	haves, err := s.haves(ctx, known)
	if err != nil {
		return err
	}
	body, err := r.pack(online, c.wants(ad), haves, ad)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	pack := reader{ReadCloser: body, ctx: online, doing: "fetch from " + p.shown, now: s.cfg.Now, done: done, moved: s.pulse.beat}
	_, err = s.store.Receive(ctx, objects.Arrival{Source: s.cfg.Source, Head: c.tip, Pack: pack, Keep: haves, Progress: s.pulse.beat})
	if c.full == "" && gitops.ReasonOf(err) == gitops.Incomplete {
		return failed(gitops.RefMissing, "check the commit id, or push it to a branch",
			"find commit %s: no branch or tag of %s reaches it", c.tip, p.shown)
	}
	return err
}

// wants is what to ask for. A commit that no ref names is asked for by its id
// where the server allows that, else everything is, and it is looked for.
func (c choice) wants(ad advertisement) []gitops.Hash {
	named := false
	var all []gitops.Hash
	for _, tip := range ad.refs {
		named = named || tip == c.tip
		all = append(all, tip)
	}
	if named || c.full != "" || ad.can["allow-tip-sha1-in-want"] || ad.can["allow-reachable-sha1-in-want"] {
		return []gitops.Hash{c.tip}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// haves are the commits that the server may build on.
func (s *Source) haves(ctx context.Context, known []gitops.Hash) ([]gitops.Hash, error) {
	haves, err := s.store.Heads(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range known {
		if k == "" || slices.Contains(haves, k) {
			continue
		}
		whole, err := s.store.Complete(ctx, k)
		if err != nil {
			return nil, err
		}
		if whole {
			haves = append(haves, k)
		}
	}
	return haves, nil
}

// found makes the commit out of a tip that is in the store, and remembers it.
func (s *Source) found(ctx context.Context, c choice, p place) (gitops.Commit, error) {
	commit := gitops.Commit{FullRef: c.full, URL: p.shown}
	target := c.tip
	kind, content, err := s.store.Object(ctx, c.tip)
	if err != nil {
		return gitops.Commit{}, err
	}
	if kind == gitops.TagObject && strings.HasPrefix(c.full, tagPrefix) {
		commit.Tag = c.tip
		target, kind = tagged(content)
	}
	if kind != gitops.CommitObject {
		return gitops.Commit{}, failed(gitops.MalformedTag, "let it name a commit",
			"read %s from %s: it names a %s, not a commit", c.short, p.shown, kind)
	}
	commit.Revision = gitops.NewRevision(c.short, target)
	if err := s.store.Advance(ctx, s.cfg.Source, c.tip); err != nil {
		return gitops.Commit{}, err
	}
	return commit, nil
}

// tagged is what a tag object names. The store has checked its grammar.
func tagged(content []byte) (gitops.Hash, gitops.ObjectKind) {
	lines := strings.SplitN(string(content), "\n", 3)
	return gitops.Hash(strings.TrimPrefix(lines[0], "object ")),
		gitops.ObjectKind(strings.TrimPrefix(lines[1], "type "))
}

// Objects makes sure that objects are in the store. Commits brings all of
// them, so one that is missing now is lost.
func (s *Source) Objects(ctx context.Context, wanted []gitops.MissingObject) error {
	var missing []string
	for _, o := range wanted {
		here, err := s.store.Has(ctx, o.ID)
		if err != nil {
			return err
		}
		if !here {
			missing = append(missing, o.ID.Short())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return failed(gitops.Incomplete, "the next poll that reaches the server brings them",
		"read from the object store: %d of %d objects are missing, e.g. %s", len(missing), len(wanted), missing[0])
}
