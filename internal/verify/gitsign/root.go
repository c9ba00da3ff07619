// SPDX-License-Identifier: Apache-2.0

package gitsign

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// bundleType is the one kind of bundle that signatures are put into for
// Sigstore's verifier.
const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// Root is an instance of Sigstore: its authorities, and its logs. It does not
// change, and may be used by several goroutines.
type Root struct {
	verifier *verify.Verifier
}

// ParseRoot reads a trusted_root.json, as Sigstore publishes it.
func ParseRoot(data []byte) (*Root, error) {
	trusted, err := root.NewTrustedRootFromJSON(data)
	if err != nil {
		return nil, err
	}
	switch {
	case len(trusted.FulcioCertificateAuthorities()) == 0:
		return nil, errors.New("it names no certificate authority")
	case len(trusted.RekorLogs()) == 0:
		return nil, errors.New("it names no transparency log (tlogs)")
	case len(trusted.CTLogs()) == 0:
		return nil, errors.New("it names no log of certificates (ctlogs)")
	}
	// All three are asked for: that the certificate was published, that the
	// signature was, and when.
	verifier, err := verify.NewVerifier(trusted,
		verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return nil, err
	}
	return &Root{verifier: verifier}, nil
}

// Verify decides whether this identity made the signature, in this instance of
// Sigstore, while its certificate was valid.
func (r *Root) Verify(s Signature, id Identity) error {
	who, err := verify.NewShortCertificateIdentity(id.Issuer, "", id.Subject, "")
	if err != nil {
		return err
	}
	b, err := s.bundle()
	if err != nil {
		return fmt.Errorf("its log entry: %w", err)
	}
	_, err = r.verifier.Verify(b, verify.NewPolicy(
		verify.WithArtifact(bytes.NewReader(s.attributes)), verify.WithCertificateIdentity(who)))
	return err
}

func (s Signature) bundle() (*bundle.Bundle, error) {
	sum := sha256.Sum256(s.attributes)
	return bundle.NewBundle(&bundlepb.Bundle{
		MediaType: bundleType,
		VerificationMaterial: &bundlepb.VerificationMaterial{
			Content:     &bundlepb.VerificationMaterial_Certificate{Certificate: &common.X509Certificate{RawBytes: s.cert.Raw}},
			TlogEntries: []*rekor.TransparencyLogEntry{s.entry},
		},
		Content: &bundlepb.Bundle_MessageSignature{MessageSignature: &common.MessageSignature{
			MessageDigest: &common.HashOutput{Algorithm: common.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     s.value,
		}},
	})
}
