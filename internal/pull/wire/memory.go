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

// keep writes the file when it would say something else.
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
	Keep(s.cfg.Cache, ".abilities-*", data)
}

// Keep writes a file of the runtime directory whole or not at all: nobody reads
// it half written, and it need not survive a crash. That it cannot be written is
// no reason to stop. Temporary is what it is called before it is whole.
func Keep(path, temporary string, data []byte) {
	f, err := os.CreateTemp(filepath.Dir(path), temporary)
	if err != nil {
		return
	}
	_, err = f.Write(data)
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
