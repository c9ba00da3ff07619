// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// pgpKeys are the keys of an OpenPGP key file.
type pgpKeys struct {
	path string
	keys []pgpKey
}

// checkOpenPGP verifies an OpenPGP signature. It does not use the library's
// CheckDetachedSignature: that judges every key at one time of the caller's and
// stops at its first complaint, whereas here expiry is judged at the moment,
// revocation at all times, and a slow clock refuses no key as not yet made.
func (k ring) checkOpenPGP(s signed, at moment, revoked revocations) (signer, error) {
	sig, err := parseOpenPGPSignature(s)
	if err != nil {
		return signer{}, err
	}
	key, err := k.pgp.find(s, sig)
	if err != nil {
		issuer := issuerOf(sig)
		if by := revoked.openPGP(issuer); by != "" {
			return signer{}, keyRevoked(s.what, "OpenPGP key "+issuer, by)
		}
		return signer{}, err
	}
	return authoriseOpenPGP(s, sig, key, at, revoked)
}

// authoriseOpenPGP decides whether the key that made the signature may sign.
func authoriseOpenPGP(s signed, sig *packet.Signature, key pgpKey, at moment, revoked revocations) (signer, error) {
	name := "OpenPGP key " + key.fingerprint
	by := revoked.openPGP(key.fingerprint, key.primary)
	switch {
	case by != "":
		return signer{}, keyRevoked(s.what, name, by)
	case key.revoked:
		return signer{}, refusal(gitops.KeyRevoked, "have the commit made anew and signed by a key that is not revoked",
			"%s is signed by %s (%s), which its owner revoked", s.what, name, key.user)
	case !key.signs:
		return signer{}, refusal(gitops.UnknownSigner, "sign with the subkey that is made for it",
			"%s is signed by %s (%s), which is not a signing key", s.what, name, key.user)
	case at.past(key.expires):
		return signer{}, refusal(gitops.KeyExpired, "prolong the key and export it anew, or have the commit signed by another",
			"%s is signed by %s (%s), which expired at %s", s.what, name, key.user, show(key.expires))
	case at.past(key.before):
		return signer{}, refusal(gitops.KeyExpired, "have the commit signed by somebody who may sign now, or change validBefore",
			"%s is signed by %s (%s), who may sign until %s; it is %s", s.what, name, key.user, show(key.before), show(at.now))
	case at.early(key.after):
		return signer{}, refusal(gitops.KeyNotYetValid, "check the node's clock, or change validAfter",
			"%s is signed by %s (%s), who may sign from %s on; it is %s", s.what, name, key.user, show(key.after), show(at.now))
	case at.past(signatureEnd(sig)):
		return signer{}, refusal(gitops.KeyExpired, "sign it again",
			"the signature of %s by %s (%s) expired at %s", s.what, name, key.user, show(signatureEnd(sig)))
	}
	return signer{name: key.user, key: key.fingerprint}, nil
}

// parseOpenPGPSignature reads exactly one signature packet over binary data.
func parseOpenPGPSignature(s signed) (*packet.Signature, error) {
	bad := func(err error) error {
		return refusal(gitops.BadSignature, "sign it again", "the OpenPGP signature of %s does not parse: %s", s.what, printable(err.Error()))
	}
	data, err := dearmor(s.armor, armorOpenPGP)
	if err != nil {
		return nil, bad(err)
	}
	// packet.Read, not packet.Reader: the reader passes over what it does not
	// know, and a second packet would never be seen.
	rest := bytes.NewReader(data)
	first, err := packet.Read(rest)
	sig, ok := first.(*packet.Signature)
	switch {
	case isUnsupported(err):
		return nil, refusal(gitops.UnsupportedSig, "sign with an ed25519 key and a current gpg",
			"the OpenPGP signature of %s is not supported: %s", s.what, printable(err.Error()))
	case err != nil:
		return nil, bad(err)
	case !ok:
		return nil, bad(errors.New("it is no signature packet"))
	}
	if _, err := packet.Read(rest); !errors.Is(err, io.EOF) {
		return nil, bad(errors.New("more than one packet is there"))
	}
	if sig.SigType != packet.SigTypeBinary {
		return nil, refusal(gitops.UnsupportedSig, "sign with git itself",
			"the OpenPGP signature of %s is of type 0x%02x, not over binary data", s.what, int(sig.SigType))
	}
	for _, notation := range sig.Notations {
		if notation.IsCritical {
			return nil, refusal(gitops.UnsupportedSig, "sign without it",
				"the OpenPGP signature of %s has the critical notation %s, which is not known", s.what, quoted(notation.Name))
		}
	}
	if !strongHash(sig.Hash) {
		return nil, refusal(gitops.WeakKey, "sign with SHA-256 or SHA-512", "the OpenPGP signature of %s uses %v", s.what, sig.Hash)
	}
	return sig, nil
}

func isUnsupported(err error) bool {
	_, unsupported := errors.AsType[pgperrors.UnsupportedError](err)
	return unsupported
}

// find returns the key of the file that made the signature. A signature may
// name its key by 64 bits only, which collide at will: every key of that id is
// tried, and only the mathematics decides.
func (k pgpKeys) find(s signed, sig *packet.Signature) (pgpKey, error) {
	found := ""
	for _, key := range k.keys {
		if !sig.CheckKeyIdOrFingerprint(key.public) {
			continue
		}
		if key.weak != "" {
			return pgpKey{}, refusal(gitops.WeakKey, "sign with an ed25519 key",
				"%s is signed by OpenPGP key %s (%s), which is %s", s.what, key.fingerprint, key.user, key.weak)
		}
		found = key.fingerprint
		digest, err := sig.PrepareVerify()
		if err != nil {
			return pgpKey{}, refusal(gitops.UnsupportedSig, "sign with SHA-256 or SHA-512",
				"the OpenPGP signature of %s uses %v, which is not supported", s.what, sig.Hash)
		}
		digest.Write(s.payload)
		if key.public.VerifySignature(digest, sig) == nil {
			return key, nil
		}
	}
	switch {
	case found != "":
		return pgpKey{}, refusal(gitops.BadSignature, "sign it again",
			"the signature of %s by OpenPGP key %s does not match its content", s.what, found)
	case k.path == "":
		return pgpKey{}, refusal(gitops.UnknownSigner, "name a file with the key as trust.openpgpKeys",
			"%s is signed by OpenPGP key %s, but the source has no openpgpKeys file", s.what, issuerOf(sig))
	}
	return pgpKey{}, refusal(gitops.UnknownSigner, "add it there or have the commit signed by one of its keys",
		"%s is signed by OpenPGP key %s, which is not in %s", s.what, issuerOf(sig), k.path)
}

// issuerOf is what a signature says about its key. It is a claim.
func issuerOf(sig *packet.Signature) string {
	switch {
	case len(sig.IssuerFingerprint) > 0:
		return strings.ToUpper(hex.EncodeToString(sig.IssuerFingerprint))
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *sig.IssuerKeyId)
	}
	return "(not named)"
}
