// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
)

// offline makes a commit on the newest one that only a bundle brings: the server
// does not show it.
func (w *world) offline(want content) gitops.Revision {
	head, parent := w.remote.head, w.remote.head
	if accepted := w.state().Accepted; accepted != nil {
		parent = accepted.Revision.Hash()
	}
	rev := gitops.NewRevision("main", w.remote.fork(parent, want))
	w.remote.set(func(r *remote) { r.head = head })
	return rev
}

// bundle writes what the source under test takes for a bundle.
func (w *world) bundle(text string) string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "stick.bundle")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

func TestImportedRevisionIsRunLikeAPolledOne(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		w.remote.fails(gitops.Unreachable, "")
		two := w.offline(content{"a": "2"})
		w.run()
		w.sleep(90 * time.Second)
		before := w.status()
		got, err := w.agent.Import(w.ctx, "", w.bundle(string(two.Hash())))
		if err != nil || got.Source != fleet || got.Revision != two || !got.New || got.Refused != nil || got.Cycle != before.Cycle+1 {
			t.Fatalf("Import = %+v, %v", got, err)
		}
		if !slices.Contains(w.remote.known, one.Hash()) {
			t.Errorf("known = %v, want what the node used", w.remote.known)
		}
		w.sleep(20 * time.Second)
		w.runs(two, content{"a": "2"})
		w.ready("True", gitops.IsHealthy)
		if st := w.status(); st.Observed.Revision != two || st.Cycle < got.Cycle {
			t.Errorf("observed %s in cycle %d, want %s after %d", st.Observed.Revision, st.Cycle, two, got.Cycle)
		}
		// The link is as it was: a stick says nothing about it.
		if c := w.status().Condition(gitops.ConditionSourceReachable); c.Status != "False" || c.Reason != gitops.Unreachable {
			t.Errorf("SourceReachable = %+v", c)
		}
		got, err = w.agent.Import(w.ctx, fleet, w.bundle(string(two.Hash())))
		if err != nil || got.New || got.Refused != nil {
			t.Errorf("Import again = %+v, %v; want nothing new", got, err)
		}
	})
}

func TestOldBundleIsRefusedAndTheSourceIsNot(t *testing.T) {
	inWorld(t, func(w *world) {
		one := w.healthy(content{"a": "1"})
		two := w.healthy(content{"a": "2"})
		w.run()
		w.sleep(time.Second)
		got, err := w.agent.Import(w.ctx, "", w.bundle(string(one.Hash())))
		if err != nil || got.New || got.Refused == nil || got.Refused.Reason != gitops.RolledBack || got.Refused.Revision != one {
			t.Fatalf("Import = %+v, %v; want it refused as %s", got, err, gitops.RolledBack)
		}
		for range 2 {
			w.sleep(20 * time.Second)
			w.runs(two, content{"a": "2"})
			w.ready("True", gitops.IsHealthy)
			if r := w.state().Refused; r != nil {
				t.Errorf("refused = %+v: the server's head was not", r)
			}
			w.restart() // nor does it come back from the journal
			w.run()
		}
	})
}

func TestImportEndsAHealthWait(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.push(content{"a": "slow"})
		w.remote.set(func(r *remote) { r.next = time.Time{} })
		w.run()
		w.remote.set(func(r *remote) { r.next = time.Now().Add(time.Hour) })
		w.sleep(time.Minute)
		three := w.offline(content{"a": "3"})
		file := w.bundle("PrerequisiteMissing")
		if _, err := w.agent.Import(w.ctx, fleet, file); gitops.ReasonOf(err) != gitops.PrerequisiteMissing {
			t.Errorf("Import = %v, want %s", err, gitops.PrerequisiteMissing)
		}
		synctest.Wait()
		if st := w.status(); st.Phase != gitops.StageChecking || w.state().Open == nil {
			t.Errorf("phase = %s, open = %v; want the wait to go on", st.Phase, w.state().Open)
		}
		if _, err := w.agent.Import(w.ctx, fleet, w.bundle(string(three.Hash()))); err != nil {
			t.Fatal(err)
		}
		w.sleep(20 * time.Second)
		w.runs(three, content{"a": "3"})
	})
}

