// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
)

// folder has the node watch a folder for bundles, and runs it. Nothing happens in
// the folder before what returns is called.
func (w *world) folder() (happened func()) {
	w.t.Helper()
	events := make(chan struct{}, 1)
	w.cfg.ImportDir = filepath.Join(w.dir, "import")
	w.cfg.ImportEvents = func(context.Context, string) <-chan struct{} { return events }
	w.restart()
	w.run()
	w.sleep(time.Second)
	return func() {
		select {
		case events <- struct{}{}:
		default:
		}
	}
}

func (w *world) path(name string) string { return filepath.Join(w.cfg.ImportDir, name) }

// put copies a bundle into the folder.
func (w *world) put(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// files lists the folder.
func (w *world) files() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.cfg.ImportDir)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// inFolder checks what is in the folder, and what was ever imported from it.
func (w *world) inFolder(files, imported []string) {
	w.t.Helper()
	if got := w.files(); !slices.Equal(got, files) {
		w.t.Errorf("the folder holds %q, want %q\n%s", got, files, w.log)
	}
	w.remote.mu.Lock()
	defer w.remote.mu.Unlock()
	if !slices.Equal(w.remote.imported, imported) {
		w.t.Errorf("imported %q, want %q", w.remote.imported, imported)
	}
}

func TestBundleInTheFolderIsTakenIn(t *testing.T) {
	for name, told := range map[string]bool{"at once": true, "by the rescan": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.healthy(content{"a": "1"})
				happened := w.folder()
				two := w.offline(content{"a": "2"})
				w.put("a.bundle", string(two.Hash()))
				wait := 70 * time.Second
				if told {
					happened()
					wait = 5 * time.Second
				}
				w.sleep(wait)
				w.inFolder([]string{}, []string{"a.bundle"})
				w.sleep(20 * time.Second)
				w.runs(two, content{"a": "2"})
				// What is here already goes too.
				w.put("b.bundle", string(two.Hash()))
				w.sleep(70 * time.Second)
				w.inFolder([]string{}, []string{"a.bundle", "b.bundle"})
				if !strings.Contains(w.log.String(), "INFO bundle imported") {
					t.Errorf("it is not told\n%s", w.log)
				}
			})
		})
	}
}

func TestFolderIsMadeAndMadeAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.folder()
		if info, err := os.Stat(w.cfg.ImportDir); err != nil || info.Mode().Perm() != 0o750 {
			t.Fatalf("folder = %v, %v", info, err)
		}
		if err := os.Remove(w.cfg.ImportDir); err != nil {
			t.Fatal(err)
		}
		w.sleep(70 * time.Second)
		rev := w.offline(content{"a": "1"})
		w.put("a.bundle", string(rev.Hash()))
		w.sleep(90 * time.Second)
		w.runs(rev, content{"a": "1"})
		w.inFolder([]string{}, []string{"a.bundle"})
	})
}

func TestRefusedBundleStaysWithANote(t *testing.T) {
	for _, reason := range []gitops.Reason{
		gitops.WrongRepository, gitops.PrerequisiteMissing, gitops.UnsupportedBundle, gitops.Corrupt, gitops.TooLarge,
		gitops.NotGit, gitops.Incomplete, gitops.TooManyCommits,
	} {
		t.Run(string(reason), func(t *testing.T) {
			inWorld(t, func(w *world) {
				one := w.healthy(content{"a": "1"})
				w.folder()
				w.put("a.bundle", string(reason))
				w.sleep(10 * time.Minute)
				w.inFolder([]string{"a.bundle", "a.bundle.refused"}, []string{"a.bundle"})
				w.isNoted("a.bundle", "reason:  "+string(reason), string(reason))
				w.runs(one, content{"a": "1"})
				w.ready("True", gitops.IsHealthy)
			})
		})
	}
}

