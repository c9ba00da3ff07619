// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"golang.org/x/sys/unix"
)

// holderSize is what the lock file always holds: rewriting it in place needs no
// new block, so it works on a full disk.
const holderSize = 512

// Holder is the process that has the journal open, as the lock file names it.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

func (h Holder) String() string {
	return fmt.Sprintf("process %d (%s), since %s", h.PID, h.Command, h.Since.UTC().Format(time.RFC3339))
}

// lockDir takes the directory's lock, or fails with JournalLocked and the name
// of the holder. The kernel gives the lock up when its process dies, however it
// dies: there are no stale locks, only stale names in the file.
func lockDir(dir string, now time.Time) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, notWritable(dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &gitops.Error{
				Reason:  gitops.JournalFailed,
				Message: fmt.Sprintf("lock the journal with %s: %v", path, err),
				Remedy:  "put the state directory on a local file system",
				Err:     err,
			}
		}
		return nil, &gitops.Error{
			Reason:  gitops.JournalLocked,
			Message: fmt.Sprintf("open the journal in %s: it is in use by %s", dir, readHolder(f)),
			Remedy:  "stop that process, or give this one another stateDir",
		}
	}
	if err := writeHolder(f, now); err != nil {
		f.Close()
		return nil, notWritable(dir, err)
	}
	return f, nil
}

// writeHolder puts our name into the lock file. On a full disk the lock stands
// without the name: it is the lock that protects.
func writeHolder(f *os.File, now time.Time) error {
	command := strings.Join(os.Args, " ")
	if len(command) > 200 {
		command = strings.ToValidUTF8(command[:200], "") + "…"
	}
	text, err := json.Marshal(Holder{PID: os.Getpid(), Command: command, Since: now.UTC().Truncate(time.Second)})
	if err != nil || len(text) >= holderSize {
		text = fmt.Appendf(nil, `{"pid":%d}`, os.Getpid())
	}
	line := append(text, strings.Repeat(" ", holderSize-1-len(text))...)
	if _, err := f.WriteAt(append(line, '\n'), 0); err != nil && !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return nil
}

func readHolder(f *os.File) string {
	text := make([]byte, holderSize)
	n, _ := f.ReadAt(text, 0)
	var h Holder
	if err := json.Unmarshal(text[:n], &h); err != nil || h.PID == 0 {
		return "another process"
	}
	return h.String()
}

// makeDir makes the state directory, readable to us alone.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return notWritable(dir, err)
	}
	return nil
}

func notWritable(dir string, err error) error {
	return &gitops.Error{
		Reason:  gitops.JournalFailed,
		Message: fmt.Sprintf("open the journal in %s: the directory is not writable: %v", dir, err),
		Remedy:  "make it a directory on a local disk that is mounted read-write and owned by the agent's user, with a few megabytes free",
		Err:     err,
	}
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
