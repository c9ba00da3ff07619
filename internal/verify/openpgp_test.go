// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgparmor "github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// pgpEntity is a key that gpg would not make: a primary key and a subkey that
// both sign, changed before they are signed themselves.
type pgpEntity struct {
	*openpgp.Entity
	config *packet.Config
}

func newEntity(t *testing.T, change func(e *openpgp.Entity)) pgpEntity {
	t.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256,
		Time: func() time.Time { return now.AddDate(-1, 0, 0) }}
	e := pgpEntity{must(openpgp.NewEntity("Gus", "", "gus@example.com", config)), config}
	if err := e.AddSigningSubkey(config); err != nil {
		t.Fatal(err)
	}
	change(e.Entity)
	if err := e.SerializePrivate(io.Discard, config); err != nil { // signs the parts again
		t.Fatal(err)
	}
	return e
}

// self is the signature that says what the primary key is for.
func self(e *openpgp.Entity) *packet.Signature { return e.PrimaryIdentity().SelfSignature }

// signing is the subkey that signs.
func signing(e *openpgp.Entity) *openpgp.Subkey {
	for i := range e.Subkeys {
		if e.Subkeys[i].Sig.EmbeddedSignature != nil {
			return &e.Subkeys[i]
		}
	}
	panic("no signing subkey")
}

func (e pgpEntity) file() string {
	var b strings.Builder
	w := must(pgparmor.Encode(&b, openpgp.PublicKeyType, nil))
	if err := e.Serialize(w); err != nil {
		panic(err)
	}
	w.Close()
	return b.String() + "\n"
}

// signWith makes a signature that names its key in full, or by 64 bits only.
func (e pgpEntity) signWith(key *packet.PrivateKey, full bool) sign {
	if full {
		return e.signNaming(key, &key.KeyId)
	}
	nameless := *key
	nameless.Fingerprint = nil
	return e.signNaming(&nameless, &key.KeyId)
}

// signNaming makes a signature that names its key by the fingerprint that is set,
// and by an id.
func (e pgpEntity) signNaming(key *packet.PrivateKey, id *uint64) sign {
	return func(payload []byte) string {
		sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PubKeyAlgo, Hash: crypto.SHA256,
			CreationTime: e.config.Now(), IssuerKeyId: id}
		h := must(sig.PrepareSign(e.config))
		h.Write(payload)
		var b bytes.Buffer
		if err := sig.Sign(h, key, e.config); err != nil {
			panic(err)
		}
		if err := sig.Serialize(&b); err != nil {
			panic(err)
		}
		return openPGPArmor(b.Bytes())
	}
}

func TestOpenPGPKeysThatMayNotSign(t *testing.T) {
	w := newWorld(t)
	hour := uint32(3600)
	for name, c := range map[string]struct {
		change func(e *openpgp.Entity)
		sub    bool // sign with the subkey
		reason gitops.Reason
	}{
		"primary key, sound":            {func(*openpgp.Entity) {}, false, ""},
		"subkey, sound":                 {func(*openpgp.Entity) {}, true, ""},
		"primary key that certifies":    {func(e *openpgp.Entity) { self(e).FlagSign = false }, false, gitops.UnknownSigner},
		"its subkey may still sign":     {func(e *openpgp.Entity) { self(e).FlagSign = false }, true, ""},
		"primary key without flags":     {func(e *openpgp.Entity) { self(e).FlagsValid = false }, false, gitops.UnknownSigner},
		"subkey that does not sign":     {func(e *openpgp.Entity) { signing(e).Sig.FlagSign = false }, true, gitops.UnknownSigner},
		"primary key that expired":      {func(e *openpgp.Entity) { self(e).KeyLifetimeSecs = &hour }, false, gitops.KeyExpired},
		"subkey of an expired key":      {func(e *openpgp.Entity) { self(e).KeyLifetimeSecs = &hour }, true, gitops.KeyExpired},
		"subkey that expired":           {func(e *openpgp.Entity) { signing(e).Sig.KeyLifetimeSecs = &hour }, true, gitops.KeyExpired},
		"its primary key did not":       {func(e *openpgp.Entity) { signing(e).Sig.KeyLifetimeSecs = &hour }, false, ""},
		"self-signature that expired":   {func(e *openpgp.Entity) { self(e).SigLifetimeSecs = &hour }, false, gitops.KeyExpired},
		"binding that expired":          {func(e *openpgp.Entity) { signing(e).Sig.SigLifetimeSecs = &hour }, true, gitops.KeyExpired},
		"user id revoked, the only one": {revokeUser, false, gitops.KeyRevoked},
		"subkey of such a user":         {revokeUser, true, gitops.KeyRevoked},
		"primary key revoked":           {revokeKey, false, gitops.KeyRevoked},
		"subkey of a revoked key":       {revokeKey, true, gitops.KeyRevoked},
		"subkey revoked":                {revokeSubkey, true, gitops.KeyRevoked},
		"its primary key is not":        {revokeSubkey, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			e := newEntity(t, c.change)
			key := e.PrivateKey
			if c.sub {
				key = signing(e.Entity).PrivateKey
			}
			keys := w.file("entity.asc", e.file())
			config := func(cfg *verify.Config) { cfg.OpenPGPKeys = keys }
			for _, full := range []bool{true, false} {
				head := w.commit(e.signWith(key, full), w.root)
				got, err := w.verifier(config).Verify(t.Context(), onMain(head), "")
				if gitops.ReasonOf(err) != c.reason {
					t.Errorf("issuer in full %v: %v, want %q", full, err, c.reason)
				}
				if err == nil && !strings.HasPrefix(got.Signer(), "Gus") {
					t.Errorf("signed by %q", got.Signer())
				}
			}
		})
	}
}

