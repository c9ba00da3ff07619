// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// getter asks one origin. Its answers are 200, 206, 304, 412 or 416; whatever
// else happened is a typed error. Reading a body is bounded in time.
type getter interface {
	Get(ctx context.Context, target *url.URL, header http.Header) (*http.Response, error)
}

// MirrorConfig says where a static place is, and what it may cost.
type MirrorConfig struct {
	Client getter
	// List is where the bundle list is; Shown is how errors write it.
	List  *url.URL
	Shown string
	// Dir keeps what was downloaded so far, over restarts. It is this mirror's
	// alone: a file that the list does not know is removed from it.
	Dir string
	// MaxBytes bounds what is kept of bundles at one time.
	MaxBytes int64
	// Progress is told that bytes came, and whether they are more than came of
	// this bundle before: a server that cannot go on in the middle sends the same
	// ones again. nil: nobody asks.
	Progress func(more bool)
}

// Mirror polls one static place and downloads from it. It serves one caller at
// a time.
type Mirror struct {
	cfg    MirrorConfig
	polled Polled
	tag    validator
	came   map[string]int64 // how far a download came at best, by its file
}

// NewMirror sends nothing.
func NewMirror(cfg MirrorConfig) (*Mirror, error) {
	if cfg.Client == nil || cfg.List == nil || cfg.Dir == "" || cfg.MaxBytes <= 0 {
		return nil, errors.New("set up a static mirror: a client, the list's URL, a directory and a size limit are needed")
	}
	if cfg.Progress == nil {
		cfg.Progress = func(bool) {}
	}
	return &Mirror{cfg: cfg, came: map[string]int64{}}, nil
}

// Polled is what a poll found.
type Polled struct {
	List List
	// Unchanged: the list is the one that this Mirror returned before.
	Unchanged bool
}

// validator is how a server names one version of a file.
type validator struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

func validatorOf(resp *http.Response) validator {
	return validator{ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
}

// Poll asks for the list, with one conditional request. A list that has not
// changed costs no byte of body and no write to disk.
func (m *Mirror) Poll(ctx context.Context) (Polled, error) {
	header := http.Header{}
	switch { // one is enough, and the tag is the better one
	case m.tag.ETag != "":
		header.Set("If-None-Match", m.tag.ETag)
	case m.tag.LastModified != "":
		header.Set("If-Modified-Since", m.tag.LastModified)
	}
	resp, err := m.cfg.Client.Get(ctx, m.cfg.List, header)
	if err != nil {
		return Polled{}, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && m.tag != validator{}:
		m.polled.Unchanged = true
		return m.polled, nil
	case resp.StatusCode != http.StatusOK:
		return Polled{}, failed(gitops.ServerError, "look at the server's log", "poll the static mirror %s: the answer is %s", m.cfg.Shown, resp.Status)
	}
	if err := m.noPage(resp); err != nil {
		return Polled{}, err
	}
	list, err := ParseList(resp.Body)
	if err != nil {
		return Polled{}, m.about(err)
	}
	keep := map[string]bool{}
	for _, e := range list.Bundles {
		at, err := Resolve(m.cfg.List, e.URI)
		if err != nil {
			return Polled{}, m.about(err)
		}
		keep[nameOf(at)] = true
	}
	if err := m.tidy(keep); err != nil {
		return Polled{}, err
	}
	m.polled, m.tag = Polled{List: list}, validatorOf(resp)
	return m.polled, nil
}

// noPage tells a login page from a list or a bundle.
func (m *Mirror) noPage(resp *http.Response) error {
	switch kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind {
	case "text/html", "application/xhtml+xml":
		return failed(gitops.CaptivePortal, "log in to the network, or check the URL", "read the static mirror %s: a web page came back", m.cfg.Shown)
	}
	return nil
}

// about says which mirror a failure is about.
func (m *Mirror) about(err error) error {
	e, ok := errors.AsType[*gitops.Error](err)
	if !ok {
		return fmt.Errorf("static mirror %s: %w", m.cfg.Shown, err)
	}
	told := *e
	told.Message = "static mirror " + m.cfg.Shown + ": " + e.Message
	return &told
}

// Open downloads what is missing of a bundle and opens it. A link that is cut
// loses nothing: it goes on, in this call as long as bytes come, in the next
// one after that, and after a restart. What is not a whole bundle is removed.
func (m *Mirror) Open(ctx context.Context, e Entry) (*Bundle, error) {
	at, err := Resolve(m.cfg.List, e.URI)
	if err != nil {
		return nil, m.about(err)
	}
	name := filepath.Join(m.cfg.Dir, nameOf(at))
	if _, err := os.Stat(name + wholeSuffix); errors.Is(err, fs.ErrNotExist) {
		if err := m.download(ctx, at, name); err != nil {
			return nil, err
		}
	}
	b, err := OpenFile(name + wholeSuffix)
	if err != nil {
		_ = os.Remove(name + wholeSuffix)
		return nil, m.about(err)
	}
	return b, nil
}

// Discard removes what was downloaded of a bundle: its objects are stored.
func (m *Mirror) Discard(e Entry) error {
	at, err := Resolve(m.cfg.List, e.URI)
	if err != nil {
		return m.about(err)
	}
	name := filepath.Join(m.cfg.Dir, nameOf(at))
	delete(m.came, name)
	for _, suffix := range []string{wholeSuffix, partSuffix, stateSuffix} {
		if err := os.Remove(name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return because(err, gitops.StoreFailed, "look at the state directory", "remove a stored bundle: %v", err)
		}
	}
	return nil
}

// tidy removes the files of bundles that the list no longer has.
func (m *Mirror) tidy(keep map[string]bool) error {
	maps.DeleteFunc(m.came, func(name string, _ int64) bool { return !keep[filepath.Base(name)] })
	entries, err := os.ReadDir(m.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		name := entry.Name()
		if keep[name[:len(name)-len(filepath.Ext(name))]] {
			continue
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(m.cfg.Dir, name)))
	}
	if err != nil {
		return because(err, gitops.StoreFailed, "look at the state directory", "remove old downloads of the static mirror %s: %v", m.cfg.Shown, err)
	}
	return nil
}

// Bundle is an open bundle file: its header, and its pack to be read.
type Bundle struct {
	Header Header
	file   *os.File
	pack   *bufio.Reader
}

// OpenFile opens a bundle on disk and reads its header.
func OpenFile(name string) (*Bundle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, because(err, gitops.StoreFailed, "check the path and its rights", "open the bundle: %v", err)
	}
	b := &Bundle{file: f, pack: bufio.NewReaderSize(f, 64<<10)}
	if b.Header, err = ReadHeader(b.pack, 0); err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

// Read reads the pack.
func (b *Bundle) Read(p []byte) (int, error) { return b.pack.Read(p) }

// Close closes the file.
func (b *Bundle) Close() error { return b.file.Close() }
