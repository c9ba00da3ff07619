// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
	"github.com/edgeagent/edgeagent/internal/verify"
)

const fleet = "fleet"

// world is a node: a Git server, a tiny cluster, a real journal and a real
// verifier around one agent. It lives in a bubble with its own time, which
// passes only while everybody waits.
type world struct {
	t *testing.T
	// ctx is not the test's own: that one is cancelled outside of the bubble.
	ctx      context.Context
	dir      string
	remote   *remote
	renderer *renderer
	cluster  *cluster
	journal  *journal.Journal
	cfg      agent.Config
	agent    *agent.Agent
	log      *logbook
	stopRun  func()
}

// inWorld runs a test on a fresh node.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &world{t: t, ctx: ctx, dir: t.TempDir(), remote: newRemote(), cluster: newCluster(), log: &logbook{}}
		w.renderer = &renderer{remote: w.remote, broken: map[gitops.Hash]gitops.Reason{}}
		j, err := journal.Open(ctx, w.dir, journal.Options{Ballast: -1})
		if err != nil {
			t.Fatal(err)
		}
		w.journal = j
		w.cfg = agent.Config{
			Version: "test", Node: gitops.NodeStatus{Name: "node-1", Labels: map[string]string{"ring": "canary"}},
			Cluster: w.cluster, Journal: w.journal, Log: slog.New(w.log),
			Sources: []agent.SourceConfig{w.source(fleet)},
		}
		t.Cleanup(func() {
			w.stop()
			cancel()
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
		w.restart()
		test(w)
	})
}

func (w *world) source(name string) agent.SourceConfig {
	v, err := verify.New(verify.Config{Source: name, Mode: verify.ModeNone, Insecure: true}, w.remote)
	if err != nil {
		w.t.Fatal(err)
	}
	return agent.SourceConfig{
		Name: name, URL: "https://git.example.com/fleet.git", Ref: "main",
		Interval: time.Minute, Prune: true, OnRemove: "orphan", Drift: gitops.DriftCorrect,
		Rollback: agent.RollbackMode{Auto: true, Max: 2},
		Health:   agent.HealthLimits{Timeout: 5 * time.Minute, Stable: 15 * time.Second},
		Guard:    gitops.PruneGuard{MaxDeletes: 3},
		Git:      w.remote, Verifier: v, Renderer: w.renderer,
	}
}

// restart puts a new agent over the same journal, as a new process would.
func (w *world) restart() {
	w.stop()
	w.agent = agent.New(w.cfg)
}

// run starts the loop. It returns when the loop waits for something.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.agent.Run(ctx) }()
	w.stopRun = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}
	synctest.Wait()
}

// stop ends the loop, as SIGTERM does.
func (w *world) stop() {
	if w.stopRun != nil {
		w.stopRun()
		w.stopRun = nil
	}
}

// sleep lets time pass.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// once polls and converges one time.
func (w *world) once() {
	w.t.Helper()
	if err := w.agent.Once(w.ctx); err != nil {
		w.t.Fatalf("Once: %v", err)
	}
}

// push commits on top of the head.
func (w *world) push(want content) gitops.Revision {
	return gitops.NewRevision("main", w.remote.push(want))
}

// breakRender keeps a commit from being rendered.
func (w *world) breakRender(rev gitops.Revision) {
	w.remote.set(func(*remote) { w.renderer.broken[rev.Hash()] = gitops.InvalidManifest })
}

// healthy brings the node to a revision and checks that it got there.
func (w *world) healthy(want content) gitops.Revision {
	w.t.Helper()
	rev := w.push(want)
	w.once()
	w.runs(rev, want)
	return rev
}

// runs checks that the cluster holds exactly want and that rev is healthy.
func (w *world) runs(rev gitops.Revision, want content) {
	w.t.Helper()
	state := w.state()
	if state.Healthy == nil || state.Healthy.Revision != rev || state.Open != nil {
		w.t.Fatalf("healthy = %v, open = %v; want %s and none\n%s", state.Healthy, state.Open, rev.Short(), w.log)
	}
	w.holds(want)
}

// holds checks what is in the cluster.
func (w *world) holds(want content) {
	w.t.Helper()
	if got := w.cluster.content(); !maps.Equal(got, want) {
		w.t.Fatalf("the cluster holds %v, want %v\n%s", got, want, w.log)
	}
}

func (w *world) state() gitops.SourceState {
	w.t.Helper()
	state, err := w.journal.State(w.ctx, fleet)
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

func (w *world) status() gitops.SourceStatus { return w.agent.Status().Sources[0] }

// ready checks the Ready condition.
func (w *world) ready(status string, reason gitops.Reason) {
	w.t.Helper()
	if c := w.status().Condition(gitops.ConditionReady); c.Status != status || c.Reason != reason {
		w.t.Errorf("Ready = %s, %s (%s); want %s, %s", c.Status, c.Reason, c.Message, status, reason)
	}
}

// attempts lists the attempts, oldest first.
func (w *world) attempts() []gitops.Attempt {
	w.t.Helper()
	out, err := w.journal.Attempts(w.ctx, fleet, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(out)
	return out
}

// history checks the attempts: cause, phase and reason of each, oldest first.
func (w *world) history(want ...string) {
	w.t.Helper()
	var got []string
	for _, a := range w.attempts() {
		got = append(got, strings.TrimSpace(string(a.Cause)+" "+string(a.Phase)+" "+string(a.Reason)))
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("attempts:\n\t%s\nwant:\n\t%s\n%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), w.log)
	}
}

func (w *world) owned() []string {
	w.t.Helper()
	inv, err := w.journal.Owned(w.ctx, fleet)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, item := range inv {
		out = append(out, item.Ref.Name)
	}
	return out
}

// logbook keeps what the agent logged, for failures.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

// Enabled implements slog.Handler, as the next three do.
func (*logbook) Enabled(context.Context, slog.Level) bool { return true }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *logbook) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logbook) WithGroup(string) slog.Handler      { return l }

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "log:\n\t" + strings.Join(l.lines, "\n\t")
}

func last[T any](list []T) T { return list[len(list)-1] }
