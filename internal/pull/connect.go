// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// connect brings what is missing of a tip's commits, until they are connected.
func (f *fetch) connect(tip gitops.Hash) error {
	until, err := f.ends(tip)
	if err != nil {
		return err
	}
	around, err := f.walk(tip, until)
	if err != nil || !around {
		return err
	}
	for _, id := range append([]gitops.Hash{tip}, until...) {
		here, err := f.s.store.Has(f.ctx, id)
		if err != nil {
			return err
		}
		if !here {
			continue
		}
		if _, err := f.walk(id, nil); err != nil {
			return err
		}
	}
	return nil
}

// ends are the commits that the walk from a tip need not go past. Where nothing
// is trusted yet, the tip's own commit is enough.
//
// A path that meets none of them went around where trust begins. Whether its
// commits are older than that is only seen in the whole history of both sides.
func (f *fetch) ends(tip gitops.Hash) ([]gitops.Hash, error) {
	until, err := f.until()
	if err != nil || len(until) > 0 {
		return until, err
	}
	at, err := f.s.peel(f.ctx, tip)
	return []gitops.Hash{at}, err
}

// walk brings what is missing of the commits between a tip and until.
func (f *fetch) walk(tip gitops.Hash, until []gitops.Hash) (around bool, err error) {
	err = f.complete(func() ([]gitops.MissingObject, error) {
		found, err := f.s.store.Lineage(f.ctx, tip, until, mostAtOnce)
		around = found.Around
		return found.Missing, err
	})
	return around, err
}

// connected reports whether a tip's commits are, by what is here.
func (f *fetch) connected(tip gitops.Hash) (bool, error) {
	here, err := f.s.store.Has(f.ctx, tip)
	if err != nil || !here {
		return false, err
	}
	until, err := f.ends(tip)
	if err != nil {
		return false, err
	}
	found, err := f.s.store.Lineage(f.ctx, tip, until, 1)
	if err != nil || len(found.Missing) > 0 || !found.Around {
		return err == nil && len(found.Missing) == 0, err
	}
	for _, id := range append([]gitops.Hash{tip}, until...) {
		found, err := f.s.store.Lineage(f.ctx, id, nil, 1)
		if err != nil {
			return false, err
		}
		if len(found.Missing) > 0 && found.Missing[0].ID != id {
			return false, nil
		}
	}
	return true, nil
}

// complete brings what is missing until nothing is.
func (f *fetch) complete(missing func() ([]gitops.MissingObject, error)) error {
	for {
		list, err := missing()
		f.lacking = len(list)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := f.bring(list); err != nil {
			return err
		}
	}
}

// content brings what a caller named, each with as much below it as it says.
func (f *fetch) content(missing []gitops.MissingObject) error {
	if f.p.static != nil {
		return f.bundles(func() (bool, error) {
			absent, err := f.s.absent(f.ctx, missing)
			return len(absent) == 0, err
		})
	}
	earlier, err := f.earlier()
	if err != nil {
		return err
	}
	if earlier {
		// Most of it is here in an earlier form: only the list of a tree says what
		// is not, and that is asked for next.
		missing = slices.Clone(missing)
		for i := range missing {
			missing[i].Depth = 1
		}
	}
	return f.complete(func() ([]gitops.MissingObject, error) { return f.s.absent(f.ctx, missing) })
}

// earlier reports whether the node has used another commit than the head.
func (f *fetch) earlier() (bool, error) {
	if len(f.s.known) == 0 {
		return false, nil
	}
	head, ok, err := f.s.store.Head(f.ctx, f.s.cfg.Source)
	if err != nil || !ok {
		return false, err
	}
	at, err := f.s.peel(f.ctx, head)
	return slices.ContainsFunc(f.s.known, func(id gitops.Hash) bool { return id != at }), err
}

// bring asks once for the first of what is missing. When it returns no error,
// something came, or less is asked for next time.
func (f *fetch) bring(missing []gitops.MissingObject) error {
	if server := f.p.client.Server(); server.Protocol == "v0" && !server.AnyWant {
		return f.wholeAgain(missing)
	}
	asked := f.sameKind(missing)
	r := wire.Request{Filter: filterOf(asked[0])}
	for _, m := range asked {
		r.Wants = append(r.Wants, m.ID)
	}
	r, err := f.withHaves(r, asked[0].Kind)
	if err != nil {
		return err
	}
	if f.batch.alone > 0 {
		r.Filter, r.Haves = itselfFilter, nil
		if asked[0].Kind == gitops.CommitObject {
			r.Depth = 1
		}
	}
	before := f.mark()
	got, err := f.ask(r, nil, 0)
	switch {
	case err == nil:
		return f.answered(r, asked)
	case gitops.ReasonOf(err) == gitops.RefMissing:
		return f.unanswered(asked[0], err)
	}
	return f.interrupted(err, got, asked, before)
}

