// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/edgeagent/edgeagent/test/k3d/loopback"
	"github.com/edgeagent/edgeagent/test/k3d/pki"
)

// Mode is how a server answers.
type Mode string

// The modes. Everything but Serving answers every request in the same way.
const (
	Serving      Mode = ""
	Unauthorized Mode = "401"
	Forbidden    Mode = "403"
	NotFound     Mode = "404"
	ServerError  Mode = "500"
	HTML         Mode = "html" // 200 with a page, as a captive portal does
)

// Config says what to serve. Root is required.
type Config struct {
	Root               string // directory of the bare repositories
	TLS                bool   // with a certificate whose authority is in CAFile
	Username, Password string // both or none: basic authentication
	// Protocol0 is a server that does not know Git's protocol v2.
	Protocol0 bool
}

// Server serves repositories over smart HTTP. Its methods may be called from
// any goroutine.
type Server struct {
	config  Config
	address string
	backend http.Handler
	tls     *tls.Config
	caFile  string

	mu       sync.Mutex
	http     *http.Server // nil while stopped
	mode     Mode
	username string
	password string
	requests []*Request
	traffic  Traffic
}

// Start starts a server on a free port of loopback.
func Start(ctx context.Context, config Config) (*Server, error) {
	execPath, err := git(ctx, config.Root, "--exec-path")
	if err != nil {
		return nil, fmt.Errorf("find git's programs: %w", err)
	}
	program := filepath.Join(execPath, "git-http-backend")
	if _, err := exec.LookPath(program); err != nil {
		return nil, fmt.Errorf("find git http-backend, which is part of git: %w", err)
	}
	port, err := loopback.FreePort()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config: config, address: fmt.Sprintf("127.0.0.1:%d", port),
		username: config.Username, password: config.Password,
		backend: &cgi.Handler{
			Path: program,
			Dir:  config.Root,
			Env: append(environment(config.Root),
				"GIT_PROJECT_ROOT="+config.Root, "GIT_HTTP_EXPORT_ALL=1",
				// Repositories belong to the test, whoever runs it.
				"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"),
			Stderr: io.Discard, // what clients break off is no news
		},
	}
	if config.TLS {
		if err := s.prepareTLS(); err != nil {
			return nil, err
		}
	}
	return s, s.Start()
}

func (s *Server) prepareTLS() error {
	authority, err := pki.NewAuthority("git-server-ca")
	if err != nil {
		return err
	}
	pair, err := authority.Server(nil, nil)
	if err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return fmt.Errorf("load the certificate of the git server: %w", err)
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.caFile = filepath.Join(s.config.Root, "git-server-ca.crt")
	if err := os.WriteFile(s.caFile, authority.PEM, 0o644); err != nil {
		return fmt.Errorf("write the authority of the git server: %w", err)
	}
	return nil
}

// URL is the address of a repository that the server serves. It stays the same
// over Stop and Start, and has no credentials in it.
func (s *Server) URL(repo *Repo) string {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + s.address + "/" + repo.Name
}

// Address is host:port.
func (s *Server) Address() string { return s.address }

// CAFile is the authority of the server's certificate, "" without TLS.
func (s *Server) CAFile() string { return s.caFile }

// Start starts the server again after Stop.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return errors.New("start the git server: it runs already")
	}
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("start the git server: %w", err)
	}
	listener = &countingListener{Listener: listener, count: s.countBytes}
	if s.tls != nil {
		listener = tls.NewListener(listener, s.tls)
	}
	// Clients that break off are what tests do: no log.
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	s.http = server
	go server.Serve(listener) //nolint:errcheck // it ends by Stop, and only then
	return nil
}

// Stop closes the port and every connection, as a machine that is switched off.
func (s *Server) Stop() {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server != nil {
		server.Close() //nolint:errcheck // the listener is closed, which is all that matters
	}
}

// SetMode changes how the server answers from the next request on.
func (s *Server) SetMode(mode Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
}

// SetCredentials changes what basic authentication wants; "" and "" turn it off.
func (s *Server) SetCredentials(username, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.username, s.password = username, password
}

// ServeHTTP logs one request and answers it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	logged := &countingWriter{ResponseWriter: w, status: http.StatusOK}
	body := &countingReader{ReadCloser: r.Body}
	r.Body = body
	entry := s.begin(r)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		entry.Status, entry.BytesIn, entry.BytesOut = logged.status, body.n, logged.n
	}()
	if s.refuse(logged, r) {
		return
	}
	if s.config.Protocol0 {
		r.Header.Del("Git-Protocol")
	}
	// CGI passes a body's length, and git wants it for what is sent in chunks.
	if r.ContentLength < 0 {
		data, err := io.ReadAll(http.MaxBytesReader(w, body, 64<<20))
		if err != nil {
			http.Error(logged, "body too large", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
	}
	s.backend.ServeHTTP(logged, r)
}

// refuse answers in the server's mode, and reports whether it did.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	mode, username, password := s.mode, s.username, s.password
	s.mu.Unlock()
	givenName, givenPassword, _ := r.BasicAuth()
	if mode == Serving && username != "" && (givenName != username || givenPassword != password) {
		mode = Unauthorized
	}
	switch mode {
	case Serving:
		return false
	case Unauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
	case Forbidden:
		http.Error(w, "forbidden", http.StatusForbidden)
	case NotFound:
		http.NotFound(w, r)
	case HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, strings.Repeat("<html><body>Please log in to the network.</body></html>\n", 4)) //nolint:errcheck // the client's loss
	default:
		http.Error(w, "internal server error", http.StatusInternalServerError)
	}
	return true
}
