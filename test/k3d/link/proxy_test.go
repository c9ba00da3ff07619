// SPDX-License-Identifier: Apache-2.0

package link_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/test/k3d/link"
	"github.com/edgeagent/edgeagent/test/k3d/pki"
)

// serve answers each connection by a function of its own.
func serve(t *testing.T, l net.Listener, answer func(net.Conn)) string {
	t.Helper()
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				answer(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// pouring sends bytes for as long as somebody takes them.
func pouring(conn net.Conn) {
	for {
		if _, err := conn.Write(make([]byte, 4096)); err != nil {
			return
		}
	}
}

func start(t *testing.T, upstream string, shape link.Shape) *link.Proxy {
	t.Helper()
	p, err := link.Start(upstream, shape)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *link.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// until polls a condition.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("waited in vain for: %s", what)
}

func TestGoodLinkPassesEverythingAndCounts(t *testing.T) {
	p := start(t, serve(t, listen(t), echo), link.Shape{})
	conn := dial(t, p)
	sent := bytes.Repeat([]byte("edge"), 50_000)
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes came back: %v", len(got), len(sent), err)
	}
	until(t, "the counters", func() bool { return p.Counters().Total() == int64(2*len(sent)) })
	if c := p.Counters(); c.Connections != 1 || c.Cuts != 0 || c.Up != c.Down {
		t.Errorf("%+v", c)
	}
	p.Forget()
	if c := p.Counters(); c != (link.Counters{}) {
		t.Errorf("%+v", c)
	}
}

func TestCutCountsBothWaysToTheByte(t *testing.T) {
	var cuts atomic.Int32
	p := start(t, serve(t, listen(t), echo), link.Shape{Cut: 1500, OnCut: func() { cuts.Add(1) }})
	for n := range 3 {
		conn := dial(t, p)
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(conn)
		if len(got) != 500 {
			t.Fatalf("%d bytes came back of 1000, want 500", len(got))
		}
		until(t, "the cut", func() bool { return int(cuts.Load()) == n+1 })
	}
	if c := p.Counters(); c.Total() != 4500 || c.Cuts != 3 || c.Connections != 3 {
		t.Errorf("%+v", c)
	}
}

func TestCutEndsAnEndlessAnswer(t *testing.T) {
	p := start(t, serve(t, listen(t), pouring), link.Shape{Cut: 100_000})
	if got, _ := io.ReadAll(dial(t, p)); len(got) != 100_000 {
		t.Errorf("%d bytes, want 100000", len(got))
	}
}

func TestCutFromTheEndOfTheHandshake(t *testing.T) {
	authority, err := pki.NewAuthority("link-ca")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Server(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: version})
			p := start(t, serve(t, l, pouring), link.Shape{Cut: 20_000, FromTLS: true})
			cache := tls.NewLRUClientSessionCache(1)
			for _, resumed := range []bool{false, true} {
				p.Forget()
				conn := tls.Client(dial(t, p), &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: cache})
				if err := conn.HandshakeContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := conn.ConnectionState().DidResume; got != resumed {
					t.Fatalf("resumed: %t, want %t", got, resumed)
				}
				got, _ := io.ReadAll(conn)
				until(t, "the cut", func() bool { return p.Counters().Cuts == 1 })
				handshake := p.Counters().Total() - 20_000
				t.Logf("resumed %t: %d bytes of handshake, %d of content before the cut", resumed, handshake, len(got))
				// What is not content are the records' frames and the session ticket.
				if len(got) > 20_000 || len(got) < 10_000 {
					t.Errorf("%d bytes of content", len(got))
				}
				if handshake < 200 || handshake > 5000 {
					t.Errorf("%d bytes did not count", handshake)
				}
			}
		})
	}
}

func TestDripPassesSoManyBytesPerTick(t *testing.T) {
	p := start(t, serve(t, listen(t), pouring), link.Shape{Drip: 7, Tick: time.Millisecond})
	conn := dial(t, p)
	buffer := make([]byte, 4096)
	for range 20 {
		if n, err := conn.Read(buffer); err != nil || n%7 != 0 || n == 0 {
			t.Fatalf("%d bytes at once, %v", n, err)
		}
	}
	// A shape that changes reaches the open connection.
	p.Set(link.Shape{})
	if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
}

func TestBlackholeHoldsUntilItIsGone(t *testing.T) {
	p := start(t, serve(t, listen(t), echo), link.Shape{Blackhole: true})
	conn := dial(t, p)
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes came through: %v", n, err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	p.Set(link.Shape{Delay: time.Millisecond})
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestDelayHoldsEachPieceBack(t *testing.T) {
	p := start(t, serve(t, listen(t), echo), link.Shape{Delay: 30 * time.Millisecond})
	conn := dial(t, p)
	begin := time.Now()
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Errorf("there and back in %s, with 30 ms each way", took)
	}
}

func TestLeadChangesWhatIsBehind(t *testing.T) {
	says := func(text string) func(net.Conn) {
		return func(conn net.Conn) { _, _ = io.WriteString(conn, text) }
	}
	p := start(t, serve(t, listen(t), says("one")), link.Shape{})
	for _, want := range []string{"one", "two"} {
		if got, _ := io.ReadAll(dial(t, p)); string(got) != want {
			t.Errorf("%q answered, want %q", got, want)
		}
		p.Lead(serve(t, listen(t), says("two")))
	}
}

func TestNobodyBehindIsAClosedConnection(t *testing.T) {
	l := listen(t)
	upstream := l.Addr().String()
	_ = l.Close()
	if got, _ := io.ReadAll(dial(t, start(t, upstream, link.Shape{}))); len(got) > 0 {
		t.Errorf("%d bytes from nobody", len(got))
	}
}

func TestSeverEndsWhatIsOpen(t *testing.T) {
	p := start(t, serve(t, listen(t), echo), link.Shape{Blackhole: true})
	conn := dial(t, p)
	until(t, "the connection", func() bool { return p.Counters().Connections == 1 })
	p.Sever()
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}

func TestCloseWaitsForNobodysGoodWill(t *testing.T) {
	stuck := make(chan struct{})
	defer close(stuck)
	p, err := link.Start(serve(t, listen(t), func(net.Conn) { <-stuck }), link.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go pouring(conn)
	until(t, "some bytes", func() bool { return p.Counters().Up > 0 })
	done := make(chan struct{})
	go func() { p.Close(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("Close hangs")
	}
}
