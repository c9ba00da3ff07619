// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/github/smimesign/ietf-cms/protocol"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/proto"
)

const logName = "entries.sigstore.test"

// Signing says who signs, when, and what goes wrong.
type Signing struct {
	Issuer, Subject string
	Issued          time.Time     // of the certificate; 2026-01-01 when it is not set
	After           time.Duration // how much later the log has the entry; a minute when it is not set
	Unpublished     bool          // the certificate is in no log
	Online          bool          // the entry is left out

	// Entered changes what the log is told of, after the signature was made.
	Entered func(*Entered)
	// Entry changes the log's entry.
	Entry func(*rekor.TransparencyLogEntry)
	// CMS changes the structure before it is written.
	CMS func(*protocol.SignedData)
}

// Entered is what an entry of the log is about.
type Entered struct {
	Artifact, Signature []byte
	Cert                *x509.Certificate
}

// Armored signs as gitsign does, and writes as Git wants it.
func (i *Instance) Armored(s Signing, payload []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "SIGNED MESSAGE", Bytes: i.Sign(s, payload)}))
}

// Sign signs as gitsign does.
func (i *Instance) Sign(s Signing, payload []byte) []byte {
	i.t.Helper()
	if s.Issued.IsZero() {
		s.Issued = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if s.After == 0 {
		s.After = time.Minute
	}
	key := newKey(i.t)
	cert := i.certificate(s, &key.PublicKey)
	data := i.signedData(payload, cert, key)
	if !s.Online {
		attributes, err := data.SignerInfos[0].SignedAttrs.MarshaledForVerification()
		if err != nil {
			i.t.Fatal(err)
		}
		entered := Entered{Artifact: attributes, Signature: data.SignerInfos[0].Signature, Cert: cert}
		if s.Entered != nil {
			s.Entered(&entered)
		}
		data.SignerInfos[0].UnsignedAttrs = i.attribute(s, entered)
	}
	if s.CMS != nil {
		s.CMS(data)
	}
	der, err := data.ContentInfoDER()
	if err != nil {
		i.t.Fatal(err)
	}
	return der
}

func (i *Instance) signedData(payload []byte, cert *x509.Certificate, key *ecdsa.PrivateKey) *protocol.SignedData {
	i.t.Helper()
	content, err := protocol.NewDataEncapsulatedContentInfo(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	data, err := protocol.NewSignedData(content)
	if err == nil {
		err = data.AddSignerInfo([]*x509.Certificate{cert}, key)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	data.EncapContentInfo.EContent = asn1.RawValue{}
	return data
}

// attribute is the log's entry as gitsign stores it: without the body, which
// stands in the signature already.
func (i *Instance) attribute(s Signing, e Entered) protocol.Attributes {
	i.t.Helper()
	entry := i.enter(e, s.Issued.Add(s.After))
	entry.CanonicalizedBody = nil
	if s.Entry != nil {
		s.Entry(entry)
	}
	raw, err := proto.Marshal(entry)
	if err != nil {
		i.t.Fatal(err)
	}
	attribute, err := protocol.NewAttribute(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 3, 1}, raw)
	if err != nil {
		i.t.Fatal(err)
	}
	return protocol.Attributes{attribute}
}

// enter puts an entry into the log, beside one other.
func (i *Instance) enter(e Entered, at time.Time) *rekor.TransparencyLogEntry {
	i.t.Helper()
	const index, treeID = 0, 2605736670972794746
	digest := sha256.Sum256(e.Artifact)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Cert.Raw})
	body := fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},`+
		`"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`, digest, b64(e.Signature), b64(cert))
	_, id := i.publicKey(i.entries)
	promised := fmt.Sprintf(`{"body":"%s","integratedTime":%d,"logID":"%s","logIndex":%d}`, b64([]byte(body)), at.Unix(), hex.EncodeToString(id), index)

	leaf := sha256.Sum256(append([]byte{0}, body...))
	other := sha256.Sum256([]byte("\x00another entry"))
	top := sha256.Sum256(join([]byte{1}, leaf[:], other[:]))
	note := fmt.Sprintf("%s - %d\n2\n%s\n", logName, treeID, b64(top[:]))
	checkpoint := note + "\n— " + logName + " " + b64(append(id[:4:4], i.sign(i.entries, []byte(note))...)) + "\n"
	return &rekor.TransparencyLogEntry{
		LogIndex: index, LogId: &common.LogId{KeyId: id}, IntegratedTime: at.Unix(),
		KindVersion:      &rekor.KindVersion{Kind: "hashedrekord", Version: "0.0.1"},
		InclusionPromise: &rekor.InclusionPromise{SignedEntryTimestamp: i.sign(i.entries, []byte(promised))},
		InclusionProof: &rekor.InclusionProof{
			LogIndex: index, TreeSize: 2, RootHash: top[:], Hashes: [][]byte{other[:]},
			Checkpoint: &rekor.Checkpoint{Envelope: checkpoint},
		},
		CanonicalizedBody: []byte(body),
	}
}

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }
