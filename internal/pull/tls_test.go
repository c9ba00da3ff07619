// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) issue(change func(*x509.Certificate)) tls.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(tmpl)
	key := a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) file(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func (a *authority) caFile() string { return a.file("ca.pem", "CERTIFICATE", a.cert.Raw) }

// serve is Git's server behind TLS with the certificate.
func (a *authority) serve(r *repo, cert tls.Certificate, change func(*tls.Config)) *httptest.Server {
	srv := httptest.NewUnstartedServer(r.backend())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	change(srv.TLS)
	srv.StartTLS()
	a.t.Cleanup(srv.Close)
	return srv
}

func TestTLS(t *testing.T) {
	r, head := small(t, 1)
	a := newAuthority(t)
	plain := func(*tls.Config) {}
	past, future := time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour)
	cases := []struct {
		name   string
		cert   func(*x509.Certificate)
		ca     string
		reason gitops.Reason
		text   []string
	}{
		{name: "trusted", cert: func(*x509.Certificate) {}, ca: a.caFile()},
		{name: "unknown authority", cert: func(*x509.Certificate) {}, reason: gitops.TLS, text: []string{"caFile"}},
		{name: "expired", ca: a.caFile(), reason: gitops.TLS,
			cert: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past, past.Add(time.Hour) },
			text: []string{past.Add(time.Hour).UTC().Format(time.RFC3339), "2001-02-03T04:05:06Z", "clock"}},
		{name: "not valid yet", ca: a.caFile(), reason: gitops.TLS,
			cert: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = future, future.Add(time.Hour) },
			text: []string{future.UTC().Format(time.RFC3339), "2001-02-03T04:05:06Z", "clock"}},
		{name: "another host", ca: a.caFile(), reason: gitops.TLS,
			cert: func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }, text: []string{"10.0.0.1"}},
		{name: "caFile without a certificate", cert: func(*x509.Certificate) {}, ca: a.file("x.pem", "JUNK", nil), reason: gitops.TLS},
		{name: "caFile missing", cert: func(*x509.Certificate) {}, ca: "/nonexistent/ca.pem", reason: gitops.Auth},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(a.serve(r, a.issue(c.cert), plain).URL)
			cfg.Insecure = false
			cfg.Auth.CAFile = c.ca
			cfg.Now = func() time.Time { return time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) }
			commit, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
			if c.reason == "" {
				if err != nil || commit.Revision.Hash() != head {
					t.Fatal(commit, err)
				}
				return
			}
			wantReason(t, err, c.reason)
			for _, text := range c.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in %q", text, err)
				}
			}
		})
	}
	t.Run("the server does not speak TLS", func(t *testing.T) {
		cfg := config(strings.Replace(r.serve().URL, "http:", "https:", 1))
		_, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
		wantReason(t, err, gitops.TLS)
	})
}

func TestClientCertificateIsReadAtEachPoll(t *testing.T) {
	r, head := small(t, 1)
	a := newAuthority(t)
	srv := a.serve(r, a.issue(func(*x509.Certificate) {}), func(c *tls.Config) {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AddCert(a.cert)
	})
	cfg := config(srv.URL)
	cfg.Auth.CAFile = a.caFile()
	_, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.TLS)

	write := func(leaf tls.Certificate) {
		key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Auth.ClientCertFile = a.file("client.pem", "CERTIFICATE", leaf.Certificate[0])
		cfg.Auth.ClientKeyFile = a.file("client.key", "PRIVATE KEY", key)
	}
	write(newAuthority(t).issue(func(*x509.Certificate) {}))
	s := newSource(t, cfg, openStore(t, objects.Options{}))
	_, err = s.Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.TLS)
	write(a.issue(func(*x509.Certificate) {}))
	if c := mustPoll(t, s); c.Revision.Hash() != head {
		t.Fatal(c)
	}
	before := s.Link().BytesIn
	mustPoll(t, s)
	t.Logf("one idle poll over TLS: %d bytes in", s.Link().BytesIn-before)
	if n := s.Link().BytesIn - before; n > 1000 {
		t.Errorf("an idle poll took %d bytes: the connection was not used again", n)
	}
	if err := os.Chmod(cfg.Auth.ClientKeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = s.Commits(t.Context(), gitops.PollRequest{})
	wantReason(t, err, gitops.Auth)
	if !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}
