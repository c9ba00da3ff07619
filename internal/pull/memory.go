// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
)

// maxMemory bounds the file that is read back.
const maxMemory = 256 << 10

// memory is what a source keeps over restarts, in the runtime directory: it
// lives in memory until the machine stops, so it costs no flash.
type memory struct {
	Failures    int           `json:"failures"`
	LastPoll    time.Time     `json:"lastPoll,omitzero"`
	NextPoll    time.Time     `json:"nextPoll,omitzero"`
	LastSuccess time.Time     `json:"lastSuccess,omitzero"`
	Reason      gitops.Reason `json:"reason,omitempty"`
	Message     string        `json:"message,omitempty"`
	// Lack is of the objects that a call could not bring: polls go well meanwhile.
	Lack lack `json:"lack"`

	BytesIn  int64                       `json:"bytesIn"`
	BytesOut int64                       `json:"bytesOut"`
	Days     map[string]gitops.LinkBytes `json:"days,omitempty"`
	Poll     gitops.LinkBytes            `json:"poll"`
	Fetch    gitops.LinkBytes            `json:"fetch"`

	// Preferred is the place that answered last, Since when it was first.
	Preferred string    `json:"preferred,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	// Batch is how many objects the link lets through at once.
	Batch int `json:"batch,omitempty"`
	// UnderWay is how many objects the request is for that is not answered yet.
	UnderWay int `json:"underWay,omitempty"`
	// Lists is what is known of static mirrors, by their URL.
	Lists map[string]listed `json:"lists,omitempty"`
}

// lack is what the last call of Objects failed with, and until when the same
// objects are not asked for again.
type lack struct {
	At       gitops.Hash   `json:"at,omitempty"` // the tip that was found before
	Failures int           `json:"failures,omitempty"`
	Until    time.Time     `json:"until,omitzero"`
	ID       gitops.Hash   `json:"id,omitempty"`
	Reason   gitops.Reason `json:"reason,omitempty"`
	Message  string        `json:"message,omitempty"`
	Remedy   string        `json:"remedy,omitempty"`
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
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxMemory {
		return m
	}
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &m) != nil || m.Failures < 0 || m.Lack.Failures < 0 || m.Batch < 0 || m.UnderWay < 0 {
		return memory{}
	}
	for _, t := range []*time.Time{&m.NextPoll, &m.Lack.Until} {
		if t.After(now.Add(longest)) {
			*t = now.Add(longest)
		}
	}
	if m.Since.After(now) { // or a mirror would be preferred until then
		m.Since = time.Time{}
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
	if err == nil && len(b) > maxMemory { // it would not be read back
		m.Lists = nil
		b, err = json.Marshal(m)
	}
	if err != nil {
		return
	}
	wire.Keep(path, ".pull-*", b)
}
