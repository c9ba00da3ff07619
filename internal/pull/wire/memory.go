// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// kept is what a process leaves to the next one: without it each start would
// cost a request.
type kept struct {
	URL       string    `json:"url"`
	Path      string    `json:"path"` // after redirects
	Abilities abilities `json:"abilities"`
}

// recall reads the file. One that is missing, broken, or of another place only
// costs the request that it would have saved.
func (s *git) recall() {
	if s.cfg.Cache == "" {
		return
	}
	data, err := readFile("cache", s.cfg.Cache)
	if err != nil {
		return
	}
	var k kept
	if err := json.Unmarshal(data, &k); err != nil || k.URL != s.cfg.Place.Shown {
		return
	}
	s.can = &k.Abilities
	if t, ok := s.transport.(*httpTransport); ok {
		t.base = t.cfg.Place.URL.JoinPath()
		t.base.Path, t.base.RawPath = k.Path, ""
	}
}

// keep writes the file when it would say something else. It need not survive a
// crash, only never be read half written.
func (s *git) keep() {
	if s.cfg.Cache == "" {
		return
	}
	k := kept{URL: s.cfg.Place.Shown, Abilities: *s.abilities()}
	if t, ok := s.transport.(*httpTransport); ok {
		k.Path = t.base.Path
	}
	data, err := json.Marshal(k)
	if err != nil {
		return
	}
	if old, err := readFile("cache", s.cfg.Cache); err == nil && string(old) == string(data) {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(s.cfg.Cache), ".abilities-")
	if err != nil {
		return
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil && closed == nil && os.Rename(f.Name(), s.cfg.Cache) == nil {
		return
	}
	_ = os.Remove(f.Name())
}
