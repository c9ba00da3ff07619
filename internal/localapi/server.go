// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Limits on what a peer can cost the daemon.
const (
	maxBody    = 64 << 10
	maxHeader  = 16 << 10
	maxReaders = 32 // connections of users who may only read
	maxHistory = 1000
	maxBundle  = 1 << 30
	// reserved is the room on the disk that no bundle may take: the journal
	// needs it.
	reserved = 64 << 20
)

// Config is what a Server needs.
type Config struct {
	Controller Controller
	// WatchEvery is how often a watched status is looked at, by default every
	// quarter of a second.
	WatchEvery time.Duration
	// Spool is a folder on the disk, for the bundle that is being imported. The
	// server makes it and removes it, with all that is in it.
	Spool string
	// MaxBundle is the largest bundle that is taken, by default 1 GiB, and
	// Reserved the room that it must leave on the disk, by default 64 MiB.
	MaxBundle, Reserved int64
	// Patience is how long a peer may neither send nor take a byte of a bundle,
	// by default half a minute.
	Patience time.Duration
	// ErrorLog takes what goes wrong outside any request; nil drops it.
	ErrorLog *log.Logger
}

// Server answers on the socket.
type Server struct {
	cfg  Config
	http *http.Server
	// importing is held by the one import that there may be at a time.
	importing sync.Mutex
}

// NewServer makes a server. It listens to nothing yet: see Listen and Serve.
func NewServer(cfg Config) *Server {
	if cfg.WatchEvery <= 0 {
		cfg.WatchEvery = 250 * time.Millisecond
	}
	if cfg.MaxBundle <= 0 {
		cfg.MaxBundle = maxBundle
	}
	if cfg.Reserved <= 0 {
		cfg.Reserved = reserved
	}
	if cfg.Patience <= 0 {
		cfg.Patience = short
	}
	if cfg.ErrorLog == nil {
		cfg.ErrorLog = log.New(io.Discard, "", 0)
	}
	s := &Server{cfg: cfg}
	mux := http.NewServeMux()
	for _, route := range Routes() {
		mux.Handle(route.Method+" "+route.Path, s.serve(route))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &gitops.Error{
			Reason: gitops.NotFoundHere, Message: fmt.Sprintf("the daemon (version %s) does not know %s %s", cfg.Controller.Status().Version, r.Method, r.URL.Path),
			Remedy: "restart it if it was upgraded: systemctl restart edgeagent",
		})
	})
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          cfg.ErrorLog,
		ConnContext:       withPeer,
	}
	return s
}

// Serve answers on l until ctx is done. Requests that are under way then get a
// moment to end; watchers are cut off.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := s.removeSpool(); err != nil { // of a server that was killed
		s.cfg.ErrorLog.Print(err)
	}
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			s.http.Close() //nolint:errcheck // there is nothing left to save
		}
	})
	err := s.http.Serve(&limited{Listener: l, slots: make(chan struct{}, maxReaders)})
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the local socket: %w", err)
}

// serve wraps a route: who is asking, for how long, and how the answer is written.
func (s *Server) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, known := peerOf(r.Context())
		if !known {
			writeError(w, &gitops.Error{Reason: gitops.Forbidden, Message: "the kernel does not say who is asking", Remedy: "connect through the unix socket"})
			return
		}
		if route.Access == Write && !peer.mayWrite() {
			writeError(w, &gitops.Error{
				Reason: gitops.Forbidden, Message: fmt.Sprintf("%s may read and not change anything", peer),
				Remedy: "run the command as root",
			})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), route.Timeout)
		defer cancel()
		control := http.NewResponseController(w)
		control.SetWriteDeadline(time.Now().Add(route.Timeout + 10*time.Second)) //nolint:errcheck // the write fails instead
		if route.Path == pathStatus && r.URL.Query().Get("watch") != "" {
			s.watch(w, r)
			return
		}
		if route.stream != nil {
			if err := route.stream(s, w, r.WithContext(ctx)); err != nil {
				writeError(w, err)
			}
			return
		}
		if err := takeBody(control, w, r); err != nil {
			writeError(w, err)
			return
		}
		answer, err := route.handle(s, r.WithContext(ctx))
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, answer)
	})
}

// takeBody reads the request's body within its limits. It does what ReadTimeout
// of http.Server is for, which would also end every answer that takes longer.
func takeBody(control *http.ResponseController, w http.ResponseWriter, r *http.Request) error {
	control.SetReadDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // the read fails instead
	defer control.SetReadDeadline(time.Time{})                //nolint:errcheck // the same
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return badRequest("the request cannot be read: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func writeJSON(w http.ResponseWriter, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		writeError(w, fmt.Errorf("encode the answer: %v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n')) //nolint:errcheck // the peer is gone
}

// readBody takes the request apart strictly: a field that is not known would
// otherwise be a wish that is not granted.
func readBody[T any](r *http.Request) (T, error) {
	var request T
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil && !errors.Is(err, io.EOF) {
		return request, badRequest("the request is not understood: %v", err)
	}
	if decoder.More() {
		return request, badRequest("the request holds more than one value")
	}
	return request, nil
}
