// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// TestFormat1 opens files that the first version wrote: two revisions, the
// second the head, the first retained. Of the other file's head a blob was lost.
func TestFormat1(t *testing.T) {
	const first, second = gitops.Hash("0c9f5ef104d109704388bc3216e1ee71e8724dbe"), gitops.Hash("6d3394d6b9321e563dfd5442d0a7368661eddb9a")
	for name, proven := range map[string]bool{"format1.db": true, "format1-suspects.db": false} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "objects.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time in the new format
				s := openAt(t, path, objects.Options{})
				if s.MovedAside() != "" {
					t.Fatal("it was not read")
				}
				if _, ok, err := s.Head(t.Context(), "fleet"); ok != proven || err != nil {
					t.Errorf("the head is proven: %v, %v", ok, err)
				}
				if !whole(t, s, first) {
					t.Error("the retained revision is not whole")
				}
				if heads, err := s.Heads(t.Context()); len(heads) != 2 || err != nil {
					t.Errorf("heads %v, %v", heads, err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s := openAt(t, path, objects.Options{})
			p := newPack()
			next := p.revision("third", second)
			p.revision("second", first)
			receive(t, s, next, p)
			if !whole(t, s, next) || !whole(t, s, second) {
				t.Error("not whole after a fetch")
			}
			sweep(t, s)
			if !whole(t, s, next) || !whole(t, s, first) {
				t.Error("not whole after a collection")
			}
		})
	}
}
