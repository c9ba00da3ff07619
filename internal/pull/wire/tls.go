// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"hash"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// tlsConfig is made from the files as they are now; the stamp changes when one
// of them does.
func tlsConfig(auth Auth, own bool) (*tls.Config, [sha256.Size]byte, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// A post-quantum key share would add 2.2 kB to each handshake: more than
		// the poll that follows.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		// A resumed session is not verified against caFile again: it must not
		// outlive the files, so it belongs to this configuration.
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	stamp := sha256.New()
	if auth.CAFile != "" {
		if err := trust(config, auth.CAFile, own, stamp); err != nil {
			return nil, [sha256.Size]byte{}, err
		}
	}
	if auth.ClientCertFile != "" {
		if err := identify(config, auth, stamp); err != nil {
			return nil, [sha256.Size]byte{}, err
		}
	}
	return config, [sha256.Size]byte(stamp.Sum(nil)), nil
}

// trust takes the authorities from a file. For our own server it says whom to
// trust, alone. A mirror elsewhere may have a public certificate.
func trust(config *tls.Config, file string, own bool, stamp hash.Hash) error {
	pem, err := readFile("caFile", file)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !own {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	// x509's own reader skips what it cannot parse: an authority with a broken
	// line would be missing without a word.
	certs, err := cryptoutils.LoadCertificatesFromPEM(bytes.NewReader(pem))
	if err != nil || len(certs) == 0 {
		return failed(gitops.TLS, "put PEM certificates into it", "read caFile %s: no certificate in it, or one that is broken", file)
	}
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	config.RootCAs = pool
	stamp.Write(pem)
	return nil
}

func identify(config *tls.Config, auth Auth, stamp hash.Hash) error {
	cert, err := readFile("clientCertFile", auth.ClientCertFile)
	if err != nil {
		return err
	}
	key, err := readSecret("clientKeyFile", auth.ClientKeyFile)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return failed(gitops.TLS, "check that certificate and key belong together",
			"read clientCertFile %s: %v", auth.ClientCertFile, err)
	}
	config.Certificates = []tls.Certificate{pair}
	stamp.Write(cert)
	stamp.Write(key)
	return nil
}