func TestImportFindsItsSource(t *testing.T) {
	inWorld(t, func(w *world) {
		other := newRemote()
		elsewhere := &world{t: t, remote: other, renderer: &renderer{remote: other}}
		w.cfg.Sources = append(w.cfg.Sources, elsewhere.source("second"), w.source("third"))
		w.restart()
		w.healthy(content{"a": "1"})
		w.run()
		w.sleep(time.Second)
		rev := gitops.NewRevision("main", other.push(content{"z": "1"}))
		got, err := w.agent.Import(w.ctx, "", w.bundle(string(rev.Hash())))
		if err != nil || got.Source != "second" || !got.New {
			t.Errorf("Import = %+v, %v; want it taken by the second source", got, err)
		}
		w.sleep(20 * time.Second)
		two := w.offline(content{"a": "2"})
		if _, err := w.agent.Import(w.ctx, "third", w.bundle(string(two.Hash()))); err != nil {
			t.Fatal(err)
		}
		// Two sources of one repository both take it; the answer is of the one to
		// which it is news.
		got, err = w.agent.Import(w.ctx, "", w.bundle(string(two.Hash())))
		if err != nil || got.Source != fleet || !got.New {
			t.Errorf("Import = %+v, %v; want the news of %s", got, err, fleet)
		}
		three := w.offline(content{"a": "3"})
		got, err = w.agent.Import(w.ctx, "", w.bundle(string(three.Hash())))
		if err != nil || got.Source != fleet || !got.New {
			t.Errorf("Import = %+v, %v", got, err)
		}
		state, err := w.journal.State(w.ctx, "third")
		if err != nil || state.Accepted.Revision != three {
			t.Errorf("the third accepted %v (%v), want %s", state.Accepted, err, three)
		}
		for source, want := range map[string]gitops.Reason{"": gitops.WrongRepository, "second": gitops.RefMissing, "fourth": gitops.NotFoundHere} {
			if _, err := w.agent.Import(w.ctx, source, w.bundle("RefMissing")); gitops.ReasonOf(err) != want {
				t.Errorf("Import for %q = %v, want %s", source, err, want)
			}
		}
	})
}

func TestExportIsOfWhatIsHealthy(t *testing.T) {
	inWorld(t, func(w *world) {
		var asked []gitops.Revision
		w.remote.export = func(_ context.Context, rev gitops.Revision, out io.Writer) error {
			if asked = append(asked, rev); len(asked) < 3 {
				return failure(gitops.Fetching) // the whole tree comes in parts
			}
			_, err := out.Write([]byte("a bundle"))
			return err
		}
		w.run()
		var out bytes.Buffer
		if err := w.agent.Export(w.ctx, fleet, &out); gitops.ReasonOf(err) != gitops.NotYet {
			t.Errorf("Export before anything was accepted = %v", err)
		}
		w.stop()
		w.restart()
		one := w.healthy(content{"a": "1"})
		w.push(content{"a": "crash"})
		w.run()
		w.sleep(time.Minute)
		if err := w.agent.Export(w.ctx, fleet, &out); err != nil || out.String() != "a bundle" {
			t.Errorf("Export = %q, %v", &out, err)
		}
		if !slices.Equal(asked, []gitops.Revision{one, one, one}) {
			t.Errorf("asked for %v, want %s until it was there", asked, one)
		}
		w.remote.export = func(_ context.Context, _ gitops.Revision, out io.Writer) error {
			out.Write([]byte("a bun")) //nolint:errcheck // the error below is what counts
			return failure(gitops.Fetching)
		}
		if err := w.agent.Export(w.ctx, fleet, &out); gitops.ReasonOf(err) != gitops.Fetching {
			t.Errorf("Export that broke off = %v, want the reason and not a second beginning", err)
		}
		if err := w.agent.Export(w.ctx, "other", &out); gitops.ReasonOf(err) != gitops.NotFoundHere {
			t.Errorf("Export of another source = %v", err)
		}
	})
}

