// SPDX-License-Identifier: Apache-2.0

// Package sigstore owns a private instance of Sigstore for tests: an authority
// that hands out short certificates, the log in which they are published, the
// log in which signatures are entered, and what gitsign makes of all three. It
// never uses the network, and no test may be let through by its keys alone: what
// it makes goes through the same verifier as the public instance's.
package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Instance is one Sigstore. Two of them do not know each other.
type Instance struct {
	t            testing.TB
	root         *x509.Certificate
	intermediate *x509.Certificate
	issuing      *ecdsa.PrivateKey // of the intermediate
	certificates *ecdsa.PrivateKey // signs the log of certificates
	entries      *ecdsa.PrivateKey // signs the log of signatures
}

// Epoch is when an instance begins, and Years is how long it lasts.
func epoch() time.Time { return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) }

const years = 10

// New makes an instance that works from 2024 on for ten years.
func New(t testing.TB) *Instance { return Until(t, epoch().AddDate(years, 0, 0)) }

// Until makes one whose authority ends at a time; its logs go on.
func Until(t testing.TB, end time.Time) *Instance {
	t.Helper()
	rootKey := newKey(t)
	i := &Instance{t: t, issuing: newKey(t), certificates: newKey(t), entries: newKey(t)}
	i.root = authority(t, "root", end, nil, rootKey, &rootKey.PublicKey)
	i.intermediate = authority(t, "intermediate", end, i.root, rootKey, &i.issuing.PublicKey)
	return i
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func authority(t testing.TB, name string, end time.Time, parent *x509.Certificate, signer crypto.Signer, key *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{Organization: []string{"sigstore.test"}, CommonName: name},
		NotBefore: epoch(), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if parent == nil {
		parent = template
	}
	return certify(t, template, parent, key, signer)
}

func certify(t testing.TB, template, parent *x509.Certificate, key *ecdsa.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TrustedRoot is the instance's trusted_root.json.
func (i *Instance) TrustedRoot() []byte {
	i.t.Helper()
	out, err := protojson.Marshal(i.trustedRoot())
	if err != nil {
		i.t.Fatal(err)
	}
	return out
}

// Without is a trusted_root.json that lacks one of its parts: authorities,
// certificates or entries.
func (i *Instance) Without(part string) []byte {
	i.t.Helper()
	r := i.trustedRoot()
	switch part {
	case "authorities":
		r.CertificateAuthorities = nil
	case "certificates":
		r.Ctlogs = nil
	case "entries":
		r.Tlogs = nil
	default:
		i.t.Fatalf("a trusted root has no %s", part)
	}
	out, err := protojson.Marshal(r)
	if err != nil {
		i.t.Fatal(err)
	}
	return out
}

func (i *Instance) trustedRoot() *trustroot.TrustedRoot {
	log := func(name string, key *ecdsa.PrivateKey) []*trustroot.TransparencyLogInstance {
		der, id := i.publicKey(key)
		return []*trustroot.TransparencyLogInstance{{
			BaseUrl: "https://" + name, HashAlgorithm: common.HashAlgorithm_SHA2_256, LogId: &common.LogId{KeyId: id},
			PublicKey: &common.PublicKey{
				RawBytes: der, KeyDetails: common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
				ValidFor: &common.TimeRange{Start: timestamppb.New(epoch())},
			},
		}}
	}
	return &trustroot.TrustedRoot{
		MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		Tlogs:     log(logName, i.entries),
		Ctlogs:    log("certificates.sigstore.test", i.certificates),
		CertificateAuthorities: []*trustroot.CertificateAuthority{{
			Uri: "https://authority.sigstore.test", ValidFor: &common.TimeRange{Start: timestamppb.New(epoch())},
			CertChain: &common.X509CertificateChain{Certificates: []*common.X509Certificate{
				{RawBytes: i.intermediate.Raw}, {RawBytes: i.root.Raw},
			}},
		}},
	}
}

// publicKey is a key as logs publish it, and the log's id that follows from it.
func (i *Instance) publicKey(key *ecdsa.PrivateKey) (der, id []byte) {
	i.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		i.t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return der, sum[:]
}

func (i *Instance) sign(key *ecdsa.PrivateKey, data []byte) []byte {
	i.t.Helper()
	sum := sha256.Sum256(data)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		i.t.Fatal(err)
	}
	return sig
}

// Authority is the certificate of the authority.
func (i *Instance) Authority() *x509.Certificate { return i.intermediate }
