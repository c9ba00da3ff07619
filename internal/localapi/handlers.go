// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func source(r *http.Request) string { return r.URL.Query().Get("source") }

// mustSource is for requests that are about exactly one source.
func mustSource(r *http.Request) (string, error) {
	if name := source(r); name != "" {
		return name, nil
	}
	return "", badRequest("the request names no source")
}

// statusFor is the status, of one source when it is named.
func (s *Server) statusFor(name string) (gitops.Status, error) {
	status := s.cfg.Controller.Status()
	if name == "" {
		return status, nil
	}
	for _, one := range status.Sources {
		if one.Name == name {
			status.Sources = []gitops.SourceStatus{one}
			return status, nil
		}
	}
	return status, unknownSource(name, status)
}

func unknownSource(name string, status gitops.Status) error {
	remedy := "there are no sources: add one to the configuration"
	if len(status.Sources) > 0 {
		names := make([]string, len(status.Sources))
		for i, one := range status.Sources {
			names[i] = one.Name
		}
		remedy = "the sources are " + strings.Join(names, ", ")
	}
	return &gitops.Error{Reason: gitops.NotFoundHere, Message: "there is no source " + strconv.Quote(name), Remedy: remedy}
}

func (s *Server) status(r *http.Request) (any, error) {
	return s.statusFor(source(r))
}

// watch sends the status, and again whenever it has changed, one JSON value on
// a line, until the peer goes away or the daemon stops.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	look := time.NewTicker(s.cfg.WatchEvery)
	defer look.Stop()
	var last []byte
	for {
		status, err := s.statusFor(source(r))
		if err != nil && last == nil {
			writeError(w, err)
			return
		}
		if err != nil {
			return // the source has gone
		}
		line, err := json.Marshal(status)
		if err != nil {
			return
		}
		if !bytes.Equal(line, last) {
			last = line
			control.SetWriteDeadline(time.Now().Add(short)) //nolint:errcheck // the write fails instead
			if _, err := w.Write(append(line, '\n')); err != nil || control.Flush() != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-look.C:
		}
	}
}

func (s *Server) history(r *http.Request) (any, error) {
	limit := 20
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxHistory {
			return nil, badRequest("limit is not a number from 1 to %d", maxHistory)
		}
		limit = n
	}
	attempts, err := s.cfg.Controller.History(r.Context(), source(r), limit)
	if attempts == nil {
		attempts = []gitops.Attempt{}
	}
	return attempts, err
}

func (s *Server) show(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	attempt, manifests, err := s.cfg.Controller.Show(r.Context(), name, r.URL.Query().Get("revision"))
	if err != nil {
		return nil, err
	}
	shown := Shown{Attempt: attempt, Manifests: []Document{}}
	if r.URL.Query().Get("manifests") == "" {
		return shown, nil
	}
	for _, m := range manifests.Objects {
		text, err := Mask(m)
		if err != nil {
			return nil, err
		}
		shown.Manifests = append(shown.Manifests, Document{Ref: m.Ref, Bundle: m.Bundle, YAML: text})
	}
	return shown, nil
}

func (s *Server) diff(r *http.Request) (any, error) {
	diffs, err := s.cfg.Controller.Diff(r.Context(), source(r))
	if diffs == nil {
		diffs = []gitops.ObjectDiff{}
	}
	return diffs, err
}

func (s *Server) verify(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	decisions, err := s.cfg.Controller.Verify(r.Context(), name, r.URL.Query().Get("revision"))
	if decisions == nil {
		decisions = []gitops.Decision{}
	}
	return decisions, err
}

func (s *Server) sync(r *http.Request) (any, error) {
	request, err := readBody[SyncRequest](r)
	if err != nil {
		return nil, err
	}
	if request.AllowPrune < 0 {
		return nil, badRequest("allowPrune is negative")
	}
	if request.AllowPrune > 0 && source(r) == "" {
		return nil, badRequest("allowPrune confirms for one source, and the request names none")
	}
	return s.cfg.Controller.Sync(r.Context(), source(r), request)
}

func (s *Server) rollback(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	request, err := readBody[RollbackRequest](r)
	if err != nil {
		return nil, err
	}
	request.By = by(r)
	return s.cfg.Controller.Rollback(r.Context(), name, request)
}

func (s *Server) retry(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	return s.cfg.Controller.Retry(r.Context(), name)
}

func (s *Server) resume(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	return s.cfg.Controller.Resume(r.Context(), name)
}

func (s *Server) suspend(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	request, err := readBody[SuspendRequest](r)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(request.Reason) == "" {
		return nil, badRequest("the request gives no reason")
	}
	request.By = by(r)
	return struct{}{}, s.cfg.Controller.Suspend(r.Context(), name, request)
}

func (s *Server) remove(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	request, err := readBody[RemoveRequest](r)
	if err != nil {
		return nil, err
	}
	request.By = by(r)
	changes, err := s.cfg.Controller.Remove(r.Context(), name, request)
	if changes == nil {
		changes = []gitops.Change{}
	}
	return changes, err
}

func (s *Server) accept(r *http.Request) (any, error) {
	name, err := mustSource(r)
	if err != nil {
		return nil, err
	}
	request, err := readBody[AcceptRequest](r)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(request.Reason) == "" || request.Revision == "" {
		return nil, badRequest("the request names no revision or gives no reason")
	}
	request.By = by(r)
	return s.cfg.Controller.Accept(r.Context(), name, request)
}

func (s *Server) acceptIdentity(r *http.Request) (any, error) {
	return struct{}{}, s.cfg.Controller.AcceptIdentity(r.Context())
}