// stuck is a reader that stopped, as a suspended command is.
type stuck struct{ until chan struct{} }

func (s stuck) Write([]byte) (int, error) {
	<-s.until
	return 0, errors.New("gone")
}

func TestExportDoesNotHoldTheLoopUp(t *testing.T) {
	inWorld(t, func(w *world) {
		w.healthy(content{"a": "1"})
		w.remote.export = func(_ context.Context, _ gitops.Revision, out io.Writer) error {
			for {
				if _, err := out.Write([]byte("more")); err != nil {
					return err
				}
			}
		}
		w.run()
		reader := stuck{make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- w.agent.Export(w.ctx, fleet, reader) }()
		w.sleep(time.Second)
		w.cluster.edit("a", "edited")
		w.sleep(2 * time.Minute)
		w.holds(content{"a": "1"}) // the drift is repaired although nobody reads
		close(reader.until)
		if err := <-ended; err == nil {
			t.Error("a bundle that was not written whole is taken for whole")
		}
		// So it is when the disk that it is written to is full, and at once.
		w.cluster.edit("a", "edited")
		if err := w.agent.Export(w.ctx, fleet, stuck{reader.until}); err == nil {
			t.Error("a bundle that could not be written is taken for whole")
		}
		w.sleep(time.Second)
		w.holds(content{"a": "1"})
		// A reader that goes away ends it at once.
		ctx, cancel := context.WithCancel(w.ctx)
		w.remote.export = func(ctx context.Context, _ gitops.Revision, _ io.Writer) error {
			<-ctx.Done()
			return ctx.Err()
		}
		go func() { ended <- w.agent.Export(ctx, fleet, io.Discard) }()
		w.sleep(time.Second)
		cancel()
		if err := <-ended; err == nil {
			t.Error("an export that was given up says nothing of it")
		}
		w.cluster.edit("a", "edited")
		w.sleep(2 * time.Minute)
		w.holds(content{"a": "1"})
	})
}

// strange is a source that takes every bundle for one of its own.
type strange struct {
	*remote
	commit gitops.Hash
	err    error
}

func (s strange) Import(context.Context, string, []gitops.Hash) (gitops.Commit, error) {
	return gitops.Commit{Revision: gitops.NewRevision("main", s.commit), FullRef: "refs/heads/main"}, s.err
}

// TestOneSourceThatTakesABundleIsEnough: a source cannot always tell that a
// bundle is of another repository.
func TestOneSourceThatTakesABundleIsEnough(t *testing.T) {
	inWorld(t, func(w *world) {
		other := newRemote()
		elsewhere := &world{t: t, remote: other, renderer: &renderer{remote: other}}
		first := elsewhere.source("first")
		w.cfg.Sources = append([]agent.SourceConfig{first}, w.cfg.Sources...)
		root := other.push(content{"z": "1"})
		w.push(content{"a": "1"})
		w.restart()
		w.once()
		fork := other.fork("", content{"z": "2"})
		other.set(func(r *remote) { r.head = root })
		for name, git := range map[string]strange{
			"a": {remote: other, commit: fork},
			"b": {remote: other, err: failure(gitops.PrerequisiteMissing)},
		} {
			w.cfg.Sources[0].Git = git
			w.folder()
			rev := w.offline(content{"a": name})
			w.put(name+".bundle", string(rev.Hash()))
			w.sleep(3 * time.Minute)
			if files := w.files(); len(files) > 0 || w.state().Healthy.Revision != rev {
				t.Errorf("%s: healthy = %v, left %q\n%s", name, w.state().Healthy, files, w.log)
			}
			// Where nobody takes it, it is the strange one's reason that is told.
			w.put("other.bundle", "WrongRepository")
			w.sleep(3 * time.Minute)
			want := gitops.ReasonOf(git.err)
			if want == "" {
				want = gitops.Fork
			}
			w.isNoted("other.bundle", "reason:  "+string(want))
			os.Remove(w.path("other.bundle")) //nolint:errcheck // the next one would tell
			w.sleep(2 * time.Minute)
		}
	})
}
