// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// sshTransport runs git-upload-pack on a server over SSH. It reads no user's
// configuration and asks no agent: what it may use is in the node's file.
// A connection serves many polls; each conversation has its own session, which
// takes one command of v2 after the other.
type sshTransport struct {
	cfg Config

	client  *ssh.Client
	stamp   [sha256.Size]byte // of the files that client logged in with
	idle    *time.Timer       // closes a connection that nobody needs
	session *session
}

// session is one git-upload-pack.
type session struct {
	*ssh.Session
	in     io.WriteCloser
	out    *bufio.Reader
	errors tail
	v0     bool // takes one request only
}

func (r *sshTransport) ready() bool { return r.session != nil }

// greet starts git-upload-pack, over the connection that is there if it still lives.
func (r *sshTransport) greet(g *guard, doing string) (exchange, error) {
	r.end()
	addr := net.JoinHostPort(r.cfg.Place.URL.Hostname(), r.cfg.Place.URL.Port())
	if r.cfg.Place.URL.Port() == "" {
		addr = net.JoinHostPort(r.cfg.Place.URL.Hostname(), "22")
	}
	login, err := r.login(addr)
	if err != nil {
		return exchange{}, err
	}
	if r.idle != nil {
		r.idle.Stop()
	}
	if r.client != nil && (r.stamp != login.stamp || !r.again(g)) {
		r.close()
	}
	if r.session == nil {
		g.again()
		if err := r.connect(g.ctx, doing, addr, login); err != nil {
			return exchange{}, err
		}
		stop := r.bind(g)
		r.session, err = start(r.client, r.cfg.Place.Path)
		stop()
		if err != nil {
			r.close()
			return exchange{}, linkFailed(g.ctx, doing, err, r.cfg.Now())
		}
	}
	return r.exchange(g), nil
}

// again starts a session on the connection of an earlier conversation. Networks
// forget connections that idle, without a word: half of the time for an answer
// is left for a new one.
func (r *sshTransport) again(g *guard) bool {
	defer r.bind(g)()
	dead := time.AfterFunc(r.cfg.Limits.Idle/2, func() { _ = r.client.Close() })
	defer dead.Stop()
	s, err := start(r.client, r.cfg.Place.Path)
	if err != nil {
		return false
	}
	r.session = s
	return true
}

// connect logs in. x/crypto/ssh knows no context: closing the connection is
// what ends its waits.
func (r *sshTransport) connect(ctx context.Context, doing, addr string, login *sshLogin) error {
	conn, err := r.cfg.Meter.dialer(r.cfg.Limits.Connect)(ctx, "tcp", addr)
	if err != nil {
		return linkFailed(ctx, doing, err, r.cfg.Now())
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c, channels, requests, err := ssh.NewClientConn(conn, addr, login.config)
	if err != nil {
		_ = conn.Close()
		return r.loginFailed(ctx, doing, addr, *login.verdict, err)
	}
	r.client, r.stamp = ssh.NewClient(c, channels, requests), login.stamp
	return nil
}

// start runs the server's program. A server may ignore what it is told of the
// protocol, and then speaks v0: that is not waited for.
func start(client *ssh.Client, path string) (*session, error) {
	s, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	out := &session{Session: s}
	s.Stderr = &out.errors
	stdout, err := s.StdoutPipe()
	if err == nil {
		out.in, err = s.StdinPipe()
	}
	if err == nil {
		env := struct{ Name, Value string }{"GIT_PROTOCOL", "version=2"}
		_, err = s.SendRequest("env", false, ssh.Marshal(env))
	}
	if err == nil {
		err = s.Start("git-upload-pack " + quote(path))
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	out.out = bufio.NewReaderSize(stdout, 32<<10)
	return out, nil
}

// quote is for the server's shell; "!" is special to some.
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

func (r *sshTransport) ask(g *guard, doing string, v2 bool, body []byte) (exchange, error) {
	x := r.exchange(g)
	r.session.v0 = !v2
	if _, err := r.session.in.Write(body); err != nil && !errors.Is(err, io.EOF) {
		x.done(false)
		return exchange{}, linkFailed(g.ctx, doing, err, r.cfg.Now())
	}
	// Of a server that hung up, the answer tells more.
	return x, nil
}

// exchange reads what the session says next.
func (r *sshTransport) exchange(g *guard) exchange {
	s, stop := r.session, r.bind(g)
	return exchange{Reader: s.out, done: func(whole bool) {
		stop()
		if !whole || s.v0 {
			r.end()
		}
	}}
}

// bind closes the connection when the guard ends the request, and keeps it alive
// for as long: a server may count for longer than the network remembers.
func (r *sshTransport) bind(g *guard) (release func()) {
	client := r.client
	unbind := context.AfterFunc(g.ctx, func() { _ = client.Close() })
	over := make(chan struct{})
	go r.keepAlive(g, client, over)
	return sync.OnceFunc(func() {
		unbind()
		close(over)
	})
}

func (r *sshTransport) keepAlive(g *guard, client *ssh.Client, over <-chan struct{}) {
	patience := r.cfg.Limits.Idle / 2
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for count, _ := r.cfg.Meter.Bytes(); ; {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		if in, _ := r.cfg.Meter.Bytes(); in != count {
			count = in
			continue
		}
		// What we send moves the meter: only an answer says that the other side is there.
		dead := time.AfterFunc(patience, func() {
			g.cancel(failed(gitops.Timeout, "check the network and the server", "no byte came for %s", 2*patience))
		})
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		dead.Stop()
		if err != nil {
			return
		}
		count, _ = r.cfg.Meter.Bytes()
	}
}

// explain adds what the server wrote to its error output when its program ended.
func (r *sshTransport) explain(doing string) error {
	if r.session == nil {
		return nil
	}
	// The context ends the wait. A cut connection leaves no exit status.
	exit, ok := errors.AsType[*ssh.ExitError](r.session.Wait())
	if !ok {
		return nil
	}
	said := printable(r.session.errors.String(), 200)
	if said == "" {
		said = fmt.Sprintf("exit status %d", exit.ExitStatus())
	}
	return failed(gitops.NotGit, "check the path in the URL, and what the key may read",
		"%s: the server says %q", doing, said)
}

// end ends the conversation. The connection is kept for the next one.
func (r *sshTransport) end() {
	if r.session != nil {
		_ = r.session.Close()
		r.session = nil
	}
	if r.client != nil {
		if r.idle != nil {
			r.idle.Stop()
		}
		client := r.client
		r.idle = time.AfterFunc(r.cfg.IdleConn, func() { _ = client.Close() })
	}
}

func (r *sshTransport) close() {
	r.end()
	if r.client != nil {
		r.idle.Stop()
		_ = r.client.Close()
		r.client = nil
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - 1024; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
