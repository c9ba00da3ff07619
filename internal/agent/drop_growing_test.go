// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// grow writes a file of the folder on, as a slow stick does, for some seconds.
func (w *world) grow(name, text string, happened func()) {
	for n := range 40 {
		w.put(name, text[:n])
		for range 2 {
			happened()
			w.sleep(500 * time.Millisecond)
		}
	}
}

func TestBundleThatIsBeingWrittenIsLeftAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		happened := w.folder()
		two := string(w.offline(content{"a": "2"}).Hash())
		w.grow("a.bundle", two, happened)
		w.inFolder([]string{"a.bundle"}, nil)
		w.put("a.bundle", two)
		happened()
		w.sleep(10 * time.Second)
		w.inFolder([]string{}, []string{"a.bundle"})
	})
}

// A copy that hangs, or a file that a log is written to, is never at rest.
func TestBundleThatGrowsForEverHoldsNothingUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		happened := w.folder()
		two := w.offline(content{"a": "2"})
		w.put("b.bundle", "Corrupt")
		w.put("c.bundle", string(two.Hash()))
		w.grow("a.bundle", string(two.Hash()), happened)
		w.inFolder([]string{"a.bundle", "b.bundle", "b.bundle.refused"}, []string{"b.bundle", "c.bundle"})
		w.runs(two, content{"a": "2"})
	})
}

// What is behind it may build on it. Then it is neither refused, nor read again
// and again.
func TestBundleThatBuildsOnOneThatIsBeingWrittenWaits(t *testing.T) {
	for name, c := range map[string]struct {
		first    string // what becomes of the first file, "" when it goes
		files    []string
		imported []string
	}{
		"until that was taken in": {"good", []string{"b.bundle", "b.bundle.refused"}, []string{"b.bundle", "a.bundle", "b.bundle"}},
		"until that was refused":  {"Corrupt", []string{"a.bundle", "a.bundle.refused", "b.bundle", "b.bundle.refused"}, []string{"b.bundle", "a.bundle", "b.bundle"}},
		"until that has gone":     {"", []string{"b.bundle", "b.bundle.refused"}, []string{"b.bundle", "b.bundle"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.healthy(content{"a": "1"})
				happened := w.folder()
				two := string(w.offline(content{"a": "2"}).Hash())
				w.put("b.bundle", string(gitops.PrerequisiteMissing))
				w.grow("a.bundle", two, happened)
				w.inFolder([]string{"a.bundle", "b.bundle"}, []string{"b.bundle"})
				if n := strings.Count(w.log.String(), "bundle waits for one"); n != 1 {
					t.Errorf("told %d times", n)
				}
				switch c.first {
				case "":
					if err := os.Remove(w.path("a.bundle")); err != nil {
						t.Fatal(err)
					}
				case "good":
					w.put("a.bundle", two)
				default:
					w.put("a.bundle", c.first)
				}
				happened()
				w.sleep(10 * time.Second)
				w.inFolder(c.files, c.imported)
			})
		})
	}
}

// A run of one cycle takes in what lies there, and runs it.
func TestOnceTakesBundlesIn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.folder()
		w.stop()
		w.restart()
		two := w.offline(content{"a": "2"})
		three := gitops.NewRevision("main", w.remote.fork(two.Hash(), content{"a": "3"}))
		w.remote.set(func(r *remote) { r.err = failure(gitops.Unreachable) })
		w.put("a.bundle", string(two.Hash()))
		w.put("b.bundle", "Corrupt")
		w.put("c.bundle", string(three.Hash()))
		w.once()
		w.inFolder([]string{"b.bundle", "b.bundle.refused"}, []string{"a.bundle", "b.bundle", "c.bundle"})
		w.isNoted("b.bundle", "reason:  Corrupt")
		w.runs(three, content{"a": "3"})
		w.ready("True", gitops.IsHealthy)
		w.once() // what was refused is not tried again
		w.inFolder([]string{"b.bundle", "b.bundle.refused"}, []string{"a.bundle", "b.bundle", "c.bundle"})
	})
}

// What is still being written is for the next run, and what lies behind it is not.
func TestOnceLeavesWhatIsBeingWritten(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.folder()
		w.stop()
		w.restart()
		two := w.offline(content{"a": "2"})
		w.put("a.bundle", "Corr")
		w.put("b.bundle", string(two.Hash()))
		go func() {
			time.Sleep(time.Second)
			w.put("a.bundle", "Corrupt")
		}()
		w.once()
		w.inFolder([]string{"a.bundle"}, []string{"b.bundle"})
		w.runs(two, content{"a": "2"})
	})
}

// A run that has nothing to take in does not wait for anybody to write.
func TestOnceDoesNotWaitForAnEmptyFolder(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.folder()
		w.stop()
		w.restart()
		began := time.Now()
		w.once()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %s", took)
		}
	})
}
