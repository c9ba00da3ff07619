// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify/gitsign"
)

// rootRemedy is what helps where a keyless signature cannot be judged.
const rootRemedy = "name Sigstore's trusted_root.json as trust.sigstore.trustedRoot"

// trustedRootFile is what the file is called in messages.
const trustedRootFile = "Sigstore's trusted root"

// sigstoreLine begins a line that revokes an identity.
const sigstoreLine = "sigstore:"

// SigstoreConfig is whose keyless signatures a node believes.
type SigstoreConfig struct {
	// Issuer and Subject are one who may sign, both or none.
	Issuer, Subject string
	// TrustedRoot is a file, trusted_root.json. Without it nobody's keyless
	// signature is believed, those of a trust file included.
	TrustedRoot string
}

// keyless are the identities of one role.
type keyless struct {
	place   string // where they stand, "" when nothing is said of them
	root    *gitsign.Root
	signers map[gitsign.Identity]keylessSigner
}

func newKeyless(place string) keyless {
	return keyless{place: place, signers: map[gitsign.Identity]keylessSigner{}}
}

// keylessSigner is who an identity belongs to, and when it may sign.
type keylessSigner struct {
	name          string
	after, before time.Time
}

// loadSigstore reads the trusted root, and takes the node's one identity.
func loadSigstore(cfg SigstoreConfig) (keyless, error) {
	if cfg.TrustedRoot == "" {
		if cfg.Issuer+cfg.Subject == "" {
			return keyless{}, nil
		}
		return keyless{}, refusal(gitops.TrustMissing, rootRemedy,
			"trust.sigstore names %s, and no trusted root", quoted(cfg.Subject))
	}
	data, err := readTrustFile(cfg.TrustedRoot)
	if err != nil {
		return keyless{}, untrusted(trustedRootFile, cfg.TrustedRoot, err)
	}
	root, err := gitsign.ParseRoot(data)
	if err != nil {
		return keyless{}, untrusted(trustedRootFile, cfg.TrustedRoot, errors.New(printable(err.Error())))
	}
	k := newKeyless("")
	k.root = root
	if cfg.Issuer+cfg.Subject == "" {
		return k, nil
	}
	id, err := identity(cfg.Issuer, cfg.Subject)
	if err != nil {
		return keyless{}, refusal(gitops.TrustMissing, "set trust.sigstore.issuer and trust.sigstore.subject", "trust.sigstore: %v", err)
	}
	k.place, k.signers[id] = "trust.sigstore", keylessSigner{name: id.Subject}
	return k, nil
}

// identity is never half of one: an issuer vouches for many, and a subject is
// what its issuer makes of it. Nor is it one that a line of revoked keys cannot
// name: who is believed under it could not be revoked.
func identity(issuer, subject string) (gitsign.Identity, error) {
	if issuer == "" || subject == "" {
		return gitsign.Identity{}, fmt.Errorf("an identity needs both an issuer and a subject, not %s and %s", quoted(issuer), quoted(subject))
	}
	if strings.ContainsFunc(issuer, unicode.IsSpace) || strings.TrimSpace(subject) != subject || strings.ContainsFunc(subject, unicode.IsControl) {
		return gitsign.Identity{}, fmt.Errorf("an identity has no space in its issuer nor around its subject, and is one line, unlike %s and %s", quoted(issuer), quoted(subject))
	}
	return gitsign.Identity{Issuer: issuer, Subject: subject}, nil
}

