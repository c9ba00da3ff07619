// SPDX-License-Identifier: Apache-2.0

package localapi_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	inUse := filepath.Join(dir, "in-use.sock")
	l, err := net.Listen("unix", inUse)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, test := range []struct{ name, path, want string }{
		{"long path", filepath.Join(dir, strings.Repeat("s", 108)), "and the kernel takes 107; set a shorter socket"},
		{"something else", write("file", 0o644), "there is something that is not a socket; move it away"},
		{"in use", inUse, "another daemon answers there; stop it"},
		{"world-writable folder", filepath.Join(open, "s"), "everybody may write to"},
		{"file for a folder", filepath.Join(write("plain", 0o644), "s"), "plain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := localapi.Listen(t.Context(), test.path)
			if err == nil {
				l.Close()
				t.Fatal("listens")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v", err)
			}
		})
	}
	if conn, err := net.Dial("unix", inUse); err != nil {
		t.Errorf("the other daemon's socket is gone: %v", err)
	} else {
		conn.Close()
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

// What a killed daemon left behind does not stop the next one.
func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	l, err := localapi.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("a daemon that stops leaves its socket: %v", err)
	}
}

func TestMissingFolderIsMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "s")
	l, err := localapi.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestClientWithoutDaemon(t *testing.T) {
	dir := t.TempDir()
	_, err := localapi.NewClient(filepath.Join(dir, "none")).Status(t.Context(), "")
	if gitops.ReasonOf(err) != gitops.NoAnswer || !strings.Contains(err.Error(), "does not answer on "+dir+"/none; is it running? systemctl status edgeagent") {
		t.Errorf("error = %v", err)
	}
}

// Even under a umask that takes nothing away, others are kept out from the
// moment at which the socket is there.
func TestSocketIsNeverOpenToOthers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "s")
	l, err := localapi.Bind(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o660 {
		t.Errorf("mode is %04o", info.Mode().Perm())
	}
}

// systemd hands the socket over as file 3, and keeps it when the daemon stops.
func TestSocketOfSystemdIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// The variable names the process that the socket is for: the shell becomes it.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" -test.run '^TestHelperOfSystemd$' -test.v`, os.Args[0])
	cmd.Env = append(os.Environ(), "EDGEAGENT_TEST_HELPER=systemd")
	cmd.ExtraFiles = []*os.File{file}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "listens on "+path+"\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the daemon took systemd's socket away: %v", err)
	}
}

// TestHelperOfSystemd is the other process of the test above.
func TestHelperOfSystemd(t *testing.T) {
	if os.Getenv("EDGEAGENT_TEST_HELPER") != "systemd" {
		return
	}
	l, err := localapi.Listen(t.Context(), "/nowhere/at/all")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listens on " + l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Who is asking is known on a unix socket only; elsewhere nobody may even read.
func TestUnknownPeerIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- localapi.NewServer(localapi.Config{Controller: &controller{status: twoSources()}}).Serve(ctx, l)
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+"/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("status = %s", response.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
