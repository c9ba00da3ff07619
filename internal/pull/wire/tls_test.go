// SPDX-License-Identifier: Apache-2.0

package wire_test

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
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
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

// serve puts a server behind TLS with the certificate.
func (a *authority) serve(h http.Handler, cert tls.Certificate, change func(*tls.Config)) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	change(srv.TLS)
	srv.StartTLS()
	a.t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv
}

func plain(*tls.Config) {}

func valid(*x509.Certificate) {}

func TestTLS(t *testing.T) {
	f := newFleet(t)
	a := newAuthority(t)
	past, future := time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour)
	cases := []struct {
		name   string
		cert   func(*x509.Certificate)
		change func(*tls.Config)
		ca     string
		reason gitops.Reason
		text   []string
	}{
		{name: "trusted", cert: valid, ca: a.caFile()},
		{name: "over HTTP/2", cert: valid, ca: a.caFile(), change: func(c *tls.Config) { c.NextProtos = []string{"h2"} }},
		{name: "unknown authority", cert: valid, reason: gitops.TLS, text: []string{"caFile"}},
		{name: "another authority", cert: valid, ca: newAuthority(t).caFile(), reason: gitops.TLS, text: []string{"caFile"}},
		{name: "expired", ca: a.caFile(), reason: gitops.TLS,
			cert: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past, past.Add(time.Hour) },
			text: []string{past.Add(time.Hour).UTC().Format(time.RFC3339), "2001-02-03T04:05:06Z", "clock"}},
		{name: "not valid yet", ca: a.caFile(), reason: gitops.TLS,
			cert: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = future, future.Add(time.Hour) },
			text: []string{future.UTC().Format(time.RFC3339), "2001-02-03T04:05:06Z", "clock"}},
		{name: "another host", ca: a.caFile(), reason: gitops.TLS,
			cert: func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }, text: []string{"10.0.0.1"}},
		{name: "an old version of TLS", cert: valid, ca: a.caFile(), reason: gitops.TLS, change: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }},
		{name: "caFile without a certificate", cert: valid, ca: a.file("x.pem", "JUNK", nil), reason: gitops.TLS},
		{name: "caFile missing", cert: valid, ca: "/nonexistent/ca.pem", reason: gitops.Auth},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.change == nil {
				c.change = plain
			}
			cfg := config(t, a.serve(f.backend(), a.issue(c.cert), c.change).URL+"/fleet.git")
			cfg.Auth.CAFile = c.ca
			cfg.Now = func() time.Time { return time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) }
			cl := open(t, cfg)
			if c.reason == "" {
				if poll(t, cl) != f.hash("main") {
					t.Fatal("another head")
				}
				return
			}
			_, err := cl.Refs(t.Context(), mainOnly)
			wantReason(t, err, c.reason)
			wantText(t, err, c.text...)
		})
	}
	t.Run("the server does not speak TLS", func(t *testing.T) {
		cfg := config(t, strings.Replace(serve(t, f.backend()).URL, "http:", "https:", 1)+"/fleet.git")
		_, err := open(t, cfg).Refs(t.Context(), mainOnly)
		wantReason(t, err, gitops.TLS)
	})
	t.Run("a mirror may have a certificate of the system's authorities too", func(t *testing.T) {
		cfg := config(t, a.serve(f.backend(), a.issue(valid), plain).URL+"/fleet.git")
		cfg.Auth.CAFile, cfg.Own = a.caFile(), false
		poll(t, open(t, cfg))
	})
}

// write makes files of a client certificate.
func (a *authority) write(leaf tls.Certificate) (cert, keyFile string) {
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.file("client.pem", "CERTIFICATE", leaf.Certificate[0]), a.file("client.key", "PRIVATE KEY", key)
}

func TestClientCertificateIsReadAtEachRequest(t *testing.T) {
	f := newFleet(t)
	a := newAuthority(t)
	srv := a.serve(f.backend(), a.issue(valid), func(c *tls.Config) {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AddCert(a.cert)
	})
	cfg := config(t, srv.URL+"/fleet.git")
	cfg.Auth.CAFile = a.caFile()
	_, err := open(t, cfg).Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.TLS)

	cfg.Auth.ClientCertFile, cfg.Auth.ClientKeyFile = a.write(newAuthority(t).issue(valid))
	c := open(t, cfg)
	_, err = c.Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.TLS)
	a.write(a.issue(valid))
	if poll(t, c) != f.hash("main") {
		t.Fatal("another head")
	}
	if err := os.Chmod(cfg.Auth.ClientKeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = c.Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.Auth)
	wantText(t, err, "chmod 600")
}

// TestAChangedCAFileHoldsForResumedSessionsToo: who resumes a session does not
// look at the certificate's authority again.
func TestAChangedCAFileHoldsForResumedSessionsToo(t *testing.T) {
	f := newFleet(t)
	a := newAuthority(t)
	cfg := config(t, a.serve(f.backend(), a.issue(valid), plain).URL+"/fleet.git")
	cfg.Auth.CAFile = a.caFile()
	c := open(t, cfg)
	poll(t, c)
	if err := os.WriteFile(cfg.Auth.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newAuthority(t).cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := c.Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.TLS)
}
