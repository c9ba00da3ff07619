// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	// bundleSuffix is of the files that are taken in.
	bundleSuffix = ".bundle"
	// settleFor is how long a file must stay the same to count as written.
	settleFor = 2 * time.Second
	// rescanEvery is the backstop of the folder's events.
	rescanEvery = time.Minute
)

// drop is the folder where people put bundles, with or without a shell on the
// node. What is taken in goes; what is refused stays, with a note beside it.
//
// A look at the folder only reads. The folder is written to when a bundle came
// or went, so an idle node writes nothing.
type drop struct {
	dir    string
	take   func(ctx context.Context, file string) ([]gitops.Imported, error)
	events func(ctx context.Context, dir string) <-chan struct{}
	log    *slog.Logger
	now    func() time.Time

	seen    map[string]string // file → what it was like at the last look
	stuck   map[string]string // file that was dealt with → what it was like, where the folder does not say so
	early   map[string]string // file that may build on one that is still being written → what it was like
	trouble string            // logged last
}

func newDrop(a *Agent) *drop {
	d := &drop{
		dir: a.cfg.ImportDir, take: a.importAll, events: a.cfg.ImportEvents, log: a.cfg.Log, now: a.cfg.Now,
		seen: map[string]string{}, stuck: map[string]string{}, early: map[string]string{},
	}
	if d.events == nil {
		d.events = watchFolder
	}
	return d
}

// run looks at the folder until ctx ends: when something happens in it, and once
// a minute in case nobody says so.
func (d *drop) run(ctx context.Context) {
	if err := os.MkdirAll(d.dir, 0o750); err != nil {
		d.complain("make the folder for bundles", err)
	}
	events := d.events(ctx, d.dir)
	for ctx.Err() == nil {
		wait := rescanEvery
		if d.look(ctx) {
			wait = settleFor
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		case _, ok := <-events:
			if !ok {
				events = nil
			}
			pause(ctx, settleFor) // events come in bursts, one for each block that is written
		}
	}
}

// once takes in what lies in the folder at rest, and returns.
func (d *drop) once(ctx context.Context) {
	if d.look(ctx) {
		pause(ctx, settleFor)
		d.look(ctx)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// look takes the new bundles in by name, and reports whether one is still being
// written. Those after it do not wait for it, because it may never come to rest.
func (d *drop) look(ctx context.Context) (growing bool) {
	files, notes, err := d.list()
	if err != nil {
		d.complain("read the folder for bundles", err)
		return false
	}
	d.forget(files, notes)
	before := d.seen
	d.seen = map[string]string{}
	for _, f := range files {
		d.seen[f.Name()] = likeness(f)
	}
	for _, f := range files {
		like := likeness(f)
		switch {
		case ctx.Err() != nil:
			return false
		case d.stuck[f.Name()] == like || d.noted(f):
		case before[f.Name()] != like:
			growing = true
		case growing && d.early[f.Name()] == like:
		case !d.deal(ctx, f, growing):
			return false // the node is at fault: again at the next look
		}
	}
	return growing
}

// list is the bundles in the folder and the notes, by name. Nothing is opened.
func (d *drop) list() (files []fs.FileInfo, notes []string, err error) {
	entries, err := os.ReadDir(d.dir) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, os.MkdirAll(d.dir, 0o750)
	}
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e.Name(), bundleSuffix+noteSuffix):
			notes = append(notes, e.Name())
		case strings.HasSuffix(e.Name(), bundleSuffix) && !strings.HasPrefix(e.Name(), "."):
			if info, err := e.Info(); err == nil { // else it has gone since
				files = append(files, info)
			}
		}
	}
	return files, notes, err
}

// deal has a bundle taken in, and removes it or notes why not. It is not done
// when the node is at fault. One that builds on what is not here is left for
// later while another one before it grows, which may bring that.
func (d *drop) deal(ctx context.Context, f fs.FileInfo, growing bool) (done bool) {
	name := filepath.Join(d.dir, f.Name())
	if !f.Mode().IsRegular() {
		return d.refuse(f, notAFile(name, f.Mode()))
	}
	all, err := d.take(ctx, name)
	if err == nil {
		err = refusedByAll(all)
	}
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil && nodesFault(err):
		d.complain("import "+name, err)
		return false
	case growing && gitops.ReasonOf(err) == gitops.PrerequisiteMissing:
		d.early[f.Name()] = likeness(f)
		d.log.Info("bundle waits for one that is still being written", "file", name, "err", err)
		return true
	case err != nil:
		return d.refuse(f, err)
	}
	for _, i := range all {
		if i.Refused != nil {
			continue // the source has told it
		}
		d.log.Info("bundle imported", "file", name, "source", i.Source, "revision", i.Revision, "new", i.New)
	}
	d.trouble = ""
	// Another one may have been put in its place meanwhile.
	if now, err := os.Lstat(name); err != nil || likeness(now) != likeness(f) {
		return true
	}
	if err := os.Remove(name); err != nil { // the next look removes an old note
		d.stuck[f.Name()] = likeness(f)
		d.complain("remove a bundle that was imported", err)
	}
	return true
}

func notAFile(name string, mode fs.FileMode) error {
	what := "device or pipe"
	switch {
	case mode.IsDir():
		what = "directory"
	case mode&fs.ModeSymlink != 0:
		what = "symlink"
	}
	return &gitops.Error{
		Reason:  gitops.UnsupportedBundle,
		Message: fmt.Sprintf("import %s: it is a %s, and was not opened", name, what),
		Remedy:  "copy the bundle itself into the folder",
	}
}

// complain logs trouble with the folder, once for as long as it stays the same.
func (d *drop) complain(doing string, err error) {
	if text := doing + ": " + err.Error(); text != d.trouble {
		d.trouble = text
		d.log.Warn("bundles cannot be imported from the folder", "doing", doing, "reason", gitops.ReasonOf(err), "err", err)
	}
}
