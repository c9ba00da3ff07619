// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// headerEnd comes after a bundle: "done", or the error that cut it short. Only
// with it is what came before whole.
const (
	headerEnd = "Edgeagent-End"
	endDone   = "done"
)

// importBundle takes a bundle onto the disk, and has the controller read it there.
func (s *Server) importBundle(w http.ResponseWriter, r *http.Request) error {
	if !s.importing.TryLock() {
		return &gitops.Error{Reason: gitops.Conflict, Message: "another bundle is being imported", Remedy: "wait until that has ended"}
	}
	defer s.importing.Unlock()
	imported, err := s.importFrom(w, r)
	if trouble := s.removeSpool(); trouble != nil {
		s.cfg.ErrorLog.Print(trouble) // what became of the bundle is the answer
	}
	if err != nil {
		return err
	}
	writeJSON(w, imported)
	return nil
}

func (s *Server) importFrom(w http.ResponseWriter, r *http.Request) (gitops.Imported, error) {
	file, err := s.spool(w, r)
	if err != nil {
		return gitops.Imported{}, err
	}
	imported, err := s.cfg.Controller.Import(r.Context(), source(r), file)
	if err != nil {
		// The file's name here means nothing to whoever sent it.
		e := *typed(err)
		e.Message = strings.NewReplacer(file, "the bundle", filepath.Base(file), "the bundle").Replace(e.Message)
		return imported, &e
	}
	return imported, nil
}

// spool writes the request's body into a file that only root may read. A body
// that is cut short, too large, or too large for the disk leaves no file.
func (s *Server) spool(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.ContentLength > s.cfg.MaxBundle {
		return "", s.tooLarge()
	}
	failed := func(err error) error {
		return &gitops.Error{
			Reason: gitops.StoreFailed, Message: fmt.Sprintf("keep the bundle in %s: %v", s.cfg.Spool, err),
			Remedy: "check the disk", Err: err,
		}
	}
	if err := os.Mkdir(s.cfg.Spool, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", failed(err)
	}
	name := filepath.Join(s.cfg.Spool, "import.bundle")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", failed(err)
	}
	defer f.Close()
	body := &patient{
		body: http.MaxBytesReader(w, r.Body, s.cfg.MaxBundle), control: http.NewResponseController(w), patience: s.cfg.Patience,
	}
	if err := s.copyInRoom(f, body, max(r.ContentLength, 0)); err != nil {
		return "", s.spoolError(err, failed)
	}
	if err := f.Close(); err != nil {
		return "", failed(err)
	}
	return name, nil
}

// errNoRoom says that the disk would be filled.
var errNoRoom = errors.New("the disk has too little room")

// copyInRoom copies for as long as the disk keeps its reserve. announced is how
// much is known to come, 0 when nothing is.
func (s *Server) copyInRoom(f *os.File, body io.Reader, announced int64) error {
	const step = 8 << 20
	for {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
			return err
		}
		free := int64(fs.Bavail) * int64(fs.Bsize) //nolint:unconvert // Bsize is int32 on arm
		if free < s.cfg.Reserved+max(announced, step) {
			return errNoRoom
		}
		n, err := io.CopyN(f, body, step)
		announced = max(announced-n, 0)
		if errors.Is(err, io.EOF) { // not a cut, which is io.ErrUnexpectedEOF
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// spoolError is why a bundle did not get onto the disk.
func (s *Server) spoolError(err error, failed func(error) error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return s.tooLarge()
	}
	if errors.Is(err, errNoRoom) || errors.Is(err, syscall.ENOSPC) {
		return &gitops.Error{
			Reason: gitops.StoreFailed, Message: fmt.Sprintf("keep the bundle in %s: the disk has too little room for it", s.cfg.Spool),
			Remedy: "make room on the disk, or bring an incremental bundle", Err: err,
		}
	}
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return failed(err)
	}
	return &gitops.Error{Reason: gitops.Interrupted, Message: fmt.Sprintf("the bundle was cut short on its way to the daemon: %v", err), Remedy: "import it again", Err: err}
}

func (s *Server) tooLarge() error {
	return &gitops.Error{
		Reason: gitops.TooLarge, Message: fmt.Sprintf("the bundle is larger than %d MiB", s.cfg.MaxBundle>>20),
		Remedy: "bring an incremental bundle: git bundle create FILE OLD..main",
	}
}

// removeSpool leaves nothing of a bundle behind.
func (s *Server) removeSpool() error {
	if s.cfg.Spool == "" {
		return nil
	}
	if err := os.RemoveAll(s.cfg.Spool); err != nil {
		return fmt.Errorf("remove what is left of an imported bundle: %w", err)
	}
	return nil
}

// patient reads a body and waits only so long for each piece of it.
type patient struct {
	body     io.Reader
	control  *http.ResponseController
	patience time.Duration
}

func (p *patient) Read(b []byte) (int, error) {
	p.control.SetReadDeadline(time.Now().Add(p.patience)) //nolint:errcheck // the read fails instead
	defer p.control.SetReadDeadline(time.Time{})          //nolint:errcheck // the same
	return p.body.Read(b)
}

// exportBundle streams a bundle. An error before its first byte is answered as
// always, one after it follows the bundle.
func (s *Server) exportBundle(w http.ResponseWriter, r *http.Request) error {
	name, err := mustSource(r)
	if err != nil {
		return err
	}
	out := &outgoing{w: w, control: http.NewResponseController(w), patience: s.cfg.Patience}
	err = s.cfg.Controller.Export(r.Context(), name, out)
	if !out.begun {
		if err == nil {
			err = &gitops.Error{Reason: gitops.Internal, Message: "export " + name + ": the bundle is empty", Remedy: "see journalctl -u edgeagent"}
		}
		return err
	}
	end := endDone
	if err != nil {
		text, encodeErr := json.Marshal(typed(err))
		if encodeErr != nil {
			panic(http.ErrAbortHandler) // the peer sees a cut stream
		}
		end = string(text)
	}
	w.Header().Set(headerEnd, end)
	return nil
}

// outgoing is the answer that a bundle is written into. A peer that takes
// nothing must not hold the source's loop up.
type outgoing struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	begun    bool
}

func (o *outgoing) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !o.begun {
		o.w.Header().Set("Content-Type", "application/octet-stream")
		o.w.Header().Set("Trailer", headerEnd)
		o.begun = true
	}
	o.control.SetWriteDeadline(time.Now().Add(o.patience)) //nolint:errcheck // the write fails instead
	return o.w.Write(p)
}

// metrics answers whoever scrapes.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) error {
	var text bytes.Buffer
	if err := s.cfg.Controller.Metrics(&text); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(text.Bytes()) //nolint:errcheck // the peer is gone
	return nil
}