// checkSigstore verifies a gitsign signature. Whose it is stands in its
// certificate and is a claim at first: what is claimed by nobody who may sign,
// or by somebody who is revoked, is refused without looking further.
func (k ring) checkSigstore(s signed, at moment, revoked revocations) (signer, error) {
	sig, err := parseSigstore(s)
	if err != nil {
		return signer{}, err
	}
	name := show509(sig.Identity)
	if by := revoked.keyless(sig); by != "" {
		return signer{}, keyRevoked(s.what, name, by)
	}
	who, known := k.keyless.signers[sig.Identity]
	switch {
	case !known && k.keyless.place == "":
		return signer{}, refusal(gitops.UnknownSigner, "set trust.sigstore, or sign with an SSH key (git config gpg.format ssh)",
			"%s is signed with gitsign by %s, but the source has no trust.sigstore", s.what, name)
	case !known:
		return signer{}, refusal(gitops.UnknownSigner, "add them there or have the commit signed by somebody who may",
			"%s is signed with gitsign by %s, whom %s does not name", s.what, name, k.keyless.place)
	case k.keyless.root == nil:
		return signer{}, refusal(gitops.TrustMissing, rootRemedy,
			"%s is signed with gitsign by %s, and the node has no trusted root to verify that", s.what, name)
	}
	if err := k.keyless.root.Verify(sig, sig.Identity); err != nil {
		return signer{}, refusal(gitops.BadSignature, "sign it again; if others can verify it, bring trust.sigstore.trustedRoot up to date",
			"the gitsign signature of %s by %s does not hold: %s", s.what, name, printable(err.Error()))
	}
	switch {
	case at.past(who.before):
		return signer{}, refusal(gitops.KeyExpired, "have the commit signed by somebody who may sign now, or change validBefore",
			"%s is signed with gitsign by %s, whom %s allows until %s; it is %s", s.what, name, k.keyless.place, show(who.before), show(at.now))
	case at.early(who.after):
		return signer{}, refusal(gitops.KeyNotYetValid, "check the node's clock, or change validAfter",
			"%s is signed with gitsign by %s, whom %s allows from %s on; it is %s", s.what, name, k.keyless.place, show(who.after), show(at.now))
	}
	return signer{name: who.name, key: sig.Certificate}, nil
}

func parseSigstore(s signed) (gitsign.Signature, error) {
	der, err := dearmor(s.armor, armorX509)
	if err == nil {
		var sig gitsign.Signature
		if sig, err = gitsign.Parse(der, s.payload); err == nil {
			return sig, nil
		}
	}
	switch {
	case errors.Is(err, gitsign.ErrNoEntry):
		return gitsign.Signature{}, refusal(gitops.UnsupportedSig, "set git config gitsign.rekorMode offline, and sign again",
			"the gitsign signature of %s holds no entry of the transparency log, and without one it cannot be verified offline", s.what)
	case errors.Is(err, gitsign.ErrUnsupported):
		return gitsign.Signature{}, refusal(gitops.UnsupportedSig, "sign with gitsign (rekorMode offline), or with an SSH key (git config gpg.format ssh)",
			"the X.509 signature of %s is not supported: %s", s.what, printable(err.Error()))
	}
	return gitsign.Signature{}, refusal(gitops.BadSignature, "sign it again",
		"the X.509 signature of %s does not hold: %s", s.what, printable(err.Error()))
}

// show509 is an identity as people read it.
func show509(id gitsign.Identity) string {
	return printable(id.Subject) + " (" + printable(id.Issuer) + ")"
}

// add lists a principal's identities. One that two principals have would let
// one person count as two.
func (k keyless) add(name string, p Principal, owner map[string]string) error {
	for _, entry := range p.Sigstore {
		id, err := identity(entry.Issuer, entry.Subject)
		if err != nil {
			return fmt.Errorf("principal %s: %w", quoted(name), err)
		}
		key := "sigstore " + id.Issuer + " " + id.Subject
		if other, ok := owner[key]; ok && other != name {
			return fmt.Errorf("principals %s and %s have the same Sigstore identity: they would count as two", quoted(other), quoted(name))
		}
		owner[key] = name
		who := keylessSigner{name: name}
		who.after, who.before, _ = p.validity() // keys judged it
		k.signers[id] = who
	}
	return nil
}

// validity is when a principal may sign.
func (p Principal) validity() (after, before time.Time, err error) {
	if p.ValidAfter != "" {
		if after, err = parseTime("validAfter", p.ValidAfter); err != nil {
			return after, before, err
		}
	}
	if p.ValidBefore != "" {
		if before, err = parseTime("validBefore", p.ValidBefore); err != nil {
			return after, before, err
		}
	}
	if !after.IsZero() && !before.IsZero() && !after.Before(before) {
		err = errors.New("validAfter is not before validBefore: it is never valid")
	}
	return after, before, err
}

// within says in which instance of Sigstore the policy's identities are: that is
// the node's to say, not the repository's.
func (p *policy) within(root *gitsign.Root) {
	for role, r := range p.rings {
		r.keyless.root = root
		p.rings[role] = r
	}
}

// keyless returns what revokes an identity or its one certificate, "" if
// nothing does.
func (r revocations) keyless(sig gitsign.Signature) string {
	for _, list := range r {
		if list.keyless[sig.Identity] || list.ssh[sig.Certificate] {
			return list.path
		}
	}
	return ""
}
