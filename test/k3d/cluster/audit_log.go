// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// answerTimeout is how long a reader waits for the second line of a write that
// runs. An API server that is this slow has other problems.
const answerTimeout = 5 * time.Second

// auditLog reads the API server's log file as it grows.
type auditLog struct {
	path string

	mu       sync.Mutex
	offset   int64 // of the first byte that was not parsed
	requests []AuditEvent
	index    map[string]int // into requests, by audit id
	killed   time.Time      // the API server was killed then: what it had not answered stays so
}

func newAuditLog(path string) *auditLog {
	return &auditLog{path: path, index: map[string]int{}}
}

// noteKill notes that the API server was killed.
func (l *auditLog) noteKill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = time.Now()
}

// repair cuts off a last line that a killed API server did not finish; the next
// one would write behind it. Nothing is lost: a request whose first line is
// torn did not run, and one whose second line is torn has its first.
func (l *auditLog) repair() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("repair the audit log: %w", err)
	}
	if err := os.Truncate(l.path, int64(bytes.LastIndexByte(data, '\n')+1)); err != nil {
		return fmt.Errorf("repair the audit log: %w", err)
	}
	return nil
}

// events returns what matches, once every matching request has its answer or
// can have none any more.
func (l *auditLog) events(filter AuditFilter) ([]AuditEvent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	deadline := time.Now().Add(answerTimeout)
	asked := filter
	asked.Accepted = false
	for {
		if err := l.read(); err != nil {
			return nil, err
		}
		if !l.pending(asked) || time.Now().After(deadline) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var found []AuditEvent
	for _, e := range l.requests {
		if filter.matches(e) {
			found = append(found, e)
		}
	}
	return found, nil
}

func (l *auditLog) pending(filter AuditFilter) bool {
	for _, e := range l.requests {
		if e.Code == 0 && e.Time.After(l.killed) && filter.matches(e) {
			return true
		}
	}
	return false
}

// read parses the complete lines that were added since the last call.
func (l *auditLog) read() error {
	file, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no API server has run yet
	}
	if err != nil {
		return fmt.Errorf("open the audit log: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, l.offset, 1<<40))
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range bytes.Lines(data) {
		var parsed auditLine
		if err := json.Unmarshal(line, &parsed); err != nil {
			return fmt.Errorf("parse the audit log %s at byte %d: %w", l.path, l.offset, err)
		}
		l.offset += int64(len(line))
		l.add(parsed.event())
	}
	return nil
}

func (l *auditLog) add(e AuditEvent) {
	if i, known := l.index[e.ID]; known {
		l.requests[i].Code = max(e.Code, l.requests[i].Code)
		return
	}
	l.index[e.ID] = len(l.requests)
	l.requests = append(l.requests, e)
}