// withHaves keeps history from coming along. Commits that are missing after an
// interrupted answer lie above where trust begins, and what is below is not asked
// for; of a tag the commit is not either. What the server took for older comes by
// a second request.
func (f *fetch) withHaves(r wire.Request, kind gitops.ObjectKind) (wire.Request, error) {
	var err error
	switch {
	case kind == gitops.TagObject:
		r.Depth = 1
		if !slices.Equal(f.older, r.Wants) {
			r.Haves, err = f.besides()
		}
	case kind == gitops.CommitObject && !slices.Equal(f.older, r.Wants):
		var until []gitops.Hash
		if until, err = f.until(); err == nil {
			r.Haves, err = f.present(until)
		}
	}
	return r, err
}

// answered checks that a whole answer brought what was asked for.
func (f *fetch) answered(r wire.Request, asked []gitops.MissingObject) error {
	absent, err := f.s.store.Absent(f.ctx, r.Wants)
	switch {
	case err != nil:
		return err
	case len(absent) < len(asked):
		f.batch.whole(len(asked))
		return nil
	case len(r.Haves) > 0:
		f.older = r.Wants
		return nil
	}
	return f.unanswered(asked[0], nil)
}

// unanswered is a server that does not send what it was asked for; said is how
// it refused.
func (f *fetch) unanswered(m gitops.MissingObject, said error) error {
	if f.shallow {
		return failed(gitops.Incomplete, "use a repository with its whole history",
			"fetch from %s: its repository is shallow, and %s is not in it", f.p.shown, described(m))
	}
	if e, ok := errors.AsType[*gitops.Error](said); ok {
		return failed(gitops.Incomplete, "check the repository on the server with git fsck",
			"fetch %s: %s", described(m), e.Message)
	}
	return failed(gitops.Incomplete, "check the repository on the server with git fsck",
		"fetch from %s: it does not send %s, which was asked for", f.p.shown, described(m))
}

// interrupted decides what a failed answer means: nil when the rest, or less of
// it, is to be asked for.
func (f *fetch) interrupted(err error, got objects.Received, asked []gitops.MissingObject, before marks) error {
	switch {
	case !wire.LinkFault(err) || f.ctx.Err() != nil || f.link.Err() != nil:
		return err
	case got.New > 0:
		f.batch.cut(got.New)
		return nil
	case f.mark() == before:
		return err // nobody is there
	case f.mark().in == before.in && !f.batch.mute(len(asked)):
		return err
	case f.mark().in == before.in || f.batch.lost(len(asked)):
		return nil
	case got.Bytes == 0:
		return err
	}
	f.batch.vain, f.batch.alone = 0, 0
	return failed(gitops.ObjectExceedsLink, "add a static mirror (type: bundles), which goes on in the middle of an object, or import a bundle",
		"fetch from %s: %s does not come through: the connection was cut %d times, the last time after %d bytes of it",
		f.p.shown, described(asked[0]), enoughCuts, got.Bytes)
}

// described names an object for people.
func described(m gitops.MissingObject) string {
	kind := m.Kind
	if kind == "" {
		kind = "object"
	}
	if m.Path == "" {
		return fmt.Sprintf("%s %s", kind, m.ID.Short())
	}
	return fmt.Sprintf("%s %s (%s)", kind, m.ID.Short(), m.Path)
}

// sameKind are the first of what is missing that one request can ask for.
func (f *fetch) sameKind(missing []gitops.MissingObject) []gitops.MissingObject {
	n := 1
	filter := filterOf(missing[0])
	for n < len(missing) && n < f.batch.size && fits(missing[n], missing[0], filter) {
		n++
	}
	return missing[:n]
}

// fits reports whether an object comes as it should beside another: commits and
// tags have a request of their own, and a file comes with any filter.
func fits(m, first gitops.MissingObject, filter string) bool {
	for _, kind := range []gitops.ObjectKind{gitops.CommitObject, gitops.TagObject} {
		if m.Kind == kind || first.Kind == kind {
			return m.Kind == first.Kind
		}
	}
	return m.Kind == gitops.BlobObject || filterOf(m) == filter
}

// filterOf is how much below an object is wanted with it.
func filterOf(m gitops.MissingObject) string {
	switch {
	case m.Kind == gitops.CommitObject:
		return aloneFilter
	case m.Kind == gitops.TagObject || m.Depth == 1:
		return itselfFilter
	case m.Depth == 2:
		return aloneFilter
	}
	return ""
}

// wholeAgain asks a server that gives nothing but what its refs name for all of
// it, once.
func (f *fetch) wholeAgain(missing []gitops.MissingObject) error {
	if len(f.wants) == 0 {
		c, err := f.tip()
		if err != nil {
			return err
		}
		f.wants = c.wants
	}
	if f.again {
		return failed(gitops.Incomplete, "check the repository on the server with git fsck, or use a server that speaks Git protocol v2",
			"fetch from %s: it does not send %s", f.p.shown, described(missing[0]))
	}
	f.again = true
	_, err := f.ask(wire.Request{Wants: f.wants}, nil, 0)
	return err
}
