// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	listName   = "list"
	tempPrefix = ".publish-"
)

// bundleName is a creation token and the beginning of the content's SHA-256: a
// name never comes to mean other bytes, so that every cache may keep it.
var bundleName = regexp.MustCompile(`^[0-9]{1,20}-[0-9a-f]{16}\.bundle$`)

// directory is what a static host serves. Files with other names in it are left
// alone.
type directory struct {
	path   string
	lock   *os.File
	before func(step string) // called before each change
}

// link is a bundle of the chain on disk.
type link struct {
	Name   string // of its file
	Token  uint64
	Header Header
	Size   int64
}

// fileOf is the file of an entry, which a list may name by a whole URL.
func fileOf(uri string) string { return path.Base(uri) }

// openDirectory makes the directory where it is missing, and keeps others from
// publishing to it.
func openDirectory(name string, before func(string)) (*directory, error) {
	if err := os.MkdirAll(name, 0o755); err != nil {
		return nil, fmt.Errorf("publish to %s: %v", name, err)
	}
	lock, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %v", name, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, failed(gitops.Conflict, "wait until it ends", "publish to %s: another publish writes there", name)
	}
	d := &directory{path: name, lock: lock, before: before}
	if d.before == nil {
		d.before = func(string) {}
	}
	return d, nil
}

func (d *directory) close() { d.lock.Close() }

// list reads the list that is there. One that was not written by publish is not
// overwritten.
func (d *directory) list() (List, []byte, error) {
	name := filepath.Join(d.path, listName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return List{}, nil, nil
	}
	if err != nil {
		return List{}, nil, fmt.Errorf("publish to %s: %v", d.path, err)
	}
	foreign := failed(gitops.Conflict, "give a directory of its own, or remove the file", "publish to %s: %s is not a list that publish wrote", d.path, name)
	list, err := ParseList(bytes.NewReader(text))
	if err != nil {
		return List{}, nil, foreign
	}
	for _, e := range list.Bundles {
		if !bundleName.MatchString(fileOf(e.URI)) {
			return List{}, nil, foreign
		}
	}
	return list, text, nil
}

// chain opens the bundles of a list, and holds each to the checksum in its name.
// damage says what is wrong with the first that does not fit.
func (d *directory) chain(list List) (chain []link, damage string) {
	for _, e := range list.Bundles {
		l := link{Name: fileOf(e.URI), Token: e.CreationToken}
		f, err := os.Open(filepath.Join(d.path, l.Name))
		if err != nil {
			return nil, l.Name + " is missing"
		}
		defer f.Close()
		sum := sha256.New()
		r := bufio.NewReader(io.TeeReader(f, sum))
		if l.Header, err = ReadHeader(r, 0); err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err == nil {
			l.Size, err = f.Seek(0, io.SeekCurrent)
		}
		if err != nil || !strings.HasSuffix(l.Name, shortSum(sum.Sum(nil))+".bundle") {
			return nil, l.Name + " is damaged"
		}
		chain = append(chain, l)
	}
	return chain, ""
}

func shortSum(sum []byte) string { return hex.EncodeToString(sum[:8]) }

// write puts a file there under a name that is made of its content. It has its
// name only when all of it is on disk.
func (d *directory) write(fill func(io.Writer) error, name func(sum []byte) string) (string, int64, error) {
	failed := func(err error) (string, int64, error) {
		return "", 0, fmt.Errorf("publish to %s: %w", d.path, err)
	}
	d.before("create")
	f, err := os.CreateTemp(d.path, tempPrefix+"*")
	if err != nil {
		return failed(err)
	}
	defer func() {
		f.Close()
		_ = os.Remove(f.Name()) // not there any more when all went well
	}()
	sum := sha256.New()
	buffered := bufio.NewWriterSize(f, 256<<10)
	if err := fill(io.MultiWriter(buffered, sum)); err != nil {
		return failed(err)
	}
	d.before("sync")
	if err := errors.Join(buffered.Flush(), f.Chmod(0o644), f.Sync()); err != nil {
		return failed(err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return failed(err)
	}
	final := name(sum.Sum(nil))
	d.before("rename " + final)
	if err := os.Rename(f.Name(), filepath.Join(d.path, final)); err != nil {
		return failed(err)
	}
	return final, size, d.lock.Sync() // the rename is on disk before anything relies on it
}

// clean removes bundles that keep does not name, and what a killed run left.
func (d *directory) clean(keep map[string]bool) (removed []string, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %v", d.path, err)
	}
	for _, e := range entries {
		name := e.Name()
		old := keep != nil && bundleName.MatchString(name) && !keep[name]
		if !old && !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		d.before("remove " + name)
		if err := os.Remove(filepath.Join(d.path, name)); err != nil {
			return removed, fmt.Errorf("publish to %s: remove what is old: %v", d.path, err)
		}
		if old {
			removed = append(removed, name)
		}
	}
	return removed, nil
}
