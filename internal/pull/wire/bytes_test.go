// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// TestBytesOfAPoll holds what an idle node costs: a poll is one request, over a
// connection that is there, or at least over a TLS session that is.
func TestBytesOfAPoll(t *testing.T) {
	f := newFleet(t)
	a := newAuthority(t)
	for _, c := range []struct {
		name    string
		secure  bool
		protos  []string
		resumed bool
		between func(*wire.Client) // two polls
		most    int64
	}{
		{name: "plain, kept alive", most: 700},
		{name: "plain, connected anew", between: (*wire.Client).Close, most: 700},
		{name: "TLS, kept alive", secure: true, most: 900},
		{name: "TLS, resumed", secure: true, resumed: true, between: (*wire.Client).Close, most: 2000},
		{name: "HTTP/2, kept alive", secure: true, protos: []string{"h2"}, most: 900},
		{name: "HTTP/2, resumed", secure: true, protos: []string{"h2"}, resumed: true, between: (*wire.Client).Close, most: 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var url string
			seen := &requests{next: f.backend()}
			var auth wire.Auth
			if c.secure {
				url = a.serve(seen, a.issue(valid), func(s *tls.Config) { s.NextProtos = c.protos }).URL
				auth.CAFile = a.caFile()
			} else {
				url = serve(t, seen).URL
			}
			cfg := config(t, url+"/fleet.git")
			cfg.Auth = auth
			cl := open(t, cfg)
			poll(t, cl)
			// The second one may still bring what the server says only once.
			for range 3 {
				if c.between != nil {
					c.between(cl)
				}
				seen.forget()
				in, out := cfg.Meter.Bytes()
				poll(t, cl)
				in2, out2 := cfg.Meter.Bytes()
				t.Logf("%d bytes: %d in, %d out", in2-in+out2-out, in2-in, out2-out)
				if n := in2 - in + out2 - out; n > c.most {
					t.Errorf("a poll took %d bytes, more than %d", n, c.most)
				}
				if n := len(seen.list()); n != 1 {
					t.Fatalf("a poll took %d requests", n)
				}
				if c.resumed && !seen.first().TLS.DidResume {
					t.Error("the TLS session was not resumed")
				}
			}
		})
	}
}

func TestMeterTellsThatBytesMove(t *testing.T) {
	f := newFleet(t)
	var moved atomic.Int64
	cfg := config(t, serve(t, f.backend()).URL+"/fleet.git")
	cfg.Meter = wire.NewMeter(func() { moved.Add(1) })
	poll(t, open(t, cfg))
	if in, out := cfg.Meter.Bytes(); in == 0 || out == 0 || moved.Load() < 2 {
		t.Errorf("%d in, %d out, told %d times", in, out, moved.Load())
	}
}

// counted counts the connections of a server.
func counted(t *testing.T, h http.Handler) (url string, connections *atomic.Int64) {
	connections = &atomic.Int64{}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, connections
}

func TestConnectionsWaitForTheNextPoll(t *testing.T) {
	f := newFleet(t)
	url, connections := counted(t, f.backend())
	c := open(t, config(t, url+"/fleet.git"))
	for range 3 {
		poll(t, c)
		fetch(t, c, wire.Request{Wants: []gitops.Hash{f.hash("main")}})
		c.End()
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	// And no longer than they should: a server has better uses for them.
	cfg := config(t, url+"/fleet.git")
	cfg.IdleConn = time.Millisecond
	c = open(t, cfg)
	connections.Store(0)
	for range 200 {
		poll(t, c)
		if connections.Load() > 1 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("an idle connection is never closed")
}

// TestNetworkThatForgets: a connection that idled is dead, and nobody says so.
func TestNetworkThatForgets(t *testing.T) {
	f := newFleet(t)
	for _, protos := range [][]string{{"http/1.1"}, {"h2"}} {
		t.Run(protos[0], func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			cert := a.issue(valid)
			secure := func(h http.Handler) string {
				return strings.TrimPrefix(a.serve(h, cert, func(c *tls.Config) { c.NextProtos = protos }).URL, "https://")
			}
			forgotten := &requests{next: f.backend()}
			proxy, err := link.Start(secure(forgotten), link.Shape{})
			if err != nil {
				t.Fatal(err)
			}
			defer proxy.Close()
			now := time.Now()
			cfg := config(t, "https://"+proxy.Addr()+"/fleet.git")
			cfg.Auth.CAFile = a.caFile()
			cfg.Limits.Idle = 1500 * time.Millisecond
			cfg.Now = func() time.Time { return now }
			c := open(t, cfg)
			poll(t, c)
			forgotten.next = stall("")
			proxy.Lead(secure(f.backend()))
			if poll(t, c) != f.hash("main") {
				t.Fatal("another head")
			}
			// Such a network is known by now: no connection is kept for a day.
			proxy.Forget()
			poll(t, c)
			if n := proxy.Counters().Connections; n != 1 {
				t.Errorf("%d new connections, want 1", n)
			}
			now = now.Add(25 * time.Hour)
			poll(t, c)
			proxy.Forget()
			poll(t, c)
			if n := proxy.Counters().Connections; n != 0 {
				t.Errorf("%d new connections, want the kept one", n)
			}
		})
	}
}
