// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	noteSuffix = ".refused"
	// mostNote bounds what is read of a note: it may be anybody's file.
	mostNote = 64 << 10
)

// likeness tells a file from what it was before it was changed.
func likeness(f fs.FileInfo) string {
	return fmt.Sprintf("%s, %d bytes, modified %s", f.Mode(), f.Size(), f.ModTime().UTC().Format(time.RFC3339Nano))
}

// refuse leaves a bundle where it is, with a note that says why. As long as the
// note names the file as it is, it is not tried again, also after a restart.
func (d *drop) refuse(f fs.FileInfo, why error) (done bool) {
	d.log.Warn("bundle refused", "file", filepath.Join(d.dir, f.Name()), "reason", gitops.ReasonOf(why), "err", why)
	if err := d.writeNote(f, why); err != nil {
		d.stuck[f.Name()] = likeness(f) // a disk that cannot be written is no reason to try for ever
		d.complain("note why a bundle was refused", err)
	}
	return true
}

// writeNote ends with the line that names the file: a note that was cut short by
// a crash names none, and the bundle is tried again.
func (d *drop) writeNote(f fs.FileInfo, why error) error {
	message, remedy := why.Error(), ""
	if e := asError(why); e != nil {
		message, remedy = e.Message, e.Remedy
	}
	if remedy == "" {
		remedy = "take a bundle that edgeagent export or git bundle create has written since"
	}
	text := fmt.Sprintf("edgeagent did not import %s.\n\nreason:  %s\nmessage: %s\nremedy:  %s\nat:      %s\n\n"+
		"It is tried again when it changes, or when this note is deleted.\nfile:    %s\n",
		printable(f.Name()), reasonFor(why), printable(message), printable(remedy), d.now().UTC().Format(time.RFC3339), likeness(f))
	if err := d.removeNote(f.Name()); err != nil {
		return err
	}
	// Made anew: what is there may be a link to something else.
	note, err := os.OpenFile(d.note(f.Name()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.WriteString(note, text)
	return errors.Join(err, note.Close())
}

// noted reports whether the note beside a bundle is about the file as it is.
func (d *drop) noted(f fs.FileInfo) bool {
	name := d.note(f.Name())
	if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || info.Size() > mostNote {
		return false
	}
	text, err := os.ReadFile(name)
	return err == nil && strings.HasSuffix(string(text), "\nfile:    "+likeness(f)+"\n")
}

// forget drops what is known of bundles that have gone, and the notes about them.
func (d *drop) forget(files []fs.FileInfo, notes []string) {
	there := func(name string) bool {
		return slices.ContainsFunc(files, func(f fs.FileInfo) bool { return f.Name() == name })
	}
	gone := func(name, _ string) bool { return !there(name) }
	maps.DeleteFunc(d.stuck, gone)
	maps.DeleteFunc(d.early, gone)
	for _, note := range notes {
		if bundle := strings.TrimSuffix(note, noteSuffix); !there(bundle) {
			if err := d.removeNote(bundle); err != nil {
				d.complain("remove the note about a bundle that has gone", err)
			}
		}
	}
}

// printable keeps what a bundle says from giving orders to a terminal, or from
// looking like another line of the note.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

func (d *drop) note(bundle string) string { return filepath.Join(d.dir, bundle+noteSuffix) }

func (d *drop) removeNote(bundle string) error {
	if err := os.Remove(d.note(bundle)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
