// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

// The life of a source, for the suites that break it off at every point. Each
// step is one transaction. Nothing in it depends on when it runs: attempts are
// numbered from 1.
type step struct {
	name string
	run  func(ctx context.Context, j *journal.Journal) error
}

// clock stands still, so that two runs leave the same rows, until it is late.
type clock struct{ late bool }

func (c *clock) options() journal.Options {
	return journal.Options{Ballast: -1, Now: func() time.Time {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if c.late {
			return now.AddDate(0, 2, 0)
		}
		return now
	}}
}

func script(c *clock) []step {
	good, bad, next := manifests(revision("a"), "one=1", "two=1"), manifests(revision("b"), "one=2", "three=1"), manifests(revision("c"), "one=3")
	at := func(m gitops.Manifests) gitops.At { return gitops.At{Revision: m.Revision, Signer: "ada"} }
	return []step{
		{"accept a", func(ctx context.Context, j *journal.Journal) error { return j.Accept(ctx, "fleet", at(good), false) }},
		beginStep("begin a", 0, good, gitops.CauseUpdate, 0),
		advanceStep("apply a", 1, gitops.PhaseApplied, gitops.Outcome{Inventory: applied(good), Changes: created(good)}),
		advanceStep("a is healthy", 1, gitops.PhaseHealthy, gitops.Outcome{}),
		advanceStep("close a", 1, gitops.PhasePruned, gitops.Outcome{Inventory: applied(good), Exact: true}),
		{"refuse", func(ctx context.Context, j *journal.Journal) error {
			return j.Refuse(ctx, "fleet", gitops.Refusal{Revision: revision("e"), Reason: gitops.Unsigned, Message: "sign it"})
		}},
		{"accept b, and the day's bytes with it", func(ctx context.Context, j *journal.Journal) error {
			day := gitops.LinkDay{Date: "2026-01-02", LinkBytes: gitops.LinkBytes{In: 1000, Out: 100}}
			if err := j.SetLink(ctx, "fleet", day); err != nil {
				return err
			}
			return j.Accept(ctx, "fleet", at(bad), false)
		}},
		beginStep("begin b", 0, bad, gitops.CauseUpdate, 0),
		{"resume b", func(ctx context.Context, j *journal.Journal) error { _, err := j.Resume(ctx, 2); return err }},
		advanceStep("apply b", 2, gitops.PhaseApplied, gitops.Outcome{Inventory: applied(bad), Changes: created(bad)}),
		advanceStep("b fails", 2, gitops.PhaseFailed, gitops.Outcome{Reason: gitops.CrashLoop, Message: "it crashes", Remember: true}),
		beginStep("begin the rollback", 0, good, gitops.CauseRollback, 2),
		advanceStep("roll back", 3, gitops.PhaseApplied, gitops.Outcome{Inventory: applied(good)}),
		beginStep("begin c instead", 3, next, gitops.CauseUpdate, 0),
		advanceStep("apply c", 4, gitops.PhaseApplied, gitops.Outcome{Inventory: applied(next)}),
		advanceStep("c is healthy", 4, gitops.PhaseHealthy, gitops.Outcome{}),
		advanceStep("close c", 4, gitops.PhasePruned, gitops.Outcome{Inventory: applied(next), Exact: true}),
		{"accept d, which is the same here", func(ctx context.Context, j *journal.Journal) error {
			return j.Accept(ctx, "fleet", gitops.At{Revision: revision("d"), Digest: next.Digest}, true)
		}},
		{"repair", func(ctx context.Context, j *journal.Journal) error {
			return j.Record(ctx, "fleet", []gitops.Item{{Ref: ref("one"), Digest: next.Objects[0].Digest, UID: "uid-again"}})
		}},
		{"hold", func(ctx context.Context, j *journal.Journal) error {
			return j.SetHold(ctx, "fleet", &gitops.Hold{Revision: good.Revision, Digest: good.Digest})
		}},
		{"name the node", func(ctx context.Context, j *journal.Journal) error { return j.SetNodeName(ctx, "store-1") }},
		{"forget failures", func(ctx context.Context, j *journal.Journal) error { return j.Forget(ctx, "fleet") }},
		{"retain", func(ctx context.Context, j *journal.Journal) error { c.late = true; return j.Retain(ctx) }},
		{"remove", func(ctx context.Context, j *journal.Journal) error { return j.Remove(ctx, "fleet") }},
	}
}

func beginStep(name string, supersedes int64, m gitops.Manifests, cause gitops.Cause, undoes int64) step {
	return step{name, func(ctx context.Context, j *journal.Journal) error {
		owned, err := j.Owned(ctx, "fleet")
		if err != nil {
			return err
		}
		_, err = j.Begin(ctx, gitops.BeginRequest{
			Source: "fleet", Revision: m.Revision, Cause: cause, Plan: plan(owned, m), Undoes: undoes,
			HealthTimeout: time.Minute, Supersedes: supersedes,
		})
		return err
	}}
}

func advanceStep(name string, id int64, to gitops.Phase, o gitops.Outcome) step {
	return step{name, func(ctx context.Context, j *journal.Journal) error { return j.Advance(ctx, id, to, o) }}
}

func created(m gitops.Manifests) []gitops.Change {
	var out []gitops.Change
	for _, o := range m.Objects {
		out = append(out, gitops.Change{Ref: o.Ref, Action: gitops.Created, Reason: gitops.BecauseNew})
	}
	return out
}

// fingerprint is everything that the journal says.
func fingerprint(ctx context.Context, j *journal.Journal) (string, error) {
	var all []any
	var failed error
	add := func(v any, err error) {
		all = append(all, v)
		failed = errors.Join(failed, err)
	}
	add(plain(j.State(ctx, "fleet")))
	add(plain(j.Owned(ctx, "fleet")))
	add(plain(j.Refusals(ctx, "fleet")))
	add(plain(j.NodeName(ctx)))
	add(plain(j.Link(ctx, "fleet")))
	add(plain(j.FailedBefore(ctx, "fleet", revision("b"), "")))
	attempts, err := j.Attempts(ctx, "fleet", 0)
	add(attempts, err)
	for _, a := range attempts {
		add(int64(a.HealthLeft), nil)
	}
	healthy, err := j.Healthy(ctx, "fleet")
	add(healthy, err)
	for _, at := range healthy {
		m, err := j.Manifests(ctx, "fleet", at.Digest)
		add([]any{m, string(m.Bytes())}, err)
	}
	text, err := json.Marshal(all)
	return string(text), errors.Join(failed, err)
}

func plain[T any](v T, err error) (any, error) { return v, err }
