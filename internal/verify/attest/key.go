// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeyFile bounds a key file.
const maxKeyFile = 1 << 20

// KeyOptions say where the key is that signs.
type KeyOptions struct {
	// File is a private key, or a public one whose private half is in the agent
	// or beside it. "" is what git signs with, else a fitting key of the agent.
	File  string
	Agent string // the agent's socket, "" for none
	// Passphrase asks a person for the passphrase of a file.
	Passphrase func(file string) ([]byte, error)
}

// signerOf finds the key to sign with. Wanted tells which of the agent's keys
// fit where nobody named one.
func (r *Repository) signerOf(o KeyOptions, wanted func(ssh.PublicKey) bool) (ssh.Signer, func(), error) {
	a, closeAgent, err := dialAgent(o.Agent)
	if err != nil && o.File == "" {
		return nil, nil, err
	}
	signer, err := r.choose(o, a, wanted)
	if err != nil {
		closeAgent()
		return nil, nil, err
	}
	return signer, closeAgent, nil
}

func (r *Repository) choose(o KeyOptions, a agent.Agent, wanted func(ssh.PublicKey) bool) (ssh.Signer, error) {
	name := o.File
	if name == "" && strings.EqualFold(r.setting("gpg.format"), "ssh") {
		name = r.setting("user.signingkey")
	}
	if name != "" {
		return named(name, o, a)
	}
	if a == nil && strings.EqualFold(r.setting("gpg.format"), "x509") {
		return nil, errors.New("git signs with gitsign here (gpg.format x509), which only git can use; make the statement by git tag -s, as docs/trust.md says under Statements, or name an SSH key with --key")
	}
	if a == nil {
		return nil, errors.New("no key to sign with: name one with --key, add it to ssh-agent, or set git config user.signingkey with gpg.format ssh")
	}
	signers, err := a.Signers()
	if err != nil {
		return nil, fmt.Errorf("ask ssh-agent for its keys: %v", err)
	}
	var fitting []ssh.Signer
	for _, s := range signers {
		if wanted(s.PublicKey()) {
			fitting = append(fitting, s)
		}
	}
	switch len(fitting) {
	case 1:
		return fitting[0], nil
	case 0:
		return nil, fmt.Errorf("none of the %d keys in ssh-agent is one that counts here; name one with --key", len(signers))
	}
	return nil, fmt.Errorf("%d keys in ssh-agent count here; name one with --key, or a principal with --as", len(fitting))
}

// named takes the key that somebody named, as user.signingkey names it: a file,
// or the public key itself.
func named(name string, o KeyOptions, a agent.Agent) (ssh.Signer, error) {
	if literal, ok := strings.CutPrefix(name, "key::"); ok || strings.HasPrefix(name, "ssh-") {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(literal))
		if err != nil {
			return nil, fmt.Errorf("read the key in user.signingkey: %v", err)
		}
		return fromAgent(key, a, "user.signingkey")
	}
	path := home(name)
	data, err := readKey(path)
	if err != nil {
		return nil, err
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(data); err == nil {
		if signer, err := fromAgent(public, a, path); err == nil {
			return signer, nil
		}
		private := strings.TrimSuffix(path, ".pub")
		if private == path {
			return nil, fmt.Errorf("%s is a public key, and ssh-agent does not have it; add it there, or name the private key", path)
		}
		if path, data = private, nil; true {
			if data, err = readKey(path); err != nil {
				return nil, fmt.Errorf("ssh-agent does not have %s.pub, and: %v", path, err)
			}
		}
	}
	signer, err := ssh.ParsePrivateKey(data)
	locked, ok := errors.AsType[*ssh.PassphraseMissingError](err)
	if !ok {
		if err != nil {
			return nil, fmt.Errorf("read the key %s: %v; OpenPGP keys cannot sign here: docs/trust.md says how to sign with git tag -s", path, err)
		}
		return signer, nil
	}
	if locked.PublicKey != nil {
		if signer, err := fromAgent(locked.PublicKey, a, path); err == nil {
			return signer, nil
		}
	}
	return unlock(path, data, o.Passphrase)
}

func unlock(path string, data []byte, ask func(string) ([]byte, error)) (ssh.Signer, error) {
	if ask == nil {
		return nil, fmt.Errorf("%s has a passphrase, and there is no terminal to ask for it; add the key to ssh-agent", path)
	}
	secret, err := ask(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKeyWithPassphrase(data, secret)
	if err != nil {
		return nil, fmt.Errorf("open the key %s: the passphrase is wrong, or the key is of a kind that only ssh-agent can use", path)
	}
	return signer, nil
}

// fromAgent finds the private half of a key in the agent.
func fromAgent(key ssh.PublicKey, a agent.Agent, from string) (ssh.Signer, error) {
	if a == nil {
		return nil, fmt.Errorf("sign with the key of %s: there is no ssh-agent; set SSH_AUTH_SOCK, or name the private key with --key", from)
	}
	signers, err := a.Signers()
	if err != nil {
		return nil, fmt.Errorf("ask ssh-agent for its keys: %v", err)
	}
	for _, s := range signers {
		if bytes.Equal(s.PublicKey().Marshal(), key.Marshal()) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("ssh-agent does not have the key of %s; add it with ssh-add", from)
}

// dialAgent connects to ssh-agent where there is one.
func dialAgent(socket string) (agent.Agent, func(), error) {
	if socket == "" {
		return nil, func() {}, nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, func() {}, fmt.Errorf("reach ssh-agent at SSH_AUTH_SOCK: %v; start it, or unset SSH_AUTH_SOCK", err)
	}
	return agent.NewClient(conn), func() { conn.Close() }, nil
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("read the key %s: it is no key file", path)
	}
	return os.ReadFile(path)
}

// home replaces ~/ as git does in its configuration.
func home(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if dir, err := os.UserHomeDir(); err == nil {
			return filepath.Join(dir, rest)
		}
	}
	return path
}
