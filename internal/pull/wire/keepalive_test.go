// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// hung is an SSH server that takes a command and says nothing more.
type hung struct {
	t       *testing.T
	answers atomic.Bool // to keep-alive requests
	alive   atomic.Int64
	config  *ssh.ServerConfig
}

// newHung returns a way to it.
func newHung(t *testing.T) (*hung, wire.Config) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	h := &hung{t: t, config: &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		return nil, nil
	}}}
	h.config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(c)
		}
	}()
	d := &sshd{t: t, dir: t.TempDir(), addr: l.Addr().String(), user: "git", ecdsa: signer.PublicKey()}
	return h, d.config("/r.git")
}

func (h *hung) serve(c net.Conn) {
	_, channels, requests, err := ssh.NewServerConn(c, h.config)
	if err != nil {
		return
	}
	go func() {
		for r := range requests {
			if r.Type != "keepalive@openssh.com" {
				continue
			}
			h.alive.Add(1)
			if h.answers.Load() {
				_ = r.Reply(false, nil) // as OpenSSH does
			}
		}
	}()
	for channel := range channels {
		session, requests, err := channel.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(true, nil)
			}
		}()
		go func() { _, _ = io.Copy(io.Discard, session) }()
	}
}

// TestSSHKeepAlive: a server that counts for long is kept from being forgotten
// by the network; one that is gone is found out, though our own bytes move; and
// one that only answers keep-alives gets nowhere.
func TestSSHKeepAlive(t *testing.T) {
	alone(t)
	for name, c := range map[string]struct {
		answers bool
		limits  wire.Limits
		reason  gitops.Reason
	}{
		"gone":                 {false, wire.Limits{Idle: 400 * time.Millisecond}, gitops.Timeout},
		"there, but no answer": {true, wire.Limits{Idle: 200 * time.Millisecond, RateWindow: time.Second, MinRate: 10_000}, gitops.TooSlow},
	} {
		t.Run(name, func(t *testing.T) {
			h, cfg := newHung(t)
			h.answers.Store(c.answers)
			cfg.Limits = c.limits
			_, err := open(t, cfg).Refs(t.Context(), mainOnly)
			wantReason(t, err, c.reason)
			if h.alive.Load() == 0 {
				t.Error("no keep-alive was sent")
			}
		})
	}
}
