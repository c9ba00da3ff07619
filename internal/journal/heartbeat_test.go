// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bytes"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

// A heartbeat whose key was revoked is forgotten for good, also by the slots, and
// the next one is kept with its signature, whatever its sequence.
func TestVoidHeartbeatIsForgottenForGood(t *testing.T) {
	dir := t.TempDir()
	j := must(journal.Open(t.Context(), dir, small))(t)
	stolen := &gitops.Heartbeat{Sequence: 1 << 62, Signer: "dan", Statement: []byte("stolen \xff")}
	honest := &gitops.Heartbeat{Sequence: 1, Signer: "erin", Statement: []byte("honest \xff")}
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{Heartbeat: stolen}))
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{Heartbeat: honest}))
	if h := state(t, j).Learned.Heartbeat; h.Sequence != 1<<62 || !bytes.Equal(h.Statement, stolen.Statement) {
		t.Errorf("heartbeat %+v, want the highest", h)
	}
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{Void: stolen}))
	if h := state(t, j).Learned.Heartbeat; h != nil {
		t.Errorf("heartbeat %+v, want none", h)
	}
	check(t, j.Learn(t.Context(), "fleet", gitops.Learned{Heartbeat: honest}))
	check(t, j.Close())
	for _, lost := range []bool{false, true} {
		if lost {
			lose(t, dir)
		}
		j := must(journal.Open(t.Context(), dir, small))(t)
		if h := state(t, j).Learned.Heartbeat; h == nil || h.Sequence != 1 || h.Signer != "erin" || !bytes.Equal(h.Statement, honest.Statement) {
			t.Errorf("heartbeat %+v, want erin's (journal lost: %v)", h, lost)
		}
		check(t, j.Close())
	}
}
