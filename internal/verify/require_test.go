// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// requireOffers are commits of which everything is asked that Require knows.
func requireOffers(t *testing.T) (*inband, map[string]gitops.Commit) {
	w, o := eventful(t)
	roots := strings.Replace(w.trust(2, ""), "[alice, bob, carol], threshold: 2", "[alice, bob, carol, dan], threshold: 2", 1)
	change := files{trustYAML: roots, "rbac/admin.yaml": "c: 2\n"}
	started := w.commitOf(w.keys["erin"].sign, w.base.with(change), "", w.root)
	approved := w.commitOf(w.keys["erin"].sign, w.base.with(change), "", w.root)
	for _, c := range []gitops.Hash{started, approved} {
		w.approve("alice", c, w.root)
	}
	w.approve("bob", approved, w.root)
	w.approve("dan", approved, w.root)
	plain := w.commitOf(nil, w.base.with(files{trustYAML: ""}), "")
	first := w.commitOf(w.keys["dan"].sign, w.base, "", plain)
	w.approve("alice", first, plain)
	return w, map[string]gitops.Commit{
		"merge by a forge":             o.commit,
		"protected, and not approved":  onMain(started),
		"protected, and approved":      onMain(approved),
		"first trust file":             onMain(first),
		"commit without a trust file":  onMain(w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: ""}), "", plain)),
		"where the repository begins":  onMain(w.root),
		"trust file that is taken out": onMain(w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: ""}), "", w.root)),
	}
}

// Who cannot read all of it says nothing about what a commit needs: a list with a
// hole in it would have people push what nodes refuse.
func TestRequireIsNoGuess(t *testing.T) {
	t.Parallel()
	w, offers := requireOffers(t)
	for name, c := range offers {
		t.Run(name, func(t *testing.T) {
			var store verify.Objects
			ask := func(ctx context.Context) (bool, error) {
				approved, asked, err := verify.Require(ctx, w.config(), store, c)
				return err != nil && len(approved)+len(asked) > 0, err
			}
			for n := 1; ; n++ {
				fails := &failing{Objects: w, nth: n, err: func() error { return errors.New("disk") }}
				store = fails
				told, err := ask(t.Context())
				if fails.last == "" {
					if err != nil || n < 4 {
						t.Errorf("with all reads well: %v after %d reads", err, n)
					}
					break
				}
				if told || gitops.ReasonOf(err) != gitops.StoreFailed {
					t.Errorf("read %d of %s fails: told %v, %v", n, fails.last.Short(), told, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				store = &failing{Objects: w, nth: n, err: func() error { cancel(); return ctx.Err() }}
				if told, err = ask(ctx); told || !errors.Is(err, context.Canceled) {
					t.Errorf("stopped at read %d: told %v, %v", n, told, err)
				}
				cancel()
			}
		})
	}
}

// Nor does who cannot list the statements, or read what the trust file says.
func TestRequireOfWhatCannotBeRead(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	malformed := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: "nonsense: true\n"}), w.forMain(), w.root)
	lost := errors.New("lost")
	for name, c := range map[string]struct {
		head   gitops.Hash
		change func(*verify.Config)
		want   gitops.Reason
	}{
		"statements": {head, func(c *verify.Config) {
			c.Carried = func(context.Context) (map[string]gitops.Hash, error) { return nil, lost }
		}, ""},
		"trust file":   {malformed, func(*verify.Config) {}, gitops.TrustFileRefused},
		"trusted root": {head, func(c *verify.Config) { c.Sigstore.TrustedRoot = w.file("root.json", "nonsense") }, gitops.TrustMissing},
	} {
		cfg := w.config()
		c.change(&cfg)
		approved, asked, err := verify.Require(t.Context(), cfg, w, onMain(c.head))
		if err == nil || len(approved)+len(asked) > 0 || c.want == "" && !errors.Is(err, lost) || c.want != "" && gitops.ReasonOf(err) != c.want {
			t.Errorf("%s: approved %v, asked %v, %v", name, approved, asked, err)
		}
	}
}

// Who asks without a clock gets the system's.
func TestRequireHasAClockOfItsOwn(t *testing.T) {
	w, offers := requireOffers(t)
	cfg := w.config()
	names, want, err := verify.Require(t.Context(), cfg, w, offers["protected, and not approved"])
	if err != nil || len(want) == 0 {
		t.Fatalf("%v, %v", want, err)
	}
	cfg.Now = nil
	gotNames, got, err := verify.Require(t.Context(), cfg, w, offers["protected, and not approved"])
	if diff := cmp.Diff(want, got); err != nil || diff != "" || !cmp.Equal(names, gotNames) {
		t.Errorf("by the system's clock: %v\n%s", err, diff)
	}
}

// What a statement says is read under the name of its ref, and under no other.
func TestReadStatement(t *testing.T) {
	w := newInband(t)
	head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
	w.approve("alice", head, w.root)
	ref := verify.ApprovalRef(head, "alice")
	_, raw, err := w.Object(t.Context(), w.refs[ref])
	if err != nil {
		t.Fatal(err)
	}
	fields, object, err := verify.ReadStatement(ref, raw)
	if err != nil || object != head || fields["To"] != string(head) || fields["From"] != string(w.root) || fields["Ref"] != mainRef {
		t.Errorf("%v of %s, %v", fields, object, err)
	}
	for name, c := range map[string]struct {
		ref string
		raw []byte
	}{
		"another ref": {verify.ApprovalRef(head, "bob"), raw}, "no tag": {ref, []byte("object\n")},
	} {
		if fields, object, err := verify.ReadStatement(c.ref, c.raw); err == nil || len(fields) > 0 || object != "" {
			t.Errorf("%s: %v of %s is read", name, fields, object)
		}
	}
}
