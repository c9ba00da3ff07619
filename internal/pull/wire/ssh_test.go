// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
	"github.com/edgeagent/edgeagent/test/k3d/link"
)

// alone keeps every user's configuration, agent and environment away.
func alone(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "/nonexistent")
	t.Setenv("SSH_KNOWN_HOSTS", "/nonexistent")
	t.Setenv("HOME", t.TempDir())
}

func TestSSH(t *testing.T) {
	alone(t)
	f := newFleet(t)
	for name, v2 := range map[string]bool{"v2": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			d := newSSHD(t, v2)
			cfg := d.config(f.dir)
			c := open(t, cfg)
			head := poll(t, c)
			s := c.Server()
			if head != f.hash("main") || s.Protocol != name || s.Filter != v2 || s.AnyWant != v2 {
				t.Fatalf("%s, %+v", head, s)
			}
			whole := f.objects("main")
			// A conversation: refs, then what is missing, in as many requests as it takes.
			for range 3 {
				if _, err := c.Refs(t.Context(), mainOnly); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					pack := fetch(t, c, wire.Request{Wants: []gitops.Hash{head}})
					if got := f.unpack(pack); !slices.Equal(got, whole) {
						t.Fatalf("objects %q", got)
					}
				}
				c.End()
			}
			if v2 {
				pack := fetch(t, c, wire.Request{Wants: []gitops.Hash{f.hash("main^{tree}")}, Filter: "tree:0"})
				if got := f.unpack(pack); !slices.Equal(got, []string{string(f.hash("main^{tree}"))}) {
					t.Fatalf("objects %q", got)
				}
			}
			if n := strings.Count(d.log.String(), "Accepted publickey"); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			// The server has two host keys: whichever is known is the one to ask for.
			cfg.Auth.KnownHostsFile = d.known(d.ed25519)
			poll(t, open(t, cfg))
		})
	}
}

func TestSSHPaths(t *testing.T) {
	alone(t)
	f := newFleet(t)
	d := newSSHD(t, true)
	odd := filepath.Join(filepath.Dir(f.dir), "it's! odd.git")
	f.git("", "clone", "-q", "--bare", f.dir, odd)
	if poll(t, open(t, d.config(strings.ReplaceAll(odd, " ", "%20")))) != f.hash("main") {
		t.Fatal("another head")
	}
}

func TestSSHRereadsItsFiles(t *testing.T) {
	alone(t)
	f := newFleet(t)
	d := newSSHD(t, true)
	cfg := d.config(f.dir)
	c := open(t, cfg)
	poll(t, c)
	d.known(strangerKey(t)) // the server's key is not trusted any more
	_, err := c.Refs(t.Context(), mainOnly)
	wantReason(t, err, gitops.Auth)
	d.known(d.ecdsa)
	poll(t, c)
}

func TestSSHBytesOfAPoll(t *testing.T) {
	alone(t)
	f := newFleet(t)
	d := newSSHD(t, true)
	cfg := d.config(f.dir)
	c := open(t, cfg)
	for i, most := range []int64{8000, 1500, 1500} {
		in, out := cfg.Meter.Bytes()
		poll(t, c)
		in2, out2 := cfg.Meter.Bytes()
		t.Logf("poll %d: %d in, %d out", i, in2-in, out2-out)
		if n := in2 - in + out2 - out; n > most {
			t.Errorf("poll %d took %d bytes, more than %d", i, n, most)
		}
	}
}

