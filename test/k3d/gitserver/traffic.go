// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"io"
	"net"
	"net/http"
	"time"
)

// Request is one request. While it runs, Status and the byte counts are 0.
type Request struct {
	Time                time.Time
	Method, Path, Query string
	Protocol            string // of Git, e.g. version=2
	UserAgent           string
	Status              int
	BytesIn, BytesOut   int64 // of the bodies
}

// Traffic is what went over the wire: headers, bodies and TLS, without TCP's
// own bytes.
type Traffic struct {
	Requests          int
	BytesIn, BytesOut int64
}

// begin logs a request before it is answered, so that who has the answer finds
// it in the log.
func (s *Server) begin(r *http.Request) *Request {
	entry := &Request{
		Time: time.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Protocol: r.Header.Get("Git-Protocol"), UserAgent: r.UserAgent(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, entry)
	s.traffic.Requests++
	return entry
}

// Requests lists the requests since the start, or the last Forget, in the order
// of their arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Request, 0, len(s.requests))
	for _, r := range s.requests {
		list = append(list, *r)
	}
	return list
}

// Traffic sums up what went over the wire since the start, or the last Forget.
func (s *Server) Traffic() Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traffic
}

// Forget empties the log and the counters.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.traffic = nil, Traffic{}
}

func (s *Server) countBytes(in, out int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traffic.BytesIn += int64(in)
	s.traffic.BytesOut += int64(out)
}

type countingListener struct {
	net.Listener
	count func(in, out int)
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: conn, count: l.count}, nil
}

type countingConn struct {
	net.Conn
	count func(in, out int)
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.count(n, 0)
	return n, err
}

// Write counts before it sends: who has the answer finds it counted.
func (c *countingConn) Write(p []byte) (int, error) {
	c.count(0, len(p))
	return c.Conn.Write(p)
}

type countingReader struct {
	io.ReadCloser
	n int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.n += int64(n)
	return n, err
}

type countingWriter struct {
	http.ResponseWriter
	status int
	n      int64
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

// Flush lets the CGI handler pass bytes on as git makes them.
func (w *countingWriter) Flush() {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}
