// SPDX-License-Identifier: Apache-2.0

package pull_test

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
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
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
}

func newSSHD(t *testing.T) *sshd {
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
	d.start()
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

func (d *sshd) start() {
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
`, port, d.dir))
	var log bytes.Buffer
	cmd := exec.Command(sshdPath, "-D", "-e", "-f", conf)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if d.t.Failed() {
			d.t.Log(log.String())
		}
	})
	for range 200 {
		if c, err := net.Dial("tcp", d.addr); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	d.t.Fatalf("sshd does not listen: %s", log.String())
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

func (d *sshd) config(path string) pull.Config {
	cfg := config("")
	cfg.URL = "ssh://" + d.user + "@" + d.addr + path
	cfg.Insecure = false
	cfg.Auth = pull.Auth{SSHKeyFile: d.allow("id"), KnownHostsFile: d.known(d.ecdsa)}
	return cfg
}

func TestSSH(t *testing.T) {
	d := newSSHD(t)
	// No user's configuration, agent or environment may take part.
	t.Setenv("SSH_AUTH_SOCK", "/nonexistent")
	t.Setenv("SSH_KNOWN_HOSTS", "/nonexistent")
	t.Setenv("HOME", t.TempDir())
	r, head := small(t, 2)
	store := openStore(t, objects.Options{})
	s := newSource(t, d.config(r.bare), store)
	if c := mustPoll(t, s); c.Revision.Hash() != head || c.URL != "ssh://"+d.addr+r.bare {
		t.Fatalf("%+v", c)
	}
	mustPoll(t, s)
	r.write("app/version.yaml", "version: next\n")
	next := r.commit("next")
	if c := mustPoll(t, s); c.Revision.Hash() != next {
		t.Fatal(c)
	}
	readsBack(t, r, store, next)
	if l := s.Link(); l.BytesIn == 0 || l.BytesOut == 0 {
		t.Errorf("no bytes counted: %+v", l)
	}
	// The server has two host keys: whichever is known is the one to ask for.
	cfg := d.config(r.bare)
	cfg.Auth.KnownHostsFile = d.known(d.ed25519)
	mustPoll(t, newSource(t, cfg, store))
	odd := filepath.Join(r.root, "it's! odd.git")
	r.git(r.root, "clone", "-q", "--bare", r.bare, odd)
	if c := mustPoll(t, newSource(t, d.config(strings.ReplaceAll(odd, " ", "%20")), openStore(t, objects.Options{}))); c.Revision.Hash() != next {
		t.Fatal(c)
	}
}

func TestSSHFailures(t *testing.T) {
	d := newSSHD(t)
	r, _ := small(t, 1)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change func(*pull.Config)
		reason gitops.Reason
		text   string
	}{
		"host not known":         {func(c *pull.Config) { c.Auth.KnownHostsFile = d.known() }, gitops.Auth, "is not in"},
		"host key changed":       {func(c *pull.Config) { c.Auth.KnownHostsFile = d.known(strangerKey(t)) }, gitops.Auth, "is not the one in"},
		"host key of no kind":    {func(c *pull.Config) { c.Auth.KnownHostsFile = d.known(otherKind(t)) }, gitops.Auth, "no common algorithm"},
		"known hosts missing":    {func(c *pull.Config) { c.Auth.KnownHostsFile = "/nonexistent" }, gitops.Auth, "ssh-keyscan"},
		"known hosts not set":    {func(c *pull.Config) { c.Auth.KnownHostsFile = "" }, gitops.Auth, "knownHostsFile"},
		"known hosts unreadable": {func(c *pull.Config) { c.Auth.KnownHostsFile = d.write("junk", []byte("a b c d\n")) }, gitops.Auth, "ssh-keyscan"},
		"user key not allowed": {func(c *pull.Config) {
			d.writeKey("stranger", stranger, "")
			c.Auth.SSHKeyFile = filepath.Join(d.dir, "stranger")
		}, gitops.Auth, "unable to authenticate"},
		"user key encrypted": {func(c *pull.Config) {
			d.writeKey("locked", stranger, "secret")
			c.Auth.SSHKeyFile = filepath.Join(d.dir, "locked")
		}, gitops.Auth, "unencrypted"},
		"user key open to others": {func(c *pull.Config) {
			if err := os.Chmod(c.Auth.SSHKeyFile, 0o644); err != nil {
				t.Fatal(err)
			}
		}, gitops.Auth, "chmod 600"},
		"user key missing": {func(c *pull.Config) { c.Auth.SSHKeyFile = "/nonexistent" }, gitops.Auth, "check the path"},
		"no repository":    {func(c *pull.Config) { c.URL += "/none" }, gitops.NotGit, "does not appear to be a git repository"},
		"no ref":           {func(c *pull.Config) { c.Ref.Branch = "none" }, gitops.RefMissing, `"main"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := d.config(r.bare)
			c.change(&cfg)
			_, err := newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
			wantReason(t, err, c.reason)
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q is not in %q", c.text, err)
			}
		})
	}
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

// TestSSHServerThatStopsTalking covers what x/crypto/ssh does not bound: the
// greeting, and the time after it.
func TestSSHServerThatStopsTalking(t *testing.T) {
	for name, greeting := range map[string]string{"at once": "", "after the greeting": "SSH-2.0-x\r\n"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Write([]byte(greeting))
					defer func() { _ = c.Close() }()
				}
			}()
			d := &sshd{t: t, dir: t.TempDir(), addr: l.Addr().String(), user: "git"}
			d.ecdsa = strangerKey(t)
			cfg := d.config("/r.git")
			cfg.Limits.Idle = 300 * time.Millisecond
			_, err = newSource(t, cfg, openStore(t, objects.Options{})).Commits(t.Context(), gitops.PollRequest{})
			wantReason(t, err, gitops.Timeout)
		})
	}
}
