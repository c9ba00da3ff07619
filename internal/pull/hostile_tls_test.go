// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/link"
	"github.com/edgeagent/edgeagent/test/k3d/pki"
)

// tlsServer serves h with a certificate.
func tlsServer(t *testing.T, h http.Handler, pair pki.Pair, err error) *httptest.Server {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func newAuthorityFile(t *testing.T) (a *pki.Authority, file string) {
	t.Helper()
	a, err := pki.NewAuthority("hostile-ca")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, a.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return a, file
}

// TestHostileTLS is what a machine in the middle can show. A good server takes
// over behind the same address, and is believed at once.
func TestHostileTLS(t *testing.T) {
	w := newWorld(t)
	r := w.repo
	authority, caFile := newAuthorityFile(t)
	stranger, _ := newAuthorityFile(t)
	now, home := time.Now(), net.IPv4(127, 0, 0, 1)
	long := now.Add(24 * time.Hour)
	pair := func(a *pki.Authority, from, until time.Time, ip net.IP) func(*testing.T) net.Listener {
		return func(t *testing.T) net.Listener {
			p, err := a.ServerFor(from, until, ip)
			return tlsServer(t, r.backend(), p, err).Listener
		}
	}
	plain := func(t *testing.T) net.Listener {
		srv := httptest.NewServer(r.backend())
		t.Cleanup(srv.Close)
		return srv.Listener
	}
	utc := func(at time.Time) string { return at.UTC().Truncate(time.Second).Format(time.RFC3339) }
	cases := []struct {
		name  string
		serve func(*testing.T) net.Listener
		clock time.Time
		text  []string
	}{
		{name: "expired", serve: pair(authority, now.Add(-2*time.Hour), now.Add(-time.Hour), home), text: []string{utc(now.Add(-time.Hour)), "clock"}},
		{name: "not valid yet", serve: pair(authority, now.Add(time.Hour), long, home), text: []string{utc(now.Add(time.Hour)), "clock"}},
		{name: "another address", serve: pair(authority, now.Add(-time.Hour), long, net.IPv4(10, 0, 0, 1)), text: []string{"10.0.0.1"}},
		{name: "unknown authority", serve: pair(stranger, now.Add(-time.Hour), long, home), text: []string{"caFile"}},
		{name: "no TLS", serve: plain, text: []string{"TLS"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path, err := link.Start(c.serve(t).Addr().String(), link.Shape{})
			if err != nil {
				t.Fatal(err)
			}
			defer path.Close()
			o := newOrder(t, "https://"+path.Addr(), w.first)
			o.Auth.CAFile, o.Clock = caFile, c.clock
			p := newPuller(t, o)
			got, alive := p.pull()
			if !alive || got.Stuck || got.Reason != gitops.TLS {
				t.Fatalf("%+v", got)
			}
			for _, text := range append(c.text, "; ") {
				if !strings.Contains(got.Text, text) {
					t.Errorf("%q is not in %q", text, got.Text)
				}
			}
			good, err := authority.ServerFor(now.Add(-time.Hour), long, home)
			path.Lead(tlsServer(t, r.backend(), good, err).Listener.Addr().String())
			path.Sever()
			recovers(t, r, o, p, w.head)
		})
	}
}
