// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Group may read, where it exists.
const Group = "edgeagent"

// maxPath is what fits into a sockaddr_un with its closing zero byte.
const maxPath = 107

// Listen returns the socket that systemd made for the daemon, or makes it at
// path: mode 0660, the group's when there is one. Hold the lock of the journal
// before, so that two daemons do not race for the path.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the socket from systemd: %v; see systemctl status edgeagent.socket", err)
	}
	for _, l := range passed {
		if _, ok := l.(*net.UnixListener); ok {
			return l, nil
		}
	}
	if err := prepare(path); err != nil {
		return nil, err
	}
	l, err := bind(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := giveToGroup(path); err != nil {
		l.Close() //nolint:errcheck // the first error is the one that counts
		return nil, err
	}
	// The umask may have taken the group's right to connect away.
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close() //nolint:errcheck // the same
		return nil, fmt.Errorf("open the socket to its group: %v", err)
	}
	return l, nil
}

// bind makes the socket with its mode: set before bind, it is the file's from
// the beginning, and there is no moment at which others could connect.
func bind(ctx context.Context, path string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o660) }); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %v; set another socket in the configuration", path, reasonOf(err))
	}
	return l, nil
}

// prepare makes room for the socket at path, and refuses places where others
// could put theirs.
func prepare(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("listen on %s: the path has %d bytes and the kernel takes %d; set a shorter socket in the configuration", path, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	made := false
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the folder of the socket: %v; make it by hand or set another socket", err)
		}
		made = true
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the folder of the socket: %v", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("listen on %s: %s is not a folder; set another socket in the configuration", path, dir)
	}
	if !made && info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("listen on %s: everybody may write to %s, and could put a socket of their own there; run chmod o-w %s or set another socket", path, dir, dir)
	}
	return removeStale(path)
}

// removeStale takes a socket away that nobody answers on: a daemon was killed.
// Anything else at the path stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the socket: %v", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return &gitops.Error{
			Reason: gitops.Conflict, Message: "listen on " + path + ": there is something that is not a socket",
			Remedy: "move it away or set another socket in the configuration",
		}
	}
	conn, err := net.DialTimeout("unix", path, 2*time.Second)
	if err == nil {
		conn.Close() //nolint:errcheck // nothing was sent
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return &gitops.Error{
			Reason: gitops.Conflict, Message: "listen on " + path + ": another daemon answers there",
			Remedy: "stop it (systemctl stop edgeagent.socket edgeagent) or set another socket in the configuration",
		}
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket of a daemon that is gone: %v; remove it by hand", err)
	}
	return nil
}

func giveToGroup(path string) error {
	group, err := user.LookupGroup(Group)
	if err != nil {
		return nil // there is none: root only
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return nil
	}
	err = os.Lchown(path, -1, gid)
	if err != nil && os.Geteuid() == 0 {
		return fmt.Errorf("give the socket to the group %s: %v; remove the group or start the daemon by systemd", Group, err)
	}
	return nil // a daemon of an ordinary user is for that user
}

func reasonOf(err error) error {
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		return call.Err
	}
	return err
}

// limited bounds the connections of those who may only read, so that they
// cannot keep root out.
type limited struct {
	net.Listener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if p, err := peerCredentials(conn); err == nil && p.mayWrite() {
			return conn, nil
		}
		select {
		case l.slots <- struct{}{}:
			return &slotted{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			conn.Close() //nolint:errcheck // it was not used
		}
	}
}

// slotted gives its slot back when it is closed.
type slotted struct {
	net.Conn
	release func()
}

func (c *slotted) Close() error {
	defer c.release()
	return c.Conn.Close()
}
