// SPDX-License-Identifier: Apache-2.0

package sigstore

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// lifetime is how long a certificate is valid.
const lifetime = 10 * time.Minute

// certificate has the authority vouch for a subject, and publishes that.
func (i *Instance) certificate(s Signing, key *ecdsa.PublicKey) *x509.Certificate {
	i.t.Helper()
	issuer, err := asn1.MarshalWithParams(s.Issuer, "utf8")
	if err != nil {
		i.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(s.Issued.UnixNano()), NotBefore: s.Issued, NotAfter: s.Issued.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if s.Issuer != "" {
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}}
	}
	if strings.Contains(s.Subject, "://") {
		uri, err := url.Parse(s.Subject)
		if err != nil {
			i.t.Fatal(err)
		}
		template.URIs = []*url.URL{uri}
	} else if s.Subject != "" {
		template.EmailAddresses = []string{s.Subject}
	}
	unpublished := certify(i.t, template, i.intermediate, key, i.issuing)
	if s.Unpublished {
		return unpublished
	}
	template.ExtraExtensions = append(template.ExtraExtensions, i.publish(unpublished))
	return certify(i.t, template, i.intermediate, key, i.issuing)
}

// publish is the log's promise about a certificate (RFC 6962 §3.2), as the
// extension that is put into it.
func (i *Instance) publish(cert *x509.Certificate) pkix.Extension {
	i.t.Helper()
	issuer := sha256.Sum256(i.intermediate.RawSubjectPublicKeyInfo)
	at := binary.BigEndian.AppendUint64(nil, uint64(cert.NotBefore.UnixMilli()))
	length := binary.BigEndian.AppendUint32(nil, uint32(len(cert.RawTBSCertificate)))[1:]
	signed := join([]byte{0, 0}, at, []byte{0, 1}, issuer[:], length, cert.RawTBSCertificate, []byte{0, 0})
	sig := i.sign(i.certificates, signed)

	_, id := i.publicKey(i.certificates)
	promise := join([]byte{0}, id, at, []byte{0, 0, 4, 3}, short(sig)) // 4, 3: ECDSA with SHA-256
	value, err := asn1.Marshal(short(short(promise)))
	if err != nil {
		i.t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value}
}

// short is data behind its length in two bytes.
func short(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
