// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// The files of one download: what came so far, of which version of the file,
// and the whole that was checked.
const (
	partSuffix  = ".part"
	stateSuffix = ".state"
	wholeSuffix = ".bundle"
)

// nameOf is the beginning of the names of a download's files.
func nameOf(at *url.URL) string {
	sum := sha256.Sum256([]byte(at.Redacted()))
	return hex.EncodeToString(sum[:12])
}

// download is a file on its way in. It is appended to, and begun anew when the
// server has another version of it.
type download struct {
	m     *Mirror
	at    *url.URL
	name  string
	part  *os.File
	size  int64
	most  int64 // how far it came before
	room  int64 // how large it may be, beside the others
	state downloadState
}

// downloadState is beside the part, so that a restarted agent knows of what it is a part.
type downloadState struct {
	validator
	Total int64 `json:"total"` // 0: the server did not say
}

// download brings the file to its end, or as far as the link goes: it asks again
// as long as an answer brings something.
func (m *Mirror) download(ctx context.Context, at *url.URL, name string) error {
	if err := os.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return diskFailed(err)
	}
	d := &download{m: m, at: at, name: name}
	if err := d.open(); err != nil {
		return err
	}
	defer func() {
		d.part.Close()
		m.came[name] = d.most
	}()
	var err error
	if d.room, err = m.room(name); err != nil {
		return err
	}
	for {
		whole, before := d.state.Total > 0 && d.size == d.state.Total, d.most
		if !whole {
			whole, err = d.ask(ctx)
		}
		if whole {
			return d.finish()
		}
		// A server without ranges begins anew each time: only what goes
		// beyond the longest part so far is progress.
		if err != nil && (d.size <= before || ctx.Err() != nil) {
			return err
		}
	}
}

// open finds what an earlier run left. A part without its state is of nobody
// knows what.
func (d *download) open() error {
	text, err := os.ReadFile(d.name + stateSuffix)
	if err == nil {
		err = json.Unmarshal(text, &d.state)
	}
	known := err == nil
	d.part, err = os.OpenFile(d.name+partSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return diskFailed(err)
	}
	if d.size, err = d.part.Seek(0, io.SeekEnd); err != nil {
		return diskFailed(err)
	}
	d.most = max(d.size, d.m.came[d.name])
	if !known || d.state.Total > 0 && d.size > d.state.Total {
		return d.anew(downloadState{})
	}
	return nil
}

// room is what the files of other bundles leave of the limit: a list that names
// a thousand must not fill the disk.
func (m *Mirror) room(name string) (int64, error) {
	entries, err := os.ReadDir(m.cfg.Dir)
	if err != nil {
		return 0, diskFailed(err)
	}
	room := m.cfg.MaxBytes
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), filepath.Base(name)) {
			continue
		}
		if info, err := entry.Info(); err == nil {
			room -= info.Size()
		}
	}
	return room, nil
}

// anew drops what came. The state is gone before the part is emptied, and there
// before it grows: a crash in between leaves no part with another's state.
func (d *download) anew(state downloadState) error {
	if err := os.Remove(d.name + stateSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskFailed(err)
	}
	if err := d.part.Truncate(0); err != nil {
		return diskFailed(err)
	}
	if _, err := d.part.Seek(0, io.SeekStart); err != nil {
		return diskFailed(err)
	}
	d.size, d.state = 0, state
	if state == (downloadState{}) {
		return nil
	}
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.name+stateSuffix, text, 0o600); err != nil {
		return diskFailed(err)
	}
	return nil
}

// ask sends one request for what is missing, and keeps what comes.
func (d *download) ask(ctx context.Context) (whole bool, err error) {
	header := http.Header{}
	if d.size > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.size))
		if v := d.state.ifRange(); v != "" {
			header.Set("If-Range", v)
		}
	}
	resp, err := d.m.cfg.Client.Get(ctx, d.at, header)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		err = d.begin(resp)
	case code == http.StatusPartialContent && d.size > 0:
		err = d.goOn(resp)
	case code == http.StatusRequestedRangeNotSatisfiable && d.size > 0:
		err = errAnother // it is shorter now
	default:
		err = d.odd("the answer is %s", resp.Status)
	}
	if errors.Is(err, errAnother) {
		return false, d.anew(downloadState{})
	}
	if err != nil {
		return false, err
	}
	return d.copy(resp)
}