// isNoted checks a note's form and words.
func (w *world) isNoted(bundle string, words ...string) {
	w.t.Helper()
	info, err := os.Lstat(w.path(bundle + ".refused"))
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.log)
	}
	if info.Mode() != 0o640 {
		w.t.Errorf("the note has mode %s, want 0640", info.Mode())
	}
	note, err := os.ReadFile(w.path(bundle + ".refused"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, word := range append(words, "remedy:  ", "message: ") {
		if !strings.Contains(string(note), word) {
			w.t.Errorf("the note does not say %q:\n%s", word, note)
		}
	}
}

func TestBundleThatTrustRefusesStaysWithANote(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		two := w.healthy(content{"a": "2"})
		w.folder()
		w.put("old.bundle", string(one.Hash()))
		w.sleep(5 * time.Minute)
		w.inFolder([]string{"old.bundle", "old.bundle.refused"}, []string{"old.bundle"})
		w.isNoted("old.bundle", "reason:  Rollback", "source fleet, "+one.Short())
		w.runs(two, content{"a": "2"})
		w.ready("True", gitops.IsHealthy)
	})
}

func TestRefusedBundleIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, good string)
		files  []string
		tries  int
	}{
		"not by itself":           {func(*world, string) {}, []string{"a.bundle", "a.bundle.refused"}, 1},
		"not by a restart":        {func(w *world, _ string) { w.restart(); w.run() }, []string{"a.bundle", "a.bundle.refused"}, 1},
		"when it changes":         {func(w *world, good string) { w.put("a.bundle", good) }, []string{}, 2},
		"when the note goes":      {func(w *world, _ string) { os.Remove(w.path("a.bundle.refused")) }, []string{"a.bundle", "a.bundle.refused"}, 2},
		"when the note is cut":    {func(w *world, _ string) { os.Truncate(w.path("a.bundle.refused"), 100) }, []string{"a.bundle", "a.bundle.refused"}, 2},
		"not when it goes itself": {func(w *world, _ string) { os.Remove(w.path("a.bundle")) }, []string{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.healthy(content{"a": "1"})
				w.folder()
				w.put("a.bundle", "Corrupt")
				w.sleep(5 * time.Minute)
				w.isNoted("a.bundle", "reason:  Corrupt")
				c.change(w, string(w.offline(content{"a": "2"}).Hash()))
				w.sleep(5 * time.Minute)
				w.inFolder(c.files, slices.Repeat([]string{"a.bundle"}, c.tries))
			})
		})
	}
}

func TestBundlesAreTakenInByName(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.folder()
		two := w.offline(content{"a": "2"})
		three := gitops.NewRevision("main", w.remote.fork(two.Hash(), content{"a": "3"}))
		w.remote.set(func(r *remote) { r.next = time.Now().Add(24 * time.Hour) })
		w.put("03.bundle", string(three.Hash()))
		w.put("02.bundle", string(two.Hash()))
		w.put("01.bundle", "WrongRepository")
		w.put(".04.bundle", "never")
		w.put("05.bundle.part", "never")
		w.put("README", "never")
		w.sleep(3 * time.Minute)
		w.inFolder([]string{".04.bundle", "01.bundle", "01.bundle.refused", "05.bundle.part", "README"}, []string{"01.bundle", "02.bundle", "03.bundle"})
		w.runs(three, content{"a": "3"})
	})
}

func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	for what, c := range map[string]struct {
		put  func(path, good string) error
		word string
	}{
		"directory": {func(path, _ string) error { return os.Mkdir(path, 0o755) }, "it is a directory"},
		"symlink":   {func(path, good string) error { return os.Symlink(good, path) }, "it is a symlink"},
		"fifo":      {func(path, _ string) error { return syscall.Mkfifo(path, 0o600) }, "it is a device or pipe"},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.healthy(content{"a": "1"})
				w.folder()
				good := w.bundle(string(w.offline(content{"a": "2"}).Hash()))
				if err := c.put(w.path("a.bundle"), good); err != nil {
					t.Fatal(err)
				}
				w.sleep(5 * time.Minute)
				w.inFolder([]string{"a.bundle", "a.bundle.refused"}, nil)
				w.isNoted("a.bundle", c.word)
				if n := strings.Count(w.log.String(), "bundle refused"); n != 1 {
					t.Errorf("told %d times", n)
				}
			})
		})
	}
}

