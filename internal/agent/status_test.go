// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// scramble changes everything that can be reached from v, and notes which
// fields held something that could be shared.
func scramble(v reflect.Value, path string, seen map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			seen[path] = true
			scramble(v.Elem(), path, seen)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			scramble(v.Field(i), path+"."+v.Type().Field(i).Name, seen)
		}
	case reflect.Slice:
		for i := range v.Len() {
			seen[path] = true
			scramble(v.Index(i), path, seen)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			seen[path] = true
			v.SetMapIndex(key, reflect.Value{})
		}
	case reflect.String:
		v.SetString("scrambled")
	}
}

// shareable lists the fields that a copy could share with the next one.
func shareable(t reflect.Type, path string, out map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		out[path] = true
		shareable(t.Elem(), path, out)
	case reflect.Map:
		out[path] = true
	case reflect.Struct:
		if t != reflect.TypeFor[time.Time]() {
			for i := range t.NumField() {
				shareable(t.Field(i).Type, path+"."+t.Field(i).Name, out)
			}
		}
	}
}

func TestStatusIsACopy(t *testing.T) {
	inWorld(t, func(w *world) {
		seen := map[string]bool{}
		check := func() {
			t.Helper()
			before, err := json.Marshal(w.agent.Status())
			if err != nil {
				t.Fatal(err)
			}
			st := w.agent.Status()
			scramble(reflect.ValueOf(&st).Elem(), "", seen)
			after, err := json.Marshal(w.agent.Status())
			if err != nil {
				t.Fatal(err)
			}
			if string(before) != string(after) {
				t.Errorf("who changed a copy changed the status:\n%s\n%s", before, after)
			}
		}
		w.cfg.Sources[0].Drift = gitops.DriftNotify
		w.restart()
		all := content{"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"}
		one := w.healthy(all)
		w.push(content{"a": "2"})
		w.once()
		check() // deletions are pending
		w.push(content{"a": "crash"})
		w.once()
		check() // a failure
		w.cluster.edit("a", "crash2")
		w.once()
		check() // drift, and an object with a problem
		w.remote.fork(one.Hash(), content{"a": "evil"})
		w.once()
		check() // a refusal
		if err := w.journal.Learn(w.ctx, fleet, gitops.Learned{Heartbeat: &gitops.Heartbeat{Sequence: 1, Commit: one.Hash(), Statement: []byte("signed")}}); err != nil {
			t.Fatal(err)
		}
		if err := w.journal.Waive(w.ctx, fleet, gitops.Waiver{From: one.Hash(), To: one.Hash(), Reason: "a test"}); err != nil {
			t.Fatal(err)
		}
		w.once()
		check() // a heartbeat and a waiver
		w.run()
		w.rollback(string(one), true)
		if err := w.agent.Suspend(w.ctx, fleet, "a visit", "uid 0"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		check() // a hold and a suspension
		w.cfg.Node.Name = "node-2"
		w.restart()
		w.once()
		check() // a problem of the node
		want := map[string]bool{}
		shareable(reflect.TypeFor[gitops.Status](), "", want)
		const untold = ".Sources.Heartbeat.Statement" // as large as an object, and of no use to people
		if delete(want, untold); seen[untold] {
			t.Error("the statement of a heartbeat is told")
		}
		for field := range want {
			if !seen[field] {
				t.Errorf("nothing was ever in %s: this test does not show that it is copied", strings.TrimPrefix(field, "."))
			}
		}
	})
}

func TestProgressStallsWhenAStepBlocks(t *testing.T) {
	for _, step := range []string{"capabilities", "plan", "apply", "wait", "prune", "finish", "health"} {
		t.Run(step, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.remote.interval = 24 * time.Hour
				w.push(content{"a": "1"})
				w.cluster.hook = func(ctx context.Context, at string) error {
					if at == step {
						<-ctx.Done()
					}
					return ctx.Err()
				}
				w.run()
				w.sleep(10 * time.Minute)
				if idle := time.Since(w.agent.Progress()); idle < 9*time.Minute {
					t.Errorf("the loop hangs and was alive %s ago", idle)
				}
				w.stop()
				w.cluster.hook = nil
				w.restart()
				w.run()
				w.sleep(10 * time.Minute)
				if idle := time.Since(w.agent.Progress()); idle > 30*time.Second {
					t.Errorf("nothing hangs and the loop was alive %s ago", idle)
				}
			})
		})
	}
}

