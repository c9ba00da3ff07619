// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// sshLogin is what a connection is made with.
type sshLogin struct {
	config  *ssh.ClientConfig
	verdict *hostVerdict
	stamp   [sha256.Size]byte
}

// hostVerdict is what the known hosts said about the server's key.
type hostVerdict struct {
	err         error
	fingerprint string
}

// login is made from the files as they are now; the stamp changes when one of
// them does.
func (r *sshTransport) login(addr string) (*sshLogin, error) {
	if r.cfg.Auth.SSHKeyFile == "" || r.cfg.Auth.KnownHostsFile == "" {
		return nil, failed(gitops.Auth, "set both in the source's auth",
			"log in to %s: SSH needs sshKeyFile and knownHostsFile", r.cfg.Place.Shown)
	}
	key, err := readSecret("sshKeyFile", r.cfg.Auth.SSHKeyFile)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		remedy := "use an unencrypted OpenSSH or PEM private key"
		return nil, failed(gitops.Auth, remedy, "read sshKeyFile %s: %v", r.cfg.Auth.SSHKeyFile, err)
	}
	known, err := knownhosts.New(r.cfg.Auth.KnownHostsFile)
	if err != nil {
		return nil, failed(gitops.Auth, "make it with ssh-keyscan, and compare the fingerprints with the server's",
			"read knownHostsFile: %v", err)
	}
	listed, err := readFile("knownHostsFile", r.cfg.Auth.KnownHostsFile)
	if err != nil {
		return nil, err
	}
	verdict := &hostVerdict{}
	user := r.cfg.Place.URL.User.Username()
	if user == "" {
		user = "git"
	}
	stamp := sha256.Sum256(append(append(key, 0), listed...))
	return &sshLogin{stamp: stamp, verdict: verdict, config: &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyAlgorithms: algorithms(known, listed, addr),
		ClientVersion:     "SSH-2.0-edgeagent",
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			verdict.fingerprint = ssh.FingerprintSHA256(key)
			verdict.err = known(host, remote, key)
			return verdict.err
		},
	}}, nil
}

// noKey is known to nobody: what it is compared with is what is known.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }

// algorithms asks only for keys that are known: a server with several kinds
// of keys could otherwise show one that is not, and be refused. Where a CA is
// listed the server may show a certificate of any kind.
func algorithms(known ssh.HostKeyCallback, listed []byte, addr string) []string {
	if bytes.Contains(listed, []byte("@cert-authority")) {
		return nil
	}
	e, ok := errors.AsType[*knownhosts.KeyError](known(addr, &net.TCPAddr{IP: net.IPv4zero}, noKey{}))
	if !ok {
		return nil
	}
	var out []string
	for _, want := range e.Want {
		if t := want.Key.Type(); t == ssh.KeyAlgoRSA {
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		} else {
			out = append(out, t)
		}
	}
	return out
}

// loginFailed tells a wrong host key from a wrong user key from a bad link.
func (r *sshTransport) loginFailed(ctx context.Context, doing, addr string, host hostVerdict, err error) error {
	if ctx.Err() != nil {
		return linkFailed(ctx, doing, err, r.cfg.Now())
	}
	if host.err != nil {
		how := "is not the one in"
		if e, ok := errors.AsType[*knownhosts.KeyError](host.err); ok && len(e.Want) == 0 {
			how = "is not in"
		}
		return failed(gitops.Auth, "compare the fingerprint with the server's, then correct the file",
			"%s: the host key %s of %s %s knownHostsFile %s", doing, host.fingerprint, addr, how, r.cfg.Auth.KnownHostsFile)
	}
	text := printable(err.Error(), 200)
	if strings.Contains(text, "unable to authenticate") {
		return failed(gitops.Auth, "add the public key of sshKeyFile to the server", "%s: %s", doing, text)
	}
	if strings.Contains(text, "no common algorithm") {
		return failed(gitops.Auth, "update the server, or knownHostsFile", "%s: %s", doing, text)
	}
	return linkFailed(ctx, doing, err, r.cfg.Now())
}
