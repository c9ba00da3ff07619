// SPDX-License-Identifier: Apache-2.0

package gitsign

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/github/smimesign/ietf-cms/protocol"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"google.golang.org/protobuf/proto"
)

// The kind of log entry that gitsign makes.
const (
	entryKind    = "hashedrekord"
	entryVersion = "0.0.1"
)

// logEntryAttribute is where gitsign puts the log's entry.
func logEntryAttribute() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 3, 1}
}

// logEntry reads the log's entry and puts the body in that it must have: what
// the log signed can only be about this signature, or about nothing that counts.
func (s Signature) logEntry(unsigned protocol.Attributes) (*rekor.TransparencyLogEntry, error) {
	if !unsigned.HasAttribute(logEntryAttribute()) {
		return nil, ErrNoEntry
	}
	value, err := unsigned.GetOnlyAttributeValueBytes(logEntryAttribute())
	if err != nil {
		return nil, fmt.Errorf("its log entry: %w", err)
	}
	var raw []byte
	if _, err := asn1.Unmarshal(value.FullBytes, &raw); err != nil {
		return nil, errors.New("its log entry is not a string of bytes")
	}
	entry := &rekor.TransparencyLogEntry{}
	if err := proto.Unmarshal(raw, entry); err != nil {
		return nil, fmt.Errorf("its log entry: %w", err)
	}
	if kind := entry.GetKindVersion(); kind.GetKind() != entryKind || kind.GetVersion() != entryVersion {
		return nil, fmt.Errorf("its log entry is a %q of version %q, not a %s of version %s: %w",
			kind.GetKind(), kind.GetVersion(), entryKind, entryVersion, ErrUnsupported)
	}
	entry.CanonicalizedBody, err = s.logBody()
	return entry, err
}

// logBody is the body that the log holds for this signature, as canonical JSON:
// the fields in the order of their names, and nothing in them that has more
// than one spelling.
func (s Signature) logBody() ([]byte, error) {
	cert, err := cryptoutils.MarshalCertificateToPEM(s.cert)
	if err != nil {
		return nil, err
	}
	type hash struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"value"`
	}
	type data struct {
		Hash hash `json:"hash"`
	}
	type publicKey struct {
		Content []byte `json:"content"`
	}
	type signature struct {
		Content   []byte    `json:"content"`
		PublicKey publicKey `json:"publicKey"`
	}
	type spec struct {
		Data      data      `json:"data"`
		Signature signature `json:"signature"`
	}
	sum := sha256.Sum256(s.attributes)
	return json.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
	}{entryVersion, entryKind, spec{
		data{hash{"sha256", hex.EncodeToString(sum[:])}},
		signature{s.value, publicKey{cert}},
	}})
}