func TestSSHFailures(t *testing.T) {
	alone(t)
	d := newSSHD(t, true)
	f := newFleet(t)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change func(*wire.Config)
		reason gitops.Reason
		text   string
	}{
		"host not known":         {func(c *wire.Config) { c.Auth.KnownHostsFile = d.known() }, gitops.Auth, "is not in"},
		"host key changed":       {func(c *wire.Config) { c.Auth.KnownHostsFile = d.known(strangerKey(t)) }, gitops.Auth, "is not the one in"},
		"host key of no kind":    {func(c *wire.Config) { c.Auth.KnownHostsFile = d.known(otherKind(t)) }, gitops.Auth, "no common algorithm"},
		"known hosts missing":    {func(c *wire.Config) { c.Auth.KnownHostsFile = "/nonexistent" }, gitops.Auth, "ssh-keyscan"},
		"known hosts not set":    {func(c *wire.Config) { c.Auth.KnownHostsFile = "" }, gitops.Auth, "knownHostsFile"},
		"known hosts unreadable": {func(c *wire.Config) { c.Auth.KnownHostsFile = d.write("junk", []byte("a b c d\n")) }, gitops.Auth, "ssh-keyscan"},
		"user key not allowed": {func(c *wire.Config) {
			d.writeKey("stranger", stranger, "")
			c.Auth.SSHKeyFile = filepath.Join(d.dir, "stranger")
		}, gitops.Auth, "unable to authenticate"},
		"user key encrypted": {func(c *wire.Config) {
			d.writeKey("locked", stranger, "secret")
			c.Auth.SSHKeyFile = filepath.Join(d.dir, "locked")
		}, gitops.Auth, "unencrypted"},
		"user key open to others": {func(c *wire.Config) {
			if err := os.Chmod(c.Auth.SSHKeyFile, 0o644); err != nil {
				t.Fatal(err)
			}
		}, gitops.Auth, "chmod 600"},
		"user key missing": {func(c *wire.Config) { c.Auth.SSHKeyFile = "/nonexistent" }, gitops.Auth, "check the path"},
		"no repository":    {func(c *wire.Config) { c.Place.Path += "/none" }, gitops.NotGit, "does not appear to be a git repository"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := d.config(f.dir)
			c.change(&cfg)
			_, err := open(t, cfg).Refs(t.Context(), mainOnly)
			wantReason(t, err, c.reason)
			wantText(t, err, c.text)
		})
	}
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
			_, err = open(t, cfg).Refs(t.Context(), mainOnly)
			wantReason(t, err, gitops.Timeout)
		})
	}
}

// through leads an SSH client over a link.
func (d *sshd) through(t *testing.T, path string) (*link.Proxy, wire.Config) {
	t.Helper()
	proxy, err := link.Start(d.addr, link.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	real := d.addr
	d.addr = proxy.Addr()
	defer func() { d.addr = real }()
	return proxy, d.config(path)
}

func TestSSHOverABadLink(t *testing.T) {
	alone(t)
	f := newFleet(t)
	d := newSSHD(t, true)
	want := wire.Request{Wants: []gitops.Hash{f.hash("main")}}
	proxy, cfg := d.through(t, f.dir)
	cfg.Limits.Idle = 3 * time.Second
	c := open(t, cfg)
	whole := fetch(t, c, want)
	c.Close()

	t.Run("cut", func(t *testing.T) {
		proxy.Set(link.Shape{Cut: 100_000})
		pack, err := c.Fetch(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		var came bytes.Buffer
		_, err = came.ReadFrom(pack)
		_ = pack.Close()
		wantReason(t, err, gitops.Unreachable)
		wantText(t, err, "cut")
		if !bytes.HasPrefix(whole, came.Bytes()) || came.Len() < 40_000 {
			t.Errorf("%d bytes of the pack came", came.Len())
		}
	})
	proxy.Set(link.Shape{})
	if poll(t, c) != f.hash("main") {
		t.Fatal("the next poll does not work")
	}
	t.Run("a connection that was forgotten", func(t *testing.T) {
		proxy.Sever()
		poll(t, c)
		proxy.Forget()
		poll(t, c)
		if n := proxy.Counters().Connections; n != 0 {
			t.Errorf("%d new connections, want the kept one", n)
		}
	})
	t.Run("dead while it is waited for", func(t *testing.T) {
		pack, err := c.Fetch(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pack.Close() }()
		proxy.Set(link.Shape{Blackhole: true})
		var came bytes.Buffer
		_, err = came.ReadFrom(pack)
		wantReason(t, err, gitops.Timeout)
	})
}

func TestSSHConnectionsAreNotKeptForEver(t *testing.T) {
	alone(t)
	f := newFleet(t)
	d := newSSHD(t, true)
	proxy, cfg := d.through(t, f.dir)
	cfg.IdleConn = time.Millisecond
	c := open(t, cfg)
	for range 200 {
		poll(t, c)
		if proxy.Counters().Connections > 1 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("an idle connection is never closed")
}