// A long wait, and a long apply, are alive for as long as they get on.
func TestProgressGoesOnWhileSomethingIsDone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.remote.interval = 24 * time.Hour
		w.push(content{"a": "1", "b": "1", "c": "slow"})
		w.cluster.hook = func(ctx context.Context, at string) error {
			if strings.HasPrefix(at, "apply ") {
				time.Sleep(20 * time.Second)
			}
			return nil
		}
		w.run()
		shown := map[string]bool{}
		for range 20 {
			w.sleep(10 * time.Second)
			if idle := time.Since(w.agent.Progress()); idle > 20*time.Second {
				t.Errorf("the loop was alive %s ago", idle)
			}
			shown[w.status().Progress] = true
		}
		if !shown["applied 1 of 3 objects"] || !shown["applied 2 of 3 objects"] {
			t.Errorf("progress = %v", shown)
		}
		if st := w.status(); st.Phase != gitops.StageChecking || len(st.Problems) != 1 || st.Bundles[0].Health != gitops.InProgress {
			t.Errorf("status = %+v", st)
		}
	})
}

// Nobody may read what the loop is writing: this is for the race detector.
func TestQuestionsWhileTheLoopWorks(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.remote.interval = time.Second
		w.run()
		for _, want := range []content{{"a": "2", "b": "1"}, {"a": "crash"}, {"a": "3"}} {
			w.remote.set(func(r *remote) { r.next = time.Time{} })
			w.push(want)
			for range 30 {
				time.Sleep(time.Second)
				w.agent.Status()
				w.agent.Progress()
				if _, err := w.agent.Diff(w.ctx, fleet); err != nil {
					t.Error(err)
				}
				if _, err := w.agent.Verify(w.ctx, fleet, ""); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func TestQuestions(t *testing.T) {
	inWorld(t, func(w *world) {
		if _, err := w.agent.Diff(w.ctx, fleet); gitops.ReasonOf(err) != gitops.NoTarget {
			t.Errorf("Diff before anything was applied = %v", err)
		}
		if _, err := w.agent.Verify(w.ctx, fleet, ""); gitops.ReasonOf(err) != gitops.NotYet {
			t.Errorf("Verify before anything was seen = %v", err)
		}
		for _, rev := range []string{"", "3f2a1bc"} {
			if _, _, err := w.agent.Show(w.ctx, fleet, rev); gitops.ReasonOf(err) != gitops.NoTarget {
				t.Errorf("Show of nothing = %v", err)
			}
		}
		one := w.healthy(content{"a": "1", "b": "1"})
		two := w.healthy(content{"a": "2", "b": "1"})
		w.cluster.edit("b", "edited")
		diff, err := w.agent.Diff(w.ctx, fleet)
		if err != nil || len(diff) != 1 || diff[0].Ref != ref("b") {
			t.Errorf("Diff = %+v, %v; want b", diff, err)
		}
		list, err := w.agent.History(w.ctx, fleet, 1)
		if err != nil || len(list) != 1 || list[0].Revision != two {
			t.Errorf("History = %+v, %v; want the newest", list, err)
		}
		if _, _, err := w.agent.Show(w.ctx, fleet, "beef"); gitops.ReasonOf(err) != gitops.NotFoundHere {
			t.Errorf("Show of what was never tried = %v", err)
		}
		a, m, err := w.agent.Show(w.ctx, fleet, string(one.Hash()[:7]))
		if err != nil || a.Revision != one || len(m.Objects) != 2 {
			t.Errorf("Show = %+v, %+v, %v", a, m, err)
		}
		for rev, want := range map[string]gitops.Hash{"": two.Hash(), string(two.Hash()[:8]): two.Hash(), string(one.Hash()): one.Hash()} {
			decisions, err := w.agent.Verify(w.ctx, fleet, rev)
			if err != nil || len(decisions) == 0 || decisions[0].Commit != want || !decisions[0].Trusted {
				t.Errorf("Verify(%q) = %+v, %v; want %s first", rev, decisions, err, want)
			}
		}
		// While a hold is on, the difference is to what is held.
		w.run()
		w.rollback("", false)
		w.cluster.edit("a", "edited")
		diff, err = w.agent.Diff(w.ctx, fleet)
		if err != nil || len(diff) != 1 || diff[0].Ref != ref("a") {
			t.Errorf("Diff = %+v, %v; want a", diff, err)
		}
		for _, err := range []error{
			second(w.agent.Diff(w.ctx, "other")), second(w.agent.History(w.ctx, "other", 1)), second(w.agent.Verify(w.ctx, "other", "")),
		} {
			if gitops.ReasonOf(err) != gitops.NotFoundHere {
				t.Errorf("about another source: %v", err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
