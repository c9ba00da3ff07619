// SPDX-License-Identifier: Apache-2.0

package gitsign_test

import (
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/github/smimesign/ietf-cms/oid"
	"github.com/github/smimesign/ietf-cms/protocol"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/edgeagent/edgeagent/internal/verify/gitsign"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

const (
	issuer  = "https://accounts.example.com"
	subject = "ann@example.com"
)

func ann() sigstore.Signing { return sigstore.Signing{Issuer: issuer, Subject: subject} }

func identity() gitsign.Identity { return gitsign.Identity{Issuer: issuer, Subject: subject} }

func payload() []byte { return []byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n") }

func rootOf(t *testing.T, i *sigstore.Instance) *gitsign.Root {
	t.Helper()
	r, err := gitsign.ParseRoot(i.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Names are not even looked up: whatever would ask the network ends here.
func TestSignaturesHoldWithoutANetwork(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		t.Errorf("a name is looked up at %s", address)
		return nil, errors.New("no network")
	}}
	i := sigstore.New(t)
	for name, signing := range map[string]sigstore.Signing{
		"a person":       ann(),
		"a workflow":     {Issuer: "https://token.example.com", Subject: "https://git.example.com/fleet/.github/workflows/release.yaml@refs/heads/main"},
		"at once":        {Issuer: issuer, Subject: subject, After: time.Second},
		"at last":        {Issuer: issuer, Subject: subject, After: 10 * time.Minute},
		"two years back": {Issuer: issuer, Subject: subject, Issued: time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := gitsign.Parse(i.Sign(signing, payload()), payload())
			if err != nil {
				t.Fatal(err)
			}
			want := gitsign.Identity{Issuer: signing.Issuer, Subject: signing.Subject}
			if s.Identity != want || !strings.HasPrefix(s.Certificate, "SHA256:") {
				t.Errorf("signed by %+v with %s, want %+v", s.Identity, s.Certificate, want)
			}
			if err := rootOf(t, i).Verify(s, want); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSignaturesThatDoNotParse(t *testing.T) {
	i := sigstore.New(t)
	cms := func(change func(*protocol.SignedData)) sigstore.Signing {
		s := ann()
		s.CMS = change
		return s
	}
	signer := func(change func(*protocol.SignerInfo)) sigstore.Signing {
		return cms(func(d *protocol.SignedData) { change(&d.SignerInfos[0]) })
	}
	online := ann()
	online.Online = true
	for name, c := range map[string]struct {
		signing sigstore.Signing
		after   func([]byte) []byte
		kind    error // what errors.Is says, nil for neither
		want    string
	}{
		"log entry left out":      {signing: online, kind: gitsign.ErrNoEntry, want: "no entry"},
		"no subject":              {signing: sigstore.Signing{Issuer: issuer}, kind: gitsign.ErrUnsupported, want: "Subject Alternative Name"},
		"no issuer":               {signing: sigstore.Signing{Subject: subject}, kind: gitsign.ErrUnsupported, want: "who vouched"},
		"two signers":             {signing: cms(func(d *protocol.SignedData) { d.SignerInfos = append(d.SignerInfos, d.SignerInfos[0]) }), want: "2 signers"},
		"no signer":               {signing: cms(func(d *protocol.SignedData) { d.SignerInfos = nil }), want: "0 signers"},
		"certificate of another":  {signing: cms(func(d *protocol.SignedData) { d.Certificates = nil }), want: "no certificate"},
		"content of its own":      {signing: cms(bringContent), want: "own content"},
		"content of another kind": {signing: cms(func(d *protocol.SignedData) { d.EncapContentInfo.EContentType = oid.ContentTypeSignedData }), want: "plain data"},
		"signed for another kind": {signing: signer(attribute(oid.AttributeContentType, oid.ContentTypeSignedData)), want: "something else"},
		"digest by SHA-1": {signing: signer(func(s *protocol.SignerInfo) {
			s.DigestAlgorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}}
		}), kind: gitsign.ErrUnsupported, want: "SHA-256"},
		"digest of another content":      {signing: signer(attribute(oid.AttributeMessageDigest, make([]byte, 32))), want: "another content"},
		"two digests":                    {signing: signer(twice(oid.AttributeMessageDigest)), want: "its digest"},
		"two content types":              {signing: signer(twice(oid.AttributeContentType)), want: "its content type"},
		"no signed attributes":           {signing: signer(func(s *protocol.SignerInfo) { s.SignedAttrs = nil }), want: "its content type"},
		"two log entries":                {signing: signer(func(s *protocol.SignerInfo) { s.UnsignedAttrs = append(s.UnsignedAttrs, s.UnsignedAttrs...) }), want: "its log entry"},
		"log entry that is a number":     {signing: signer(unsigned(7)), want: "not a string of bytes"},
		"log entry that is no structure": {signing: signer(unsigned([]byte{0xff})), want: "its log entry"},
		"log entry of another kind":      {signing: entry(func(e *rekor.TransparencyLogEntry) { e.KindVersion.Kind = "intoto" }), kind: gitsign.ErrUnsupported, want: "intoto"},
		"log entry of no kind":           {signing: entry(func(e *rekor.TransparencyLogEntry) { e.KindVersion = nil }), kind: gitsign.ErrUnsupported, want: "hashedrekord"},
		"bytes behind it":                {signing: ann(), after: func(der []byte) []byte { return append(der, 0) }, want: "bytes follow"},
		"nothing":                        {signing: ann(), after: func([]byte) []byte { return nil }, want: "asn1"},
		"junk":                           {signing: ann(), after: func([]byte) []byte { return []byte("\x30\x80junk") }, want: "asn1"},
		"another structure":              {signing: ann(), after: func([]byte) []byte { return []byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01") }, want: "asn1"},
		"too much":                       {signing: ann(), after: func([]byte) []byte { return make([]byte, 1<<20) }, want: "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			der := i.Sign(c.signing, payload())
			if c.after != nil {
				der = c.after(der)
			}
			_, err := gitsign.Parse(der, payload())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Parse: %v, want an error with %q", err, c.want)
			}
			if c.kind != nil && !errors.Is(err, c.kind) || c.kind == nil && errors.Is(err, gitsign.ErrUnsupported) {
				t.Errorf("%v is of the wrong kind, want %v", err, c.kind)
			}
		})
	}
}

func bringContent(d *protocol.SignedData) {
	with, err := protocol.NewDataEncapsulatedContentInfo(payload())
	if err != nil {
		panic(err)
	}
	d.EncapContentInfo = with
}

// attribute replaces a signed attribute, after it was signed.
func attribute(kind asn1.ObjectIdentifier, value any) func(*protocol.SignerInfo) {
	return func(s *protocol.SignerInfo) {
		for i, a := range s.SignedAttrs {
			if a.Type.Equal(kind) {
				s.SignedAttrs[i] = newAttribute(kind, value)
			}
		}
	}
}

// twice repeats a signed attribute.
func twice(kind asn1.ObjectIdentifier) func(*protocol.SignerInfo) {
	return func(s *protocol.SignerInfo) {
		for _, a := range s.SignedAttrs {
			if a.Type.Equal(kind) {
				s.SignedAttrs = append(s.SignedAttrs, a)
			}
		}
	}
}

// unsigned replaces the attribute that holds the log's entry.
func unsigned(value any) func(*protocol.SignerInfo) {
	return func(s *protocol.SignerInfo) {
		s.UnsignedAttrs = protocol.Attributes{newAttribute(s.UnsignedAttrs[0].Type, value)}
	}
}

func newAttribute(kind asn1.ObjectIdentifier, value any) protocol.Attribute {
	a, err := protocol.NewAttribute(kind, value)
	if err != nil {
		panic(err)
	}
	return a
}

// entry changes the log's entry after the log signed it.
func entry(change func(*rekor.TransparencyLogEntry)) sigstore.Signing {
	s := ann()
	s.Entry = change
	return s
}