// TestNoteIsMadeAnew: what has its name may be a link to another file.
func TestNoteIsMadeAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.folder()
		other := w.bundle("precious")
		if err := os.Symlink(other, w.path("a.bundle.refused")); err != nil {
			t.Fatal(err)
		}
		w.put("a.bundle", "Corrupt")
		w.sleep(3 * time.Minute)
		if text, err := os.ReadFile(other); err != nil || string(text) != "precious\n" {
			t.Errorf("the file behind the link holds %q (%v)", text, err)
		}
		w.isNoted("a.bundle", "reason:  Corrupt")
	})
}

// TestNodesFaultIsNotTheBundles: it is tried again at each look, and told once.
func TestNodesFaultIsNotTheBundles(t *testing.T) {
	for _, reason := range []gitops.Reason{gitops.StoreFailed, gitops.JournalFailed, gitops.Conflict, gitops.TrustMissing} {
		t.Run(string(reason), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.healthy(content{"a": "1"})
				w.folder()
				w.put("a.bundle", string(reason))
				w.put("b.bundle", "Corrupt")
				w.sleep(5*time.Minute + 30*time.Second)
				w.inFolder([]string{"a.bundle", "b.bundle"}, slices.Repeat([]string{"a.bundle"}, 5))
				if n := strings.Count(w.log.String(), "cannot be imported"); n != 1 {
					t.Errorf("told %d times", n)
				}
				two := w.offline(content{"a": "2"})
				w.put("a.bundle", string(two.Hash()))
				w.sleep(3 * time.Minute)
				w.runs(two, content{"a": "2"})
			})
		})
	}
}

// TestBundlePutInThePlaceOfAnotherStays: only what was taken in is removed.
func TestBundlePutInThePlaceOfAnotherStays(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.cfg.Sources[0].Git = swapping{w.remote, func() { w.put("a.bundle", "Corrupt, and longer") }}
		w.folder()
		two := w.offline(content{"a": "2"})
		w.put("a.bundle", string(two.Hash()))
		w.sleep(70 * time.Second)
		w.inFolder([]string{"a.bundle"}, []string{"a.bundle"})
		w.sleep(20 * time.Second)
		w.runs(two, content{"a": "2"})
	})
}

// swapping is a source whose bundle is replaced while it is read.
type swapping struct {
	*remote
	swap func()
}

func (s swapping) Import(ctx context.Context, file string, known []gitops.Hash) (gitops.Commit, error) {
	c, err := s.remote.Import(ctx, file, known)
	s.swap()
	return c, err
}

func TestFolderOfAnIdleNodeIsNotWritten(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.folder()
		w.put("a.bundle", "Corrupt")
		w.sleep(5 * time.Minute)
		stamp := func() string {
			out := w.stamp()
			for _, name := range []string{"", "a.bundle", "a.bundle.refused"} {
				info, err := os.Lstat(w.path(name))
				if err != nil {
					t.Fatal(err)
				}
				out += fmt.Sprintln(name, info.Size(), info.ModTime().UnixNano())
			}
			return out
		}
		before := stamp()
		w.sleep(6 * time.Hour)
		if after := stamp(); after != before {
			t.Errorf("it was written:\n%swas\n%s", after, before)
		}
	})
}

// The kernel says when a file was copied or moved into the folder.
func TestEventsOfTheKernel(t *testing.T) {
	dir := t.TempDir()
	events := agent.WatchFolder(t.Context(), dir)
	if events == nil {
		t.Fatal("the kernel cannot be asked")
	}
	outside := filepath.Join(t.TempDir(), "b.bundle")
	for name, happen := range map[string]func() error{
		"copied": func() error { return os.WriteFile(filepath.Join(dir, "a.bundle"), []byte("x"), 0o600) },
		"moved": func() error {
			if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
				return err
			}
			return os.Rename(outside, filepath.Join(dir, "b.bundle"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := happen(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-events:
			case <-time.After(30 * time.Second):
				t.Error("nothing was said")
			}
		})
	}
	if agent.WatchFolder(t.Context(), filepath.Join(dir, "not there")) != nil {
		t.Error("a folder that is not there is watched")
	}
}