// errAnother: the server has another file by now, and no validator to say so.
var errAnother = errors.New("the file has changed")

// ifRange makes a server send the whole file when it is another one by now. A
// weak tag does not promise the same bytes.
func (s downloadState) ifRange() string {
	if s.ETag != "" && !strings.HasPrefix(s.ETag, "W/") {
		return s.ETag
	}
	return s.LastModified
}

// begin takes the whole file.
func (d *download) begin(resp *http.Response) error {
	if err := d.m.noPage(resp); err != nil {
		return err
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return d.odd("it comes as %s", printable(encoding))
	}
	total := max(resp.ContentLength, 0)
	if total > d.room {
		return d.tooLarge()
	}
	return d.anew(downloadState{validator: validatorOf(resp), Total: total})
}

// goOn takes the rest, once the server has said that it is the rest of this file.
func (d *download) goOn(resp *http.Response) error {
	from, total, ok := contentRange(resp.Header.Get("Content-Range"))
	switch {
	case !ok || from != d.size:
		return d.odd("it sends %s instead of the bytes from %d", printable(resp.Header.Get("Content-Range")), d.size)
	case total > d.room:
		return d.tooLarge()
	case d.state.Total != 0 && total != d.state.Total:
		return errAnother
	}
	return nil
}

// contentRange reads "bytes FROM-TO/TOTAL".
func contentRange(text string) (from, total int64, ok bool) {
	text, ok = strings.CutPrefix(text, "bytes ")
	span, whole, found := strings.Cut(text, "/")
	first, last, dash := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	total, err3 := strconv.ParseInt(whole, 10, 64)
	return from, total, ok && found && dash && errors.Join(err1, err2, err3) == nil && from >= 0 && from <= to && to < total
}

// copy appends the body. What came before a cut is kept.
func (d *download) copy(resp *http.Response) (whole bool, err error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if d.size+int64(n) > d.room {
				return false, d.tooLarge()
			}
			if _, werr := d.part.Write(buf[:n]); werr != nil {
				return false, diskFailed(werr)
			}
			d.size += int64(n)
			d.m.cfg.Progress(d.size > d.most)
			d.most = max(d.most, d.size)
		}
		switch {
		case err != nil && d.state.Total > 0 && d.size == d.state.Total, errors.Is(err, io.EOF) && d.state.Total == 0:
			return true, nil
		case errors.Is(err, io.EOF):
			return false, because(io.ErrUnexpectedEOF, gitops.Unreachable, "it goes on with the next poll",
				"download from the static mirror %s: the answer ended at byte %d of %d", d.m.cfg.Shown, d.size, d.state.Total)
		case err != nil:
			return false, fmt.Errorf("download from the static mirror %s: at byte %d: %w", d.m.cfg.Shown, d.size, err)
		}
	}
}

// finish checks the whole, and only then gives it its name.
func (d *download) finish() error {
	if err := checkFile(d.part); err != nil {
		d.most = 0
		return errors.Join(d.m.about(err), d.anew(downloadState{}), os.Remove(d.name+partSuffix))
	}
	err := d.part.Sync()
	if err == nil {
		err = os.Rename(d.name+partSuffix, d.name+wholeSuffix)
	}
	if err == nil {
		err = syncDir(filepath.Dir(d.name))
	}
	if err != nil {
		return diskFailed(err)
	}
	// There is none where the server names no version and no length.
	if err := os.Remove(d.name + stateSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskFailed(err)
	}
	return nil
}

func (d *download) tooLarge() error {
	return errors.Join(failed(gitops.TooLarge, "raise the limit, or publish with a shorter history",
		"download from the static mirror %s: its bundles have more than %d bytes", d.m.cfg.Shown, d.m.cfg.MaxBytes), d.anew(downloadState{}))
}

// odd is an answer that no HTTP server should give to such a question.
func (d *download) odd(format string, args ...any) error {
	return failed(gitops.ServerError, "look at how the server serves the file",
		"download from the static mirror %s: %s", d.m.cfg.Shown, fmt.Sprintf(format, args...))
}

func diskFailed(err error) error {
	return because(err, gitops.StoreFailed, "look at the state directory: is there space, may it be written", "keep a download: %v", err)
}
