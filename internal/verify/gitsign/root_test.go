// SPDX-License-Identifier: Apache-2.0

package gitsign_test

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/github/smimesign/ietf-cms/oid"
	"github.com/github/smimesign/ietf-cms/protocol"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"github.com/edgeagent/edgeagent/internal/verify/gitsign"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

func TestSignaturesThatDoNotHold(t *testing.T) {
	i, elsewhere := sigstore.New(t), sigstore.New(t)
	another := func(signing sigstore.Signing, of string) protocol.Attributes {
		var out protocol.Attributes
		signing.CMS = func(d *protocol.SignedData) { out = d.SignerInfos[0].UnsignedAttrs }
		i.Sign(signing, []byte(of))
		return out
	}
	entered := func(change func(*sigstore.Entered)) sigstore.Signing {
		s := ann()
		s.Entered = change
		return s
	}
	sum := sha256.Sum256(payload())
	for name, c := range map[string]struct {
		by   *sigstore.Instance
		s    sigstore.Signing
		of   []byte // the payload that was signed, nil for the right one
		want string
	}{
		"instance that is not believed":  {by: elsewhere, s: ann(), want: "log"},
		"authority that had ended":       {by: sigstore.Until(t, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)), s: ann(), want: "leaf certificate"},
		"signed before the certificate":  {s: sigstore.Signing{Issuer: issuer, Subject: subject, After: -time.Second}, want: "outside certificate validity"},
		"signed after the certificate":   {s: sigstore.Signing{Issuer: issuer, Subject: subject, After: 10*time.Minute + time.Second}, want: "outside certificate validity"},
		"certificate that no log has":    {s: sigstore.Signing{Issuer: issuer, Subject: subject, Unpublished: true}, want: "certificate timestamp"},
		"another subject":                {s: sigstore.Signing{Issuer: issuer, Subject: "mallory@example.com"}, want: "mallory@example.com"},
		"another issuer":                 {s: sigstore.Signing{Issuer: "https://evil.example.com", Subject: subject}, want: "evil.example.com"},
		"entry of another commit":        {s: replaced(func() protocol.Attributes { return another(ann(), "another") }), want: "log"},
		"entry of the same content":      {s: replaced(func() protocol.Attributes { return another(ann(), string(payload())) }), want: "log"},
		"entry of another digest":        {s: entered(func(e *sigstore.Entered) { e.Artifact = []byte("another") }), want: "log"},
		"entry of another signature":     {s: entered(func(e *sigstore.Entered) { e.Signature = append([]byte{}, e.Signature...); e.Signature[8] ^= 1 }), want: "log"},
		"entry of another certificate":   {s: entered(func(e *sigstore.Entered) { e.Cert = i.Authority() }), want: "log"},
		"log's promise left out":         {s: entry(func(e *rekor.TransparencyLogEntry) { e.InclusionPromise = nil }), want: "timestamps"},
		"log's promise at another time":  {s: entry(func(e *rekor.TransparencyLogEntry) { e.IntegratedTime++ }), want: "log"},
		"log's proof left out":           {s: entry(func(e *rekor.TransparencyLogEntry) { e.InclusionProof = nil }), want: "inclusion proof"},
		"log's proof of another tree":    {s: entry(func(e *rekor.TransparencyLogEntry) { e.InclusionProof.Hashes[0][0] ^= 1 }), want: "log"},
		"log's proof without a signer":   {s: entry(unsignedCheckpoint), want: "log"},
		"entry of a log without an id":   {s: entry(func(e *rekor.TransparencyLogEntry) { e.LogId = nil }), want: "log entry"},
		"digest exchanged after signing": {of: []byte("another"), s: withCMS(func(d *protocol.SignedData) { attribute(oid.AttributeMessageDigest, sum[:])(&d.SignerInfos[0]) }), want: "log"},
		"digest exchanged and entered":   {of: []byte("another"), s: exchanged(sum[:]), want: "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			by, of := c.by, c.of
			if by == nil {
				by = i
			}
			if of == nil {
				of = payload()
			}
			s, err := gitsign.Parse(by.Sign(c.s, of), payload())
			if err != nil {
				t.Fatal(err)
			}
			root := i
			if by != elsewhere {
				root = by
			}
			err = rootOf(t, root).Verify(s, identity())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Verify: %v, want an error with %q", err, c.want)
			}
		})
	}
}

func withCMS(change func(*protocol.SignedData)) sigstore.Signing {
	s := ann()
	s.CMS = change
	return s
}

// replaced takes the log's entry of something else.
func replaced(by func() protocol.Attributes) sigstore.Signing {
	return withCMS(func(d *protocol.SignedData) { d.SignerInfos[0].UnsignedAttrs = by() })
}

// exchanged changes the signed digest, and has that entered in the log: only
// the signature itself tells.
func exchanged(digest []byte) sigstore.Signing {
	s := withCMS(func(d *protocol.SignedData) { attribute(oid.AttributeMessageDigest, digest)(&d.SignerInfos[0]) })
	s.Entered = func(e *sigstore.Entered) {
		at := strings.Index(string(e.Artifact), string([]byte{4, 32})) + 2
		artifact := append([]byte{}, e.Artifact...)
		copy(artifact[at:], digest)
		e.Artifact = artifact
	}
	return s
}

func unsignedCheckpoint(e *rekor.TransparencyLogEntry) {
	note, _, _ := strings.Cut(e.InclusionProof.Checkpoint.Envelope, "\n\n")
	e.InclusionProof.Checkpoint.Envelope = note + "\n\n"
}

func TestTrustedRootsThatDoNotParse(t *testing.T) {
	i := sigstore.New(t)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":                {nil, "unexpected token"},
		"empty":                  {[]byte("{}"), "media type"},
		"something else":         {[]byte("[]"), "unexpected token"},
		"unknown field":          {[]byte(strings.Replace(string(i.TrustedRoot()), `"tlogs"`, `"tlog"`, 1)), "unknown field"},
		"no authority":           {i.Without("authorities"), "no certificate authority"},
		"no log of certificates": {i.Without("certificates"), "no log of certificates"},
		"no log of signatures":   {i.Without("entries"), "no transparency log"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := gitsign.ParseRoot(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseRoot: %v, want an error with %q", err, c.want)
			}
		})
	}
}

// Whatever a flipped bit does to a signature: it is refused, or it is the same
// signature by the same certificate as before.
func TestFlippedBits(t *testing.T) {
	i := sigstore.New(t)
	der, root := i.Sign(ann(), payload()), rootOf(t, i)
	sound, err := gitsign.Parse(der, payload())
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for at := range der {
		flipped := append([]byte{}, der...)
		flipped[at] ^= 1 << (at % 8)
		s, err := gitsign.Parse(flipped, payload())
		if err != nil || root.Verify(s, s.Identity) != nil {
			continue
		}
		if held++; s.Identity != sound.Identity || s.Certificate != sound.Certificate {
			t.Errorf("byte %d flipped: signed by %+v with %s", at, s.Identity, s.Certificate)
		}
	}
	// What is outside of every signature: names of algorithms, versions.
	if held > len(der)/20 {
		t.Errorf("%d of %d flipped bytes changed nothing", held, len(der))
	}
	t.Logf("%d of %d flipped bytes changed nothing", held, len(der))
}
