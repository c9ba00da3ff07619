// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// sshRemote runs git-upload-pack on a server over SSH. It reads no user's
// configuration and asks no agent: what it may use is in the node's file.
type sshRemote struct {
	wire
	place
	auth Auth

	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	errors  *tail
	unbind  func() bool
}

func (r *sshRemote) refs(ctx context.Context) (advertisement, error) {
	doing := "ask " + r.shown + " for its refs"
	if err := r.connect(ctx, doing); err != nil {
		r.end()
		return advertisement{}, err
	}
	ad, err := readAdvertisement(r.out, false, r.limits.RefBytes)
	if err != nil {
		return advertisement{}, r.explain(ctx, doing, err)
	}
	return ad, nil
}

func (r *sshRemote) pack(ctx context.Context, wants, haves []gitops.Hash, ad advertisement) (io.ReadCloser, error) {
	doing := "fetch from " + r.shown
	body, err := request(wants, haves, ad, r.agent)
	if err != nil {
		return nil, err
	}
	if _, err := r.in.Write(body); err != nil {
		return nil, r.explain(ctx, doing, err)
	}
	return io.NopCloser(newPackReader(r.out, func() {})), nil
}

// explain adds what the server wrote to its error output when it hung up.
func (r *sshRemote) explain(ctx context.Context, doing string, err error) error {
	if ctx.Err() == nil && errors.Is(err, io.ErrUnexpectedEOF) {
		_ = r.session.Wait() // until the error output is read; the context ends it
		if said := printable(r.errors.String(), 200); said != "" {
			return failed(gitops.NotGit, "check the path in the URL, and what the key may read",
				"%s: the server says %q", doing, said)
		}
	}
	return linkFailed(ctx, doing, err, r.now())
}

func (r *sshRemote) end() {
	if r.unbind != nil {
		r.unbind()
	}
	if r.client != nil {
		_ = r.client.Close()
	}
	r.client, r.unbind = nil, nil
}

// connect logs in and starts git-upload-pack. x/crypto/ssh knows no context:
// closing the connection is what ends its waits.
func (r *sshRemote) connect(ctx context.Context, doing string) error {
	addr := net.JoinHostPort(r.url.Hostname(), r.url.Port())
	if r.url.Port() == "" {
		addr = net.JoinHostPort(r.url.Hostname(), "22")
	}
	config, verdict, err := r.config(addr)
	if err != nil {
		return err
	}
	conn, err := r.meter.dialer(r.limits.Connect)(ctx, "tcp", addr)
	if err != nil {
		return linkFailed(ctx, doing, err, r.now())
	}
	r.unbind = context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, addr, config)
	if err != nil {
		_ = conn.Close()
		return r.loginFailed(ctx, doing, addr, *verdict, err)
	}
	r.client = ssh.NewClient(c, channels, requests)
	if err := r.start(); err != nil {
		return linkFailed(ctx, doing, err, r.now())
	}
	return nil
}

func (r *sshRemote) start() error {
	session, err := r.client.NewSession()
	if err != nil {
		return err
	}
	if r.in, err = session.StdinPipe(); err != nil {
		return err
	}
	if r.out, err = session.StdoutPipe(); err != nil {
		return err
	}
	r.errors = &tail{}
	session.Stderr = r.errors
	r.session = session
	return session.Start("git-upload-pack " + quote(r.path))
}

// quote is for the server's shell; "!" is special to some.
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

// hostVerdict is what the known hosts said about the server's key.
type hostVerdict struct {
	err         error
	fingerprint string
}

func (r *sshRemote) config(addr string) (*ssh.ClientConfig, *hostVerdict, error) {
	if r.auth.SSHKeyFile == "" || r.auth.KnownHostsFile == "" {
		return nil, nil, failed(gitops.Auth, "set both in the source's auth",
			"log in to %s: SSH needs sshKeyFile and knownHostsFile", r.shown)
	}
	key, err := readSecret("sshKeyFile", r.auth.SSHKeyFile)
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		remedy := "use an unencrypted OpenSSH or PEM private key"
		return nil, nil, failed(gitops.Auth, remedy, "read sshKeyFile %s: %v", r.auth.SSHKeyFile, err)
	}
	known, err := knownhosts.New(r.auth.KnownHostsFile)
	if err != nil {
		return nil, nil, failed(gitops.Auth, "make it with ssh-keyscan, and compare the fingerprints with the server's",
			"read knownHostsFile: %v", err)
	}
	listed, err := readFile("knownHostsFile", r.auth.KnownHostsFile)
	if err != nil {
		return nil, nil, err
	}
	verdict := &hostVerdict{}
	user := r.url.User.Username()
	if user == "" {
		user = "git"
	}
	return &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyAlgorithms: algorithms(known, listed, addr),
		ClientVersion:     "SSH-2.0-edgeagent",
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			verdict.fingerprint = ssh.FingerprintSHA256(key)
			verdict.err = known(host, remote, key)
			return verdict.err
		},
	}, verdict, nil
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
func (r *sshRemote) loginFailed(ctx context.Context, doing, addr string, host hostVerdict, err error) error {
	if ctx.Err() != nil {
		return linkFailed(ctx, doing, err, r.now())
	}
	if host.err != nil {
		how := "is not the one in"
		if e, ok := errors.AsType[*knownhosts.KeyError](host.err); ok && len(e.Want) == 0 {
			how = "is not in"
		}
		return failed(gitops.Auth, "compare the fingerprint with the server's, then correct the file",
			"%s: the host key %s of %s %s knownHostsFile %s", doing, host.fingerprint, addr, how, r.auth.KnownHostsFile)
	}
	text := printable(err.Error(), 200)
	if strings.Contains(text, "unable to authenticate") {
		return failed(gitops.Auth, "add the public key of sshKeyFile to the server", "%s: %s", doing, text)
	}
	if strings.Contains(text, "no common algorithm") {
		return failed(gitops.Auth, "update the server, or knownHostsFile", "%s: %s", doing, text)
	}
	return linkFailed(ctx, doing, err, r.now())
}

// tail keeps the end of what is written to it.
type tail struct{ buf bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - 1024; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string { return t.buf.String() }
