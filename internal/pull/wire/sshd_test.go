// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

const sshdPath = "/usr/sbin/sshd"

// sshd is a real OpenSSH server on loopback.
type sshd struct {
	t       *testing.T
	dir     string
	addr    string
	user    string
	ecdsa   ssh.PublicKey // one of its two host keys
	ed25519 ssh.PublicKey
	log     journal
}

// journal is what the server logs, from another goroutine.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// newSSHD lets GIT_PROTOCOL through where v2 is set, as Debian and forges do.
func newSSHD(t *testing.T, v2 bool) *sshd {
	t.Helper()
	if _, err := os.Stat(sshdPath); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("SSH is not tested: install the package openssh-server")
		}
		t.Skip("SSH IS NOT TESTED: install the package openssh-server")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	d := &sshd{t: t, dir: t.TempDir(), user: me.Username}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d.ed25519 = d.writeKey("host_ed25519", edKey, "")
	d.ecdsa = d.writeKey("host_ecdsa", ecKey, "")
	d.start(v2)
	return d
}

// writeKey writes a private key and returns its public half.
func (d *sshd) writeKey(name string, key any, passphrase string) ssh.PublicKey {
	d.t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.write(name, pem.EncodeToMemory(block))
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		d.t.Fatal(err)
	}
	return signer.PublicKey()
}

func (d *sshd) write(name string, content []byte) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	_ = os.Remove(path) // its mode would stay
	if err := os.WriteFile(path, content, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d *sshd) start(v2 bool) {
	accept := ""
	if v2 {
		accept = "AcceptEnv GIT_PROTOCOL"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.addr = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(d.addr)
	conf := d.write("sshd_config", fmt.Appendf(nil, `ListenAddress 127.0.0.1
Port %s
HostKey %[2]s/host_ed25519
HostKey %[2]s/host_ecdsa
AuthorizedKeysFile %[2]s/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
%[3]s
`, port, d.dir, accept))
	cmd := exec.Command(sshdPath, "-D", "-e", "-f", conf)
	cmd.Stderr = &d.log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if d.t.Failed() {
			d.t.Log(d.log.String())
		}
	})
	for range 200 {
		if c, err := net.Dial("tcp", d.addr); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	d.t.Fatalf("sshd does not listen: %s", d.log.String())
}

// allow makes a user key and lets it in.
func (d *sshd) allow(name string) (keyFile string) {
	d.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	public := d.writeKey(name, key, "")
	d.write("authorized_keys", ssh.MarshalAuthorizedKey(public))
	return filepath.Join(d.dir, name)
}

func (d *sshd) known(keys ...ssh.PublicKey) string {
	var out []byte
	for _, k := range keys {
		out = append(out, knownhosts.Line([]string{knownhosts.Normalize(d.addr)}, k)+"\n"...)
	}
	return d.write("known_hosts", out)
}

func (d *sshd) config(path string) wire.Config {
	d.t.Helper()
	cfg := config(d.t, "ssh://"+d.user+"@"+d.addr+path)
	cfg.Auth = wire.Auth{SSHKeyFile: d.allow("id"), KnownHostsFile: d.known(d.ecdsa)}
	return cfg
}

// strangerKey has the type of a host key that the server has.
func strangerKey(t *testing.T) ssh.PublicKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// otherKind has a type that the server has no host key of.
func otherKind(t *testing.T) ssh.PublicKey {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return public
}
