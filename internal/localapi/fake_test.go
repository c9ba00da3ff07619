// SPDX-License-Identifier: Apache-2.0

package localapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

// controller answers from its fields and notes what it was asked to change.
type controller struct {
	mu        sync.Mutex
	status    gitops.Status
	manifests gitops.Manifests
	err       error
	calls     []string
	pieces    []string      // what Export writes before it returns err
	taking    chan string   // where set, Import sends the file and waits for an answer
	hang      chan struct{} // where set, Diff sends when it begins and when its context ended
}

func (c *controller) note(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, fmt.Sprintf(format, args...))
	return c.err
}

func (c *controller) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.calls...)
}

func (c *controller) set(status gitops.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

func (c *controller) Status() gitops.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

func (c *controller) History(_ context.Context, source string, limit int) ([]gitops.Attempt, error) {
	day := time.Date(2026, 11, 22, 0, 0, len(source), 0, time.UTC)
	return []gitops.Attempt{{ID: 1, Source: source, Started: day}}, c.note("history %q %d", source, limit)
}

func (c *controller) Show(_ context.Context, source, revision string) (gitops.Attempt, gitops.Manifests, error) {
	return gitops.Attempt{ID: 7, Source: source}, c.manifests, c.note("show %s %s", source, revision)
}

func (c *controller) Diff(ctx context.Context, source string) ([]gitops.ObjectDiff, error) {
	if c.hang != nil {
		c.hang <- struct{}{}
		<-ctx.Done()
		c.hang <- struct{}{}
		return nil, ctx.Err()
	}
	return []gitops.ObjectDiff{{Action: gitops.Configured, Diff: source}}, c.note("diff %q", source)
}

func (c *controller) Verify(_ context.Context, source, revision string) ([]gitops.Decision, error) {
	return nil, c.note("verify %s %s", source, revision)
}

func (c *controller) Sync(_ context.Context, source string, r localapi.SyncRequest) (localapi.Ticket, error) {
	return localapi.Ticket{Cycles: map[string]int64{source: 4}}, c.note("sync %q %d", source, r.AllowPrune)
}

func (c *controller) Rollback(_ context.Context, source string, r localapi.RollbackRequest) (localapi.RollbackResponse, error) {
	answer := localapi.RollbackResponse{Hold: gitops.Hold{By: r.By, Pin: r.Pin}, Ticket: localapi.Ticket{Cycles: map[string]int64{source: 5}}}
	return answer, c.note("rollback %s %q %t by %s", source, r.To, r.Pin, r.By)
}

func (c *controller) Retry(_ context.Context, source string) (localapi.Ticket, error) {
	return localapi.Ticket{}, c.note("retry %s", source)
}

func (c *controller) Resume(_ context.Context, source string) (localapi.Ticket, error) {
	return localapi.Ticket{}, c.note("resume %s", source)
}

func (c *controller) Suspend(_ context.Context, source string, r localapi.SuspendRequest) error {
	return c.note("suspend %s %q by %s", source, r.Reason, r.By)
}

func (c *controller) Remove(_ context.Context, source string, r localapi.RemoveRequest) ([]gitops.Change, error) {
	return nil, c.note("remove %s %t by %s", source, r.Prune, r.By)
}

func (c *controller) Accept(_ context.Context, source string, r localapi.AcceptRequest) (localapi.AcceptResponse, error) {
	return localapi.AcceptResponse{Waiver: gitops.Waiver{By: r.By}}, c.note("accept %s %q because %q by %s", source, r.Revision, r.Reason, r.By)
}

func (c *controller) AcceptIdentity(context.Context) error { return c.note("accept identity") }

func (c *controller) Import(_ context.Context, source, file string) (gitops.Imported, error) {
	if c.taking != nil {
		c.taking <- file
		<-c.taking
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return gitops.Imported{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return gitops.Imported{}, err
	}
	return gitops.Imported{Source: source, New: true, Cycle: 6}, c.note("import %q %04o %d %.20q", source, info.Mode().Perm(), len(text), text)
}

func (c *controller) Export(_ context.Context, source string, w io.Writer) error {
	for _, piece := range c.pieces {
		if _, err := io.WriteString(w, piece); err != nil {
			return err
		}
	}
	return c.note("export %s", source)
}

func (c *controller) Metrics(w io.Writer) error {
	_, err := io.WriteString(w, "edgeagent_up 1\n")
	return err
}

func twoSources() gitops.Status {
	return gitops.Status{Version: "v1", Sources: []gitops.SourceStatus{{Name: "fleet"}, {Name: "base"}}}
}

// serve answers on a socket of its own until the test ends.
func serve(t *testing.T, c *controller) (socket string) {
	t.Helper()
	return serveWith(t, localapi.Config{Controller: c, Spool: filepath.Join(t.TempDir(), "spool")})
}

func serveWith(t *testing.T, cfg localapi.Config) (socket string) {
	t.Helper()
	cfg.WatchEvery = time.Millisecond
	socket = filepath.Join(t.TempDir(), "agent.sock")
	ctx, cancel := context.WithCancel(t.Context())
	l, err := localapi.Listen(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- localapi.NewServer(cfg).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return socket
}

const nobody = 65534

// dialAs connects as another user: only this thread is that user, and only
// while it connects. The tests run as root for it, as the daemon does.
func dialAs(uid int, socket string) (conn net.Conn, err error) {
	runtime.LockOSThread()
	if err := setEffectiveUID(uid); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("become uid %d (run the tests as root): %w", uid, err)
	}
	conn, err = net.Dial("unix", socket)
	if e := setEffectiveUID(0); e != nil {
		return conn, errors.Join(err, e) // the thread stays locked and ends
	}
	runtime.UnlockOSThread()
	return conn, err
}

func setEffectiveUID(uid int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0))
	if errno != 0 {
		return errno
	}
	return nil
}
