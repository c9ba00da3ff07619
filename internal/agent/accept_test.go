// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func (w *signed) accept(rev string) error {
	w.t.Helper()
	_, _, err := w.agent.Accept(w.ctx, fleet, rev, "the host was rebuilt", "uid 0")
	w.sleep(time.Minute)
	return err
}

// Root lets a source make one step that does not descend; the next one is
// refused as ever.
func TestAcceptWaivesOneFork(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		two := w.pushBy("dan", content{"a": "2"})
		w.once()
		w.remote.head = one.Hash()
		fork := w.pushBy("erin", content{"a": "3"})
		w.run()
		w.sleep(time.Minute)
		w.ready("False", gitops.Fork)
		if err := w.accept(string(fork.Hash()[:8])); err != nil {
			t.Fatal(err)
		}
		w.runs(fork, content{"a": "3"})
		w.ready("True", gitops.IsHealthy)
		got := w.status().Waiver
		if got == nil || got.From != two.Hash() || got.To != fork.Hash() || got.By != "uid 0" || got.Reason != "the host was rebuilt" || got.Used.IsZero() {
			t.Errorf("waiver = %+v", got)
		}
		past, err := w.agent.History(w.ctx, fleet, 10)
		if err != nil || past[0].Waiver.To != fork.Hash() || past[1].Waiver.To != "" {
			t.Errorf("history = %+v, %v; want root's word at the newest attempt alone", past, err)
		}
		w.remote.set(func(r *remote) { r.head = two.Hash() })
		w.sleep(2 * time.Minute)
		w.ready("False", gitops.Fork)
		w.runs(fork, content{"a": "3"})
	})
}

func TestAcceptWaivesOneWayBack(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.pushBy("dan", content{"a": "2"})
		w.once()
		w.remote.head = one.Hash()
		w.run()
		w.sleep(time.Minute)
		w.ready("False", gitops.RolledBack)
		if err := w.accept(string(one.Hash())); err != nil {
			t.Fatal(err)
		}
		w.runs(one, content{"a": "1"})
		w.ready("True", gitops.IsHealthy)
	})
}

// Signatures hold, whatever root says of the ancestry.
func TestAcceptWaivesNoSignature(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.remote.head = w.start
		evil := w.pushBy("alice", content{"a": "evil"})
		w.revoke(w.fingerprint("alice")+"\n", "alice", "bob")
		w.run()
		w.sleep(time.Minute)
		if err := w.accept(string(evil.Hash())); err != nil {
			t.Fatal(err)
		}
		w.runs(one, content{"a": "1"})
		if r := w.state().Refused; r == nil || r.Reason == gitops.Fork {
			t.Errorf("refused = %+v, want the signature to be the reason", r)
		}
		if u := w.status().Waiver; u == nil || !u.Used.IsZero() {
			t.Errorf("waiver = %+v, want it not used", u)
		}
	})
}

func TestAcceptNamesWhatWasShown(t *testing.T) {
	inSignedWorld(t, "", func(w *signed) {
		one := w.pushBy("dan", content{"a": "1"})
		w.once()
		w.run()
		for rev, want := range map[string]gitops.Reason{
			string(one.Hash()):     gitops.Conflict, // accepted already
			string(one):            gitops.Conflict,
			one.Short():            gitops.Conflict,
			string(one.Hash()[:6]): gitops.NotFoundHere,
			"main@":                gitops.NotFoundHere,
			"0000000":              gitops.NotFoundHere,
		} {
			if err := w.accept(rev); gitops.ReasonOf(err) != want {
				t.Errorf("accept(%q) = %v, want %s", rev, err, want)
			}
		}
		if w.state().Waiver != nil {
			t.Errorf("waiver = %+v", w.state().Waiver)
		}
	})
}
