// SPDX-License-Identifier: Apache-2.0

package gitsign

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/github/smimesign/ietf-cms/oid"
	"github.com/github/smimesign/ietf-cms/protocol"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// maxSignature bounds a signature. One with its log entry has two kilobytes.
const maxSignature = 64 << 10

// ErrUnsupported says that a signature may be sound, and that nothing here can
// tell.
var ErrUnsupported = errors.New("not supported")

// ErrNoEntry says that the log's entry is not in the signature: gitsign leaves
// it out unless it is told otherwise, and then only the log itself can tell.
var ErrNoEntry = fmt.Errorf("it holds no entry of the transparency log: %w", ErrUnsupported)

// Identity is a person or a machine as an issuer of tokens vouches for it.
type Identity struct {
	Issuer  string // such as https://accounts.google.com
	Subject string // an address, or the URI of a workflow
}

// Signature is a signature over the payload that it was parsed with.
type Signature struct {
	// Identity is what the certificate says. It is a claim until Root.Verify.
	Identity Identity
	// Certificate is its fingerprint, "SHA256:…".
	Certificate string

	cert       *x509.Certificate
	attributes []byte // what the key signed: the digest of the payload is in it
	value      []byte
	entry      *rekor.TransparencyLogEntry
}

// Parse reads a CMS signature in DER over a payload that stands outside of it.
// It compares the payload's digest with the signed one and verifies nothing
// else.
func Parse(der, payload []byte) (Signature, error) {
	data, err := parseSignedData(der)
	if err != nil {
		return Signature{}, err
	}
	signer := data.SignerInfos[0]
	if err := binds(signer, payload); err != nil {
		return Signature{}, err
	}
	s := Signature{value: signer.Signature}
	if s.attributes, err = signer.SignedAttrs.MarshaledForVerification(); err != nil {
		return Signature{}, err
	}
	certs, err := data.X509Certificates()
	if err != nil {
		return Signature{}, err
	}
	if s.cert, err = signer.FindCertificate(certs); err != nil {
		return Signature{}, err
	}
	sum := sha256.Sum256(s.cert.Raw)
	s.Certificate = "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
	summary, err := certificate.SummarizeCertificate(s.cert)
	if err != nil {
		return Signature{}, fmt.Errorf("its certificate: %w: %w", err, ErrUnsupported)
	}
	s.Identity = Identity{Issuer: summary.Issuer, Subject: summary.SubjectAlternativeName}
	if s.Identity.Issuer == "" {
		return Signature{}, fmt.Errorf("its certificate does not say who vouched for its subject: %w", ErrUnsupported)
	}
	s.entry, err = s.logEntry(signer.UnsignedAttrs)
	return s, err
}

// parseSignedData reads the outer structure. The library's own reader would
// first turn BER into DER, by a recursion without a limit; gitsign writes DER.
func parseSignedData(der []byte) (*protocol.SignedData, error) {
	if len(der) > maxSignature {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(der), maxSignature)
	}
	var content protocol.ContentInfo
	rest, err := asn1.Unmarshal(der, &content)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errors.New("bytes follow it")
	}
	data, err := content.SignedDataContent()
	switch {
	case err != nil:
		return nil, err
	case len(data.SignerInfos) != 1:
		return nil, fmt.Errorf("it has %d signers, not one", len(data.SignerInfos))
	case !data.EncapContentInfo.IsTypeData():
		return nil, errors.New("it is not over plain data")
	case len(data.EncapContentInfo.EContent.FullBytes) > 0:
		return nil, errors.New("it brings its own content along")
	}
	return data, nil
}

// binds compares what was signed with the payload. Sigstore's verifier sees the
// signed attributes only, and so cannot.
func binds(signer protocol.SignerInfo, payload []byte) error {
	if algorithm := signer.DigestAlgorithm.Algorithm; !algorithm.Equal(oid.DigestAlgorithmSHA256) {
		return fmt.Errorf("its digest is of kind %s, not SHA-256: %w", algorithm, ErrUnsupported)
	}
	kind, err := signer.GetContentTypeAttribute()
	if err != nil {
		return fmt.Errorf("its content type: %w", err)
	}
	if !kind.Equal(oid.ContentTypeData) {
		return errors.New("it signs something else than plain data")
	}
	digest, err := signer.GetMessageDigestAttribute()
	if err != nil {
		return fmt.Errorf("its digest: %w", err)
	}
	if sum := sha256.Sum256(payload); !bytes.Equal(digest, sum[:]) {
		return errors.New("it was made for another content")
	}
	return nil
}
