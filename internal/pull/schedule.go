// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	firstBackoff = 5 * time.Second
	mostBackoff  = 15 * time.Minute
)

// memory is what a source keeps over restarts, in the runtime directory: it
// lives in memory until the machine stops, so it costs no flash.
type memory struct {
	Failures    int           `json:"failures"`
	LastPoll    time.Time     `json:"lastPoll,omitzero"`
	NextPoll    time.Time     `json:"nextPoll,omitzero"`
	LastSuccess time.Time     `json:"lastSuccess,omitzero"`
	BytesIn     int64         `json:"bytesIn"`
	BytesOut    int64         `json:"bytesOut"`
	Reason      gitops.Reason `json:"reason,omitempty"`
	Message     string        `json:"message,omitempty"`
}

func (c Config) memoryFile() string {
	if c.RuntimeDir == "" {
		return ""
	}
	return filepath.Join(c.RuntimeDir, "pull-"+c.Source+".json")
}

// recall reads the memory. One that cannot be read is none: it only means a
// poll that comes early. A next poll further away than any backoff was written
// under another clock.
func recall(path string, now time.Time, longest time.Duration) memory {
	var m memory
	if path == "" {
		return m
	}
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &m) != nil || m.Failures < 0 {
		return memory{}
	}
	if m.NextPoll.After(now.Add(longest)) {
		m.NextPoll = now.Add(longest)
	}
	return m
}

// keep writes the memory whole or not at all. That it cannot is no reason to
// stop polling.
func (m memory) keep(path string) {
	if path == "" {
		return
	}
	b, err := json.Marshal(m)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".pull-*")
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
}

// jittered is the interval, up to a tenth shorter or longer: a fleet that was
// switched on together must not poll together.
func jittered(interval time.Duration) time.Duration {
	return interval - interval/10 + rand.N(interval/5+1)
}

// backoff is a random wait below a bound that doubles with each failure.
func backoff(failures int) time.Duration {
	return time.Second + rand.N(backoffBound(failures)-time.Second+1)
}

func backoffBound(failures int) time.Duration {
	bound := firstBackoff
	for range min(max(failures, 1)-1, 10) {
		bound *= 2
	}
	return min(bound, mostBackoff)
}
