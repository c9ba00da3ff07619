// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // a key of a kind that must be refused
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// sshKey is an SSH key that signs commits.
type sshKey struct {
	ssh.Signer
	private crypto.PrivateKey
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func keyFrom(private crypto.PrivateKey) sshKey {
	return sshKey{Signer: must(ssh.NewSignerFromKey(private)), private: private}
}

func ed25519Key() sshKey {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return keyFrom(must(private, err))
}

func ecdsaKey(curve elliptic.Curve) sshKey {
	return keyFrom(must(ecdsa.GenerateKey(curve, rand.Reader)))
}

func rsaKey(bits int) sshKey { return keyFrom(must(rsa.GenerateKey(rand.Reader, bits))) }

// dsaKey makes a key of a known group: to find a group takes longer than all else.
func dsaKey() sshKey {
	number := func(digits string) *big.Int {
		n, _ := new(big.Int).SetString(digits, 16)
		return n
	}
	private := &dsa.PrivateKey{}
	private.P = number("d2f8f3d5e1d22c47ee39594ebc40c1ae72b3bb2838da75d0ea4a47c37aa67ac4" +
		"520549220eab1cd097262d4d9deb698d46f5db20ca4ae1644255a37819bdf12a" +
		"735f0c5fb45860310528327c8fc8049449077ee05116e3f5ae36afbe89190155" +
		"0475ba1068b7cbe78c5d5b04220377d2ff4aad455159d6a656a52500caa4bb0d")
	private.Q = number("b2dadabf3a66782c8feeb28eee7c20fd829256f9")
	private.G = number("678fa39a733d2a2139cb052b2bf0925cae9c70824f8e99555e849cce34d518d9" +
		"a191b5b64fbc07427dd00ec21cc23996cd9d8d3689e4521c2d8ee7b87821008a" +
		"3f6f0d2dfa9ab522a5ac3296ec4b02139aaeaacd1fbd50b4552082590c83b7da" +
		"333966fa71d53990ee7ada51486a1e5add71a22ed5414e3f30125702600dd5e8")
	if err := dsa.GenerateKey(private, rand.Reader); err != nil {
		panic(err)
	}
	return keyFrom(private)
}

// line is the key as it stands in allowed_signers and authorized_keys.
func (k sshKey) line() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.PublicKey())))
}

func (k sshKey) fingerprint() string { return ssh.FingerprintSHA256(k.PublicKey()) }

// sign makes the signature that git asks ssh-keygen for.
func (k sshKey) sign(payload []byte) string { return k.signFor("git")(payload) }

func (k sshKey) signFor(namespace string) sign {
	return func(payload []byte) string {
		sig := must(sshsig.Sign(bytes.NewReader(payload), k.Signer, sshsig.HashSHA512, namespace))
		return string(sshsig.Armor(sig))
	}
}

// signedData is what an SSH signature is made over (PROTOCOL.sshsig).
func signedData(payload []byte) []byte {
	sum := sha512.Sum512(payload)
	return append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{"git", "", "sha512", sum[:]})...)
}

// armorSSH puts a signature together from its parts.
func armorSSH(public []byte, signature []byte) string {
	return armorRaw("SSH SIGNATURE", append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{1, public, "git", "", "sha512", signature})...))
}

func armorRaw(kind string, data []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
}

// withTail is a signature with bytes behind it that the library ignores.
func (k sshKey) withTail(payload []byte) string {
	sig := must(k.Sign(rand.Reader, signedData(payload)))
	return armorSSH(k.PublicKey().Marshal(), append(ssh.Marshal(sig), "tail"...))
}

// asFormat signs with an algorithm of the caller's choice.
func (k sshKey) asFormat(algorithm string) sign {
	return func(payload []byte) string {
		sig := must(k.Signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, signedData(payload), algorithm))
		return armorSSH(k.PublicKey().Marshal(), ssh.Marshal(sig))
	}
}

// certified signs with a certificate in the place of the key.
func (k sshKey) certified(ca sshKey) sign {
	cert := &ssh.Certificate{Key: k.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity, ValidPrincipals: []string{"ann"}}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		panic(err)
	}
	return func(payload []byte) string {
		sig := must(k.Sign(rand.Reader, signedData(payload)))
		return armorSSH(cert.Marshal(), ssh.Marshal(sig))
	}
}

// securityKey is a FIDO key in software: an ed25519 or ECDSA key whose
// signatures also cover the application, a counter and what the person did.
type securityKey struct {
	public ssh.PublicKey
	make   func(data []byte) []byte
	format string
}

const application = "ssh:"

func newSecurityKey(t *testing.T, kind string) securityKey {
	t.Helper()
	var blob []byte
	k := securityKey{format: kind}
	switch kind {
	case ssh.KeyAlgoSKED25519:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(private, err)
		blob = ssh.Marshal(struct{ Kind, Key, App string }{kind, string(public), application})
		k.make = func(data []byte) []byte { return ed25519.Sign(private, data) }
	case ssh.KeyAlgoSKECDSA256:
		private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		point := must(private.PublicKey.ECDH()).Bytes()
		blob = ssh.Marshal(struct{ Kind, Curve, Key, App string }{kind, "nistp256", string(point), application})
		k.make = func(data []byte) []byte {
			sum := sha256.Sum256(data)
			r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
			return ssh.Marshal(struct{ R, S *big.Int }{must(r, err), s})
		}
	}
	k.public = must(ssh.ParsePublicKey(blob))
	return k
}

func (k securityKey) line() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.public)))
}

// sign signs with flags: 1 says that the key was touched.
func (k securityKey) sign(flags byte) sign {
	return func(payload []byte) string {
		app, data := sha256.Sum256([]byte(application)), sha256.Sum256(signedData(payload))
		message := append(app[:], flags, 0, 0, 0, 7)
		message = append(message, data[:]...)
		sig := ssh.Marshal(struct {
			Format string
			Blob   []byte
		}{k.format, k.make(message)})
		return armorSSH(k.public.Marshal(), append(sig, flags, 0, 0, 0, 7))
	}
}
