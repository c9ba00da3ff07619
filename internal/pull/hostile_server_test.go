// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Marks between the lines of protocol v2.
const (
	v2Flush = "0000"
	v2Delim = "0001"
)

func v2Line(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

// v2Script is a server of protocol v2 that is told what to say.
type v2Script struct {
	abilities, refs, fetch http.HandlerFunc
}

func (s v2Script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		s.abilities(w, r)
		return
	}
	body, err := readRequest(r)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	if bytes.Contains(body, []byte("command=ls-refs")) {
		s.refs(w, r)
		return
	}
	s.fetch(w, r)
}

// readRequest reads a request; long ones are compressed.
func readRequest(r *http.Request) ([]byte, error) {
	in := io.LimitReader(r.Body, 1<<20)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = zip
	}
	return io.ReadAll(io.LimitReader(in, 1<<20))
}

func v2Says(parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Join(parts, "")) }
}

// v2Able is a server's list of abilities, as git writes it.
func v2Able(lines ...string) http.HandlerFunc {
	said := "001e# service=git-upload-pack\n0000" + v2Line("version 2\n")
	for _, l := range lines {
		said += v2Line(l + "\n")
	}
	return v2Says(said, v2Flush)
}

func gitAbilities() http.HandlerFunc {
	return v2Able("agent=git/2.39.5", "ls-refs=unborn", "fetch=shallow wait-for-done filter", "server-option", "object-format=sha1")
}

// v2Main names id as main.
func v2Main(id gitops.Hash) http.HandlerFunc {
	return v2Says(v2Line(string(id)+" refs/heads/main\n"), v2Flush)
}

// v2Pack is an answer to fetch that holds a pack.
func v2Pack(pack []byte) string {
	var b strings.Builder
	b.WriteString(v2Line("packfile\n"))
	for len(pack) > 0 {
		n := min(len(pack), 65_515)
		b.WriteString(v2Line("\x01" + string(pack[:n])))
		pack = pack[n:]
	}
	return b.String() + v2Flush
}

// offering names id as main, and answers every fetch with the same bytes.
func offering(id gitops.Hash, fetch http.HandlerFunc) v2Script {
	return v2Script{abilities: gitAbilities(), refs: v2Main(id), fetch: fetch}
}

// sending offers a scene's commit and sends a pack.
func sending(s scene, pack []byte) v2Script { return offering(s.commitID, v2Says(v2Pack(pack))) }

// v2Endless writes first, and then the same for as long as somebody reads.
func v2Endless(first, again string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := io.WriteString(w, first)
		block := strings.Repeat(again, 1+4096/len(again))
		for err == nil && r.Context().Err() == nil {
			_, err = io.WriteString(w, block)
		}
	}
}

// v2Drip writes first, and then a byte now and then.
func v2Drip(first string, every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := io.WriteString(w, first)
		for err == nil && r.Context().Err() == nil {
			_, err = io.WriteString(w, "0")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(every)
		}
	}
}

// v2Stall writes first, and then nothing.
func v2Stall(first string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, first)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// v2Cut writes first and cuts the connection.
func v2Cut(first string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, first)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// v2Status answers with a status and headers, name and value in turn.
func v2Status(code int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for n := 0; n+1 < len(headers); n += 2 {
			w.Header().Set(headers[n], headers[n+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// turncoat is a server that can be replaced under its address.
type turncoat struct{ now atomic.Pointer[http.Handler] }

func (c *turncoat) be(h http.Handler) { c.now.Store(&h) }

func (c *turncoat) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*c.now.Load()).ServeHTTP(w, r) }

// changing answers each fetch with a file that was never asked for.
func changing() http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, v2Pack(packOf(object(blobEntry, fmt.Appendf(nil, "file %d", n.Add(1))))))
	}
}