func revokeUser(e *openpgp.Entity) {
	id := e.PrimaryIdentity()
	sig := &packet.Signature{Version: 4, SigType: packet.SigTypeCertificationRevocation, PubKeyAlgo: e.PrimaryKey.PubKeyAlgo,
		Hash: crypto.SHA256, CreationTime: now, IssuerKeyId: &e.PrimaryKey.KeyId}
	if err := sig.SignUserId(id.Name, e.PrimaryKey, e.PrivateKey, nil); err != nil {
		panic(err)
	}
	id.Signatures = append(id.Signatures, sig)
}

// revokeKey says that the key was superseded, at a time that is to come: such
// a revocation the library itself would not heed yet.
func revokeKey(e *openpgp.Entity) {
	if err := e.RevokeKey(packet.KeySuperseded, "", tomorrow()); err != nil {
		panic(err)
	}
}

func revokeSubkey(e *openpgp.Entity) {
	if err := e.RevokeSubkey(signing(e), packet.KeySuperseded, "", tomorrow()); err != nil {
		panic(err)
	}
}

func tomorrow() *packet.Config {
	return &packet.Config{Time: func() time.Time { return now.AddDate(0, 0, 1) }}
}

// A key that is revoked on the node is refused whether it is the subkey or its
// primary key that is listed, and whether or not the key file has it.
func TestOpenPGPKeysRevokedOnTheNode(t *testing.T) {
	w := newWorld(t)
	e := newEntity(t, func(*openpgp.Entity) {})
	sub := signing(e.Entity).PrivateKey
	print := func(key *packet.PublicKey) string { return hex.EncodeToString(key.Fingerprint) }
	keys := w.file("entity.asc", e.file())
	other := gpgKeyFile(t)
	for name, c := range map[string]struct {
		listed string
		file   string
		key    *packet.PrivateKey
		reason gitops.Reason
	}{
		"subkey by its own fingerprint":    {print(&sub.PublicKey), keys, sub, gitops.KeyRevoked},
		"subkey by its primary key's":      {print(e.PrimaryKey), keys, sub, gitops.KeyRevoked},
		"primary key by its own":           {print(e.PrimaryKey), keys, e.PrivateKey, gitops.KeyRevoked},
		"primary key when its subkey is":   {print(&sub.PublicKey), keys, e.PrivateKey, ""},
		"key that is not in the key file":  {print(&sub.PublicKey), other, sub, gitops.KeyRevoked},
		"another key, not in the key file": {print(e.PrimaryKey), other, sub, gitops.UnknownSigner},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			revoked := w.file("revoked_pgp", c.listed)
			head := w.commit(e.signWith(c.key, true), w.root)
			_, err := w.verifier(func(cfg *verify.Config) { cfg.OpenPGPKeys, cfg.Revoked = c.file, revoked }).Verify(t.Context(), onMain(head), "")
			if gitops.ReasonOf(err) != c.reason {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

func TestOpenPGPSubkeyWithoutCrossSignature(t *testing.T) {
	e := newEntity(t, func(*openpgp.Entity) {})
	sub := signing(e.Entity)
	sub.Sig.EmbeddedSignature = nil
	if err := sub.Sig.SignKey(sub.PublicKey, e.PrivateKey, e.config); err != nil {
		t.Fatal(err)
	}
	if _, err := verify.ParseKeys([]byte(e.file())); err == nil || !strings.Contains(err.Error(), "cross-signature") {
		t.Errorf("a subkey that its owner did not sign for: %v", err)
	}
}

// Neither gpg nor the library makes such bindings any more: old keys have them.
func TestOpenPGPBindingsWithWeakHashes(t *testing.T) {
	e := newEntity(t, func(*openpgp.Entity) {})
	sub := signing(e.Entity)
	for hash, weak := range map[crypto.Hash]bool{
		crypto.SHA256: false, crypto.SHA384: false, crypto.SHA512: false, crypto.SHA3_256: false, crypto.SHA3_512: false,
		crypto.MD5: true, crypto.SHA1: true, crypto.RIPEMD160: true, crypto.SHA224: true,
	} {
		for name, binding := range map[string]packet.Signature{
			"binding":         {Hash: hash},
			"cross-signature": {Hash: crypto.SHA256, EmbeddedSignature: &packet.Signature{Hash: hash}},
		} {
			if got := verify.Weak(sub.PublicKey, &binding); (got != "") != weak {
				t.Errorf("%s with %v: %q", name, hash, got)
			}
		}
	}
}

// A refusal says which key, which file and what to do.
func TestRefusalsSayWhatToDo(t *testing.T) {
	w := newWorld(t)
	e := newEntity(t, func(*openpgp.Entity) {})
	pgp := e.signWith(e.PrivateKey, true)
	print := strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))
	nameless := *e.PrivateKey
	nameless.Fingerprint = nil
	other := gpgKeyFile(t)
	certified := under(ed25519Key().certify(blank(w.ann.PublicKey())), w.ann.sign)
	for name, c := range map[string]struct {
		sign   sign
		change func(*verify.Config)
		want   []string
	}{
		"unsigned":             {nil, nil, []string{"is not signed", "sign it"}},
		"unknown SSH key":      {w.mallory.sign, nil, []string{w.mallory.fingerprint(), w.dir + "/allowed_signers", "add it there"}},
		"no authorities":       {certified, func(c *verify.Config) { c.AllowedSigners, c.OpenPGPKeys = "", other }, []string{"an allowedSigners file, because the source has none"}},
		"no SSH keys":          {w.ann.sign, func(c *verify.Config) { c.AllowedSigners, c.OpenPGPKeys = "", other }, []string{"no allowedSigners file", "trust.allowedSigners"}},
		"unknown OpenPGP key":  {pgp, func(c *verify.Config) { c.OpenPGPKeys = other }, []string{print, other, "add it there"}},
		"one named shortly":    {e.signWith(e.PrivateKey, false), func(c *verify.Config) { c.OpenPGPKeys = other }, []string{"key " + print[24:] + ", which"}},
		"one that has no name": {e.signNaming(&nameless, nil), func(c *verify.Config) { c.OpenPGPKeys = other }, []string{"(not named)", other}},
		"no OpenPGP keys":      {pgp, nil, []string{print, "no openpgpKeys file", "trust.openpgpKeys"}},
		"revoked key":          {w.stolen.sign, nil, []string{w.stolen.fingerprint(), w.dir + "/revoked"}},
		"expired key":          {w.gone.sign, nil, []string{w.gone.fingerprint(), "allowed_signers line 5", "2026-01-01T00:00:00Z"}},
		"signature for a file": {w.ann.signFor("fi\x1ble"), nil, []string{`"fi\x1ble"`, "sign with git"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			head := w.commit(c.sign, w.root)
			_, err := w.verifier(c.change).Verify(t.Context(), onMain(head), "")
			for _, want := range append(c.want, "commit "+head.Short()) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %v", want, err)
				}
			}
		})
	}
}
