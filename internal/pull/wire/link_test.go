// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

func uplink(t *testing.T, url string, shape link.Shape) (*link.Proxy, string) {
	t.Helper()
	p, err := link.Start(strings.TrimPrefix(url, "http://"), shape)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, "http://" + p.Addr()
}

// TestACutLinkLosesNothingThatCame: what was read before the cut is the
// beginning of the pack, to within the last few bytes that crossed the link.
func TestACutLinkLosesNothingThatCame(t *testing.T) {
	f := newFleet(t)
	want := wire.Request{Wants: []gitops.Hash{f.hash("main")}}
	url := serve(t, f.backend()).URL
	proxy, entry := uplink(t, url, link.Shape{})
	c := open(t, config(t, entry+"/fleet.git"))
	whole := fetch(t, c, want)
	for _, n := range []int64{2 << 10, 10_000, 50_000, 100_000, 150_001} {
		c.Close() // a cut counts from the connection's start
		proxy.Set(link.Shape{Cut: n})
		pack, err := c.Fetch(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		came, err := io.ReadAll(pack)
		_ = pack.Close()
		wantReason(t, err, gitops.Unreachable)
		wantText(t, err, "cut")
		if !bytes.HasPrefix(whole, came) {
			t.Fatalf("cut at %d: what came is not the beginning of the pack", n)
		}
		// Headers, the request and the framing take their part.
		if lost := n - int64(len(came)); lost > 1200 {
			t.Errorf("cut at %d: only %d bytes of the pack were handed on", n, len(came))
		}
		proxy.Set(link.Shape{})
		if got := fetch(t, c, want); !bytes.Equal(got, whole) {
			t.Fatalf("after a cut at %d the pack is another", n)
		}
	}
}

func TestBadLinks(t *testing.T) {
	f := newFleet(t)
	url := serve(t, f.backend()).URL
	for name, c := range map[string]struct {
		shape  link.Shape
		limits wire.Limits
		reason gitops.Reason
	}{
		"nothing comes back": {link.Shape{Blackhole: true}, wire.Limits{Idle: 2 * time.Second}, gitops.Timeout},
		"it drips": {link.Shape{Drip: 1, Tick: 10 * time.Millisecond},
			wire.Limits{RateWindow: 300 * time.Millisecond, MinRate: 10_000}, gitops.TooSlow},
		"it is cut at once":    {link.Shape{Cut: 1}, wire.Limits{}, gitops.Unreachable},
		"it is cut in headers": {link.Shape{Cut: 300}, wire.Limits{}, gitops.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, entry := uplink(t, url, c.shape)
			cfg := config(t, entry+"/fleet.git")
			cfg.Limits = c.limits
			cl := open(t, cfg)
			_, err := cl.Refs(t.Context(), mainOnly)
			wantReason(t, err, c.reason)
			if !wire.LinkFault(err) {
				t.Errorf("not the link's fault: %v", err)
			}
			proxy.Set(link.Shape{})
			proxy.Sever()
			if poll(t, cl) != f.hash("main") {
				t.Error("the next poll does not work")
			}
		})
	}
}

// TestACutPackIsTheCallersToAskFor: it knows what came already.
func TestACutPackIsTheCallersToAskFor(t *testing.T) {
	f := newFleet(t)
	url := serve(t, f.backend()).URL
	proxy, entry := uplink(t, url, link.Shape{Cut: 60_000})
	c := open(t, config(t, entry+"/fleet.git"))
	pack, err := c.Fetch(t.Context(), wire.Request{Wants: []gitops.Hash{f.hash("main")}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, pack)
	if !wire.LinkFault(err) {
		t.Fatalf("not the link's fault: %v", err)
	}
	_, again := pack.Read(make([]byte, 1))
	if !errors.Is(again, err) {
		t.Errorf("read again: %v, want %v", again, err)
	}
	_ = pack.Close()
	if n := proxy.Counters().Cuts; n != 1 {
		t.Errorf("%d cuts: a pack was asked for again behind the caller's back", n)
	}
}

// TestDeadConnectionsAreNotUsedAgain: HTTP/2 keeps a connection whose request
// was given up, and would let each next one wait for it.
func TestDeadConnectionsAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := newAuthority(t)
	srv := a.serve(f.backend(), a.issue(valid), func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	proxy, err := link.Start(strings.TrimPrefix(srv.URL, "https://"), link.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	cfg := config(t, "https://"+proxy.Addr()+"/fleet.git")
	cfg.Auth.CAFile = a.caFile()
	cfg.Limits.Idle = 1500 * time.Millisecond
	c := open(t, cfg)
	poll(t, c)
	// As when the node's uplink changes: what was there stays silent.
	proxy.Set(link.Shape{Drip: 1000, Tick: 10 * time.Millisecond})
	pack, err := c.Fetch(t.Context(), wire.Request{Wants: []gitops.Hash{f.hash("main")}})
	if err != nil {
		t.Fatal(err)
	}
	proxy.Set(link.Shape{Blackhole: true})
	_, err = io.Copy(io.Discard, pack)
	wantReason(t, err, gitops.Timeout)
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	proxy.Set(link.Shape{})
	proxy.Forget()
	poll(t, c)
	if n := proxy.Counters().Connections; n != 1 {
		t.Errorf("%d new connections, want 1", n)
	}
}
