// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// A heartbeat by a stolen key may have the highest sequence there is: it is
// forgotten when it is void, and an honest one with a lower sequence is taken.
func TestVoidHeartbeatIsForgotten(t *testing.T) {
	stolen := &gitops.Heartbeat{Sequence: 1 << 62, Signer: "dan", Statement: []byte("object\xff")}
	honest := &gitops.Heartbeat{Sequence: 1, Signer: "erin", Statement: []byte("object")}
	higher := &gitops.Heartbeat{Sequence: 2, Signer: "erin", Statement: []byte("object 2")}
	other := &gitops.Heartbeat{Sequence: 1 << 62, Signer: "erin", Statement: []byte("object 3")}
	unsigned := &gitops.Heartbeat{Sequence: 1 << 62, Signer: "dan"}
	for name, c := range map[string]struct {
		known, more gitops.Learned
		want        *gitops.Heartbeat
	}{
		"a lower one does not count":               {gitops.Learned{Heartbeat: stolen}, gitops.Learned{Heartbeat: honest}, stolen},
		"void, and no other":                       {gitops.Learned{Heartbeat: stolen}, gitops.Learned{Void: stolen}, nil},
		"void, and a lower one":                    {gitops.Learned{Heartbeat: stolen}, gitops.Learned{Void: stolen, Heartbeat: honest}, honest},
		"void without its signature":               {gitops.Learned{Heartbeat: unsigned}, gitops.Learned{Void: unsigned, Heartbeat: honest}, honest},
		"void, and it was another":                 {gitops.Learned{Heartbeat: higher}, gitops.Learned{Void: stolen, Heartbeat: honest}, higher},
		"void, and it was another of its sequence": {gitops.Learned{Heartbeat: other}, gitops.Learned{Void: stolen, Heartbeat: honest}, other},
		"void, and none was known":                 {gitops.Learned{}, gitops.Learned{Void: stolen, Heartbeat: honest}, honest},
		"nothing is void":                          {gitops.Learned{Heartbeat: honest}, gitops.Learned{Heartbeat: higher}, higher},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.known.And(c.more)
			if !reflect.DeepEqual(got.Heartbeat, c.want) {
				t.Errorf("heartbeat %+v, want %+v", got.Heartbeat, c.want)
			}
			if got.Void != nil {
				t.Errorf("void is remembered: %+v", got.Void)
			}
		})
	}
}

// What a signature is over is kept to the byte, and records without it are read.
func TestHeartbeatKeepsItsStatement(t *testing.T) {
	h := gitops.Heartbeat{Commit: "x", Sequence: 7, At: time.Unix(1_760_000_000, 0).UTC(), Signer: "dan", Statement: []byte("\xff\x00 bytes\n")}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var got gitops.Heartbeat
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("got %+v, want %+v: %v", got, h, err)
	}
	got = gitops.Heartbeat{}
	if err := json.Unmarshal([]byte(`{"commit":"x","sequence":7,"at":"2026-01-02T12:00:00Z","signer":"dan"}`), &got); err != nil || got.Sequence != 7 || got.Statement != nil {
		t.Errorf("got %+v: %v", got, err)
	}
}
