// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/sys/unix"
)

// peer is who opened a connection, as the kernel says. It is who connected, not
// who sends: a connection that root hands to somebody stays root's.
type peer struct {
	uid uint32
}

func (p peer) String() string { return fmt.Sprintf("uid %d", p.uid) }

// mayWrite: root, and the user that the daemon runs as, who could do as much to
// the daemon by other means.
func (p peer) mayWrite() bool { return p.uid == 0 || int(p.uid) == os.Geteuid() }

type peerKey struct{}

// withPeer keeps the peer of a connection for its requests. Without an answer
// from the kernel there is no peer, and the request is refused.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if slot, ok := conn.(*slotted); ok {
		conn = slot.Conn
	}
	p, err := peerCredentials(conn)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, p)
}

func peerOf(ctx context.Context) (peer, bool) {
	p, ok := ctx.Value(peerKey{}).(peer)
	return p, ok
}

func by(r *http.Request) string {
	p, _ := peerOf(r.Context())
	return p.String()
}

func peerCredentials(conn net.Conn) (peer, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return peer{}, fmt.Errorf("ask who is connected: %T is not a unix socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return peer{}, fmt.Errorf("ask who is connected: %v", err)
	}
	var credentials *unix.Ucred
	var asked error
	err = raw.Control(func(fd uintptr) {
		credentials, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || asked != nil {
		return peer{}, fmt.Errorf("ask who is connected: %v %v", err, asked)
	}
	return peer{uid: credentials.Uid}, nil
}
