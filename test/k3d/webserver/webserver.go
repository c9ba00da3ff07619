// SPDX-License-Identifier: Apache-2.0

// Package webserver is the static host of tests: Debian's nginx serving a
// directory on loopback, with a configuration of its own that knows neither CGI
// nor upstreams. It can be stopped and restarted on the same address. It is never
// part of the product.
package webserver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/edgeagent/edgeagent/test/k3d/loopback"
)

const startTimeout = 30 * time.Second

// Server is an nginx that serves one directory.
type Server struct {
	addr string
	home string // its configuration and temporary files
	cmd  *exec.Cmd
	said said
	done chan string // how it ended
}

// said keeps what nginx wrote, for whoever wonders why it does not start.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Start serves the directory root, and returns once it answers.
func Start(root string) (*Server, error) {
	port, err := loopback.FreePort()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "edgeagent-nginx")
	if err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	s := &Server{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), home: home}
	root, err = filepath.Abs(root)
	if err == nil {
		err = os.WriteFile(s.file("nginx.conf"), []byte(s.config(root)), 0o644)
	}
	if err == nil {
		err = s.Restart()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// URL is where the directory is, without a slash at the end.
func (s *Server) URL() string { return "http://" + s.addr }

// Addr is its host and port.
func (s *Server) Addr() string { return s.addr }

// Pid is the process of nginx; its workers are children of it.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

func (s *Server) file(name string) string { return filepath.Join(s.home, name) }

// config is nginx as it comes, without the log.
func (s *Server) config(root string) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // whose directories others may not read
	}
	return user + fmt.Sprintf(`daemon off;
worker_processes 1;
pid %q;
error_log stderr warn;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	default_type application/octet-stream;
	keepalive_timeout 3600s;
	keepalive_requests 1000000;
	client_body_temp_path %q;
	proxy_temp_path %q;
	fastcgi_temp_path %q;
	uwsgi_temp_path %q;
	scgi_temp_path %q;
	server {
		listen %s;
		root %q;
	}
}
`, s.file("pid"), s.file("body"), s.file("proxy"), s.file("fastcgi"), s.file("uwsgi"), s.file("scgi"), s.addr, root)
}

// Restart starts it, or starts it again after Stop.
func (s *Server) Restart() error {
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not on every user's path
	}
	s.cmd = exec.Command(program, "-p", s.home, "-e", "stderr", "-c", s.file("nginx.conf"))
	s.cmd.Stderr = &s.said
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return fmt.Errorf("start nginx (Debian's nginx-light): %w", err)
	}
	done, cmd := make(chan string, 1), s.cmd
	s.done = done
	go func() { done <- fmt.Sprint(cmd.Wait()) }()
	for begun := time.Now(); time.Since(begun) < startTimeout; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case end := <-done:
			s.cmd = nil
			return fmt.Errorf("start nginx: %s: %s", end, s.said.String())
		default:
		}
	}
	return errors.Join(fmt.Errorf("start nginx: it does not answer: %s", s.said.String()), s.Stop())
}

// Stop ends it; its files stay.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop nginx: %w", err)
	}
	select {
	case <-s.done: // a signal's exit code says nothing
		return nil
	case <-time.After(startTimeout):
		return errors.Join(errors.New("stop nginx: it goes on; it was killed"), cmd.Process.Kill())
	}
}

// Close stops it and removes its files.
func (s *Server) Close() error { return errors.Join(s.Stop(), os.RemoveAll(s.home)) }
