// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

func TestWhichKeySigns(t *testing.T) {
	w := introduced(t)
	tests := []struct {
		name string
		key  func() attest.KeyOptions
		as   string
		git  string // user.signingkey
		want string // the principal, or
		err  string
	}{
		{name: "private key", key: func() attest.KeyOptions { return attest.KeyOptions{File: w.keyFile("ben")} }, want: "ben"},
		{name: "public key beside the private one", key: func() attest.KeyOptions { return attest.KeyOptions{File: w.keyFile("ben") + ".pub"} }, want: "ben"},
		{name: "public key of the agent", key: func() attest.KeyOptions {
			file := w.keyFile("ben") + ".pub"
			os.Remove(strings.TrimSuffix(file, ".pub"))
			return attest.KeyOptions{File: file, Agent: w.agent("cat", "ben")}
		}, want: "ben"},
		{name: "private key without an agent that answers", key: func() attest.KeyOptions {
			return attest.KeyOptions{File: w.keyFile("ben"), Agent: w.files + "/nobody"}
		}, want: "ben"},
		{name: "agent that does not answer", key: func() attest.KeyOptions { return attest.KeyOptions{Agent: w.files + "/nobody"} }, err: "reach ssh-agent"},
		{name: "the one that fits", key: func() attest.KeyOptions { return attest.KeyOptions{Agent: w.agent("mallory", "cat")} }, want: "cat"},
		{name: "none fits", key: func() attest.KeyOptions { return attest.KeyOptions{Agent: w.agent("mallory")} }, err: "none of the 1 keys"},
		{name: "several fit", key: func() attest.KeyOptions { return attest.KeyOptions{Agent: w.agent("ben", "cat")} }, err: "2 keys in ssh-agent count here"},
		{name: "one of several", key: func() attest.KeyOptions { return attest.KeyOptions{Agent: w.agent("ben", "cat")} }, as: "cat", want: "cat"},
		{name: "what git signs with", key: func() attest.KeyOptions { w.keyFile("cat"); return attest.KeyOptions{} }, git: w.files + "/cat.pub", want: "cat"},
		{name: "literal key of git", key: func() attest.KeyOptions { return attest.KeyOptions{Agent: w.agent("ben", "cat")} }, git: "key::" + w.public("ben").SSH, want: "ben"},
		{name: "literal key that the agent lacks", key: func() attest.KeyOptions { return attest.KeyOptions{Agent: w.agent("cat")} }, git: "key::" + w.public("ben").SSH, err: "add it with ssh-add"},
		{name: "nothing at all", key: func() attest.KeyOptions { return attest.KeyOptions{} }, err: "no key to sign with"},
		{name: "no key file", key: func() attest.KeyOptions { return attest.KeyOptions{File: w.files} }, err: "it is no key file"},
		{name: "not a key", key: func() attest.KeyOptions { return attest.KeyOptions{File: w.files + "/roots"} }, err: "read the key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w.T = t
			key := test.key()
			w.git("config", "user.signingkey", test.git)
			done, err := w.open().Approve(t.Context(), "HEAD", attest.Options{Now: now, As: test.as, Key: key, Replace: true}, false)
			if test.err != "" {
				fails(t, err, test.err)
				return
			}
			if err != nil || done.Principal != test.want {
				t.Errorf("signed by %q, %v; want %s", done.Principal, err, test.want)
			}
		})
	}
}

func TestReadPublicKey(t *testing.T) {
	w := newWorld(t)
	plain := w.public("ann")
	file := w.keyFile("ann")
	for _, text := range []string{plain.SSH, plain.SSH + " a comment", file, file + ".pub"} {
		if key, err := attest.ReadPublicKey(text); err != nil || key != plain {
			t.Errorf("%s: %+v, %v", text, key, err)
		}
	}
	if key, err := attest.ReadPublicKey("cert-authority " + file); err != nil || key.SSH != "cert-authority "+plain.SSH {
		t.Errorf("an authority: %+v, %v", key, err)
	}
	if key, err := attest.ReadPublicKey("sigstore:https://ci.example.com fleet"); err != nil || key.Sigstore.Subject != "fleet" {
		t.Errorf("sigstore: %+v, %v", key, err)
	}
	if key, err := attest.ReadPublicKey("sigstore:https://ci.example.com \t fleet of ci"); err != nil || key.Print != "sigstore:https://ci.example.com fleet of ci" || key.Sigstore.Subject != "fleet of ci" {
		t.Errorf("sigstore with more space: %+v, %v", key, err)
	}
	os.Remove(file + ".pub")
	for text, want := range map[string]string{
		"sigstore:alone":            "is not sigstore:ISSUER SUBJECT",
		"sigstore:https://a. \t":    "is not sigstore:ISSUER SUBJECT",
		"sigstore: fleet":           "is not sigstore:ISSUER SUBJECT",
		"nothing":                   "neither an SSH public key nor a file",
		"nothing.pub":               "no such file",
		file:                        "name the public key",
		w.files + "/roots":          "read the public key",
		"no-pty " + plain.SSH:       "neither an SSH public key",
		w.files:                     "it is no key file",
		w.files + "/source.yaml":    "read the public key",
		plain.SSH + "\n" + file:     "neither an SSH public key",
		"-----BEGIN PGP PUBLIC KEY": "neither an SSH public key",
	} {
		_, err := attest.ReadPublicKey(text)
		fails(t, err, want)
	}
}
