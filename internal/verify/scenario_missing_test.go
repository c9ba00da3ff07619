// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Missing names what a decision needs and the store does not hold, until it
// holds all of it; then the decision is the one that a full store gives.
func TestMissingLeadsToTheDecision(t *testing.T) {
	w, o := eventful(t)
	for name, accepted := range map[string]gitops.Hash{"at first": "", "later": o.accepted} {
		t.Run(name, func(t *testing.T) {
			here := memoryOf(t, w, func(kind gitops.ObjectKind) bool { return kind == gitops.CommitObject })
			v, err := verify.New(w.config(), here)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), o.commit, accepted); gitops.ReasonOf(err) != gitops.Incomplete {
				t.Errorf("with the commits alone: %v", err)
			}
			rounds := 0
			for ; ; rounds++ {
				missing, err := v.Missing(t.Context(), o.commit, accepted)
				if err != nil {
					t.Fatal(err)
				}
				if len(missing) == 0 {
					break
				}
				for _, m := range missing {
					if _, known := here[m.ID]; known {
						t.Fatalf("%s is not missing", m.ID)
					}
					kind, raw, err := w.Object(t.Context(), m.ID)
					if err != nil {
						t.Fatalf("%s is nowhere", m.ID)
					}
					here[m.ID] = anything{kind, raw}
				}
			}
			if rounds < 2 || rounds > 20 {
				t.Errorf("%d rounds", rounds)
			}
			if got, err := v.Verify(t.Context(), o.commit, accepted); err != nil || !got.Valid() {
				t.Errorf("Verify: %v", err)
			}
			for _, path := range []string{"apps/web.yaml", "clusters/n1/app.yaml"} {
				if id := gitops.Hash(w.git("rev-parse", string(o.commit.Revision.Hash())+":"+path)); slices.Contains(here.ids(), id) {
					t.Errorf("%s was asked for, which nothing is decided by", path)
				}
			}
		})
	}
	t.Run("nothing is checked", func(t *testing.T) {
		cfg := w.config()
		cfg.Mode, cfg.Insecure = verify.ModeNone, true
		v, err := verify.New(cfg, memory{})
		if err != nil {
			t.Fatal(err)
		}
		if missing, err := v.Missing(t.Context(), o.commit, ""); err != nil || len(missing) > 0 {
			t.Errorf("missing %v, %v", missing, err)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		v, err := verify.New(w.config(), memory{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Missing(ctx, o.commit, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("Missing: %v", err)
		}
	})
}

// store holds objects of every kind.
type store map[gitops.Hash]anything

type anything struct {
	kind gitops.ObjectKind
	raw  []byte
}

func (s store) Object(_ context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	o, ok := s[id]
	if !ok {
		return "", nil, &gitops.Error{Reason: gitops.Incomplete, Message: "object " + string(id) + " is missing"}
	}
	return o.kind, o.raw, nil
}

func (s store) ids() []gitops.Hash {
	var out []gitops.Hash
	for id := range s {
		out = append(out, id)
	}
	return out
}

// memoryOf copies the objects of some kinds out of a repository.
func memoryOf(t *testing.T, w *inband, of func(gitops.ObjectKind) bool) store {
	t.Helper()
	out := store{}
	for line := range strings.Lines(w.git("cat-file", "--batch-all-objects", "--batch-check")) {
		fields := strings.Fields(line)
		if !of(gitops.ObjectKind(fields[1])) {
			continue
		}
		kind, raw, err := w.Object(t.Context(), gitops.Hash(fields[0]))
		if err != nil {
			t.Fatal(err)
		}
		out[gitops.Hash(fields[0])] = anything{kind, raw}
	}
	return out
}
