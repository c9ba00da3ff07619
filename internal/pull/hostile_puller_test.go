// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// pullerOrder tells this test binary to be a process that pulls: its memory is
// its own, and it can be killed.
const pullerOrder = "PULL_TEST_PULLER"

// guardTime ends a pull that its own limits do not end.
const guardTime = 30 * time.Second

// order is what a puller works with.
type order struct {
	URL          string
	Mirrors      []pull.Mirror
	Introduction gitops.Hash
	Store        string
	RuntimeDir   string
	StateDir     string
	Auth         pull.Auth
	Limits       pull.Limits
	Timeout      time.Duration
	Options      objects.Options
	MaxFetch     int64
	Clock        time.Time // what the node's clock says, zero = the right time
	Guard        time.Duration
}

// report is what came of one pull.
type report struct {
	Head    gitops.Hash
	Reason  gitops.Reason
	Text    string
	Stuck   bool  // its limits did not end it
	Idle    int64 // bytes of memory before it
	Peak    int64 // and at most in it
	In, Out int64 // on the wire so far
}

// puller is such a process.
type puller struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func newPuller(t *testing.T, o order) *puller {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &puller{t: t, cmd: exec.Command("/proc/self/exe", "-test.run=^TestPullerProcess$")}
	p.cmd.Env = append(os.Environ(), pullerOrder+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	p.lines = bufio.NewScanner(out)
	return p
}

// pull has the process pull once and says what came of it; false when the
// process was killed meanwhile.
func (p *puller) pull() (report, bool) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "pull\n"); err != nil {
		return report{}, false
	}
	if !p.lines.Scan() {
		return report{}, false
	}
	var r report
	if err := json.Unmarshal(p.lines.Bytes(), &r); err != nil {
		p.t.Fatalf("the puller says %q: %v", p.lines.Text(), err)
	}
	return r, true
}

// stop ends the process as a service manager does, and waits for it.
func (p *puller) stop() {
	p.t.Helper()
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the puller ends: %v", err)
	}
}

// kill is kill -9.
func (p *puller) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// TestPullerProcess is the process itself. It shows nothing where nobody
// started it as one.
func TestPullerProcess(_ *testing.T) {
	text := os.Getenv(pullerOrder)
	if text == "" {
		return
	}
	if err := bePuller(text); err != nil {
		fmt.Fprintln(os.Stderr, "puller:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func bePuller(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	debug.SetGCPercent(50) // as the daemon has it
	store, err := objects.Open(o.Store, o.Options)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	s, err := pull.New(o.config(), store)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := out.Encode(o.pull(s, store)); err != nil {
			return err
		}
	}
	return nil
}

func (o order) config() pull.Config {
	cfg := pull.Config{
		Source: "fleet", URL: o.URL, Mirrors: o.Mirrors, Ref: pull.Ref{Branch: "main"}, Introduction: string(o.Introduction),
		Auth: o.Auth, Insecure: strings.HasPrefix(o.URL, "http:"), Interval: time.Minute, Timeout: o.Timeout,
		RuntimeDir: o.RuntimeDir, StateDir: o.StateDir, Limits: o.Limits, MaxFetch: o.MaxFetch,
	}
	if !o.Clock.IsZero() {
		cfg.Now = func() time.Time { return o.Clock }
	}
	return cfg
}

func (o order) pull(s *pull.Source, store *objects.Store) report {
	debug.FreeOSMemory()
	// From now on the kernel notes the peak anew.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	r := report{Idle: memory("VmRSS")}
	guard := o.Guard
	if guard == 0 {
		guard = guardTime
	}
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	head, err := pullWhole(ctx, s, store)
	r.Head, r.Stuck, r.Peak = head, ctx.Err() != nil, memory("VmHWM")
	if err != nil {
		r.Reason, r.Text = gitops.ReasonOf(err), err.Error()
	}
	link := s.Link()
	r.In, r.Out = link.BytesIn, link.BytesOut
	return r
}

// memory is a figure of /proc/self/status, in bytes.
func memory(key string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	_, rest, _ := strings.Cut(string(text), key+":")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		return -1
	}
	return kB * 1024
}

// pullWhole polls, and brings everything of the head, as the agent does for a
// node that uses all of it: a call that used up its time is made again.
func pullWhole(ctx context.Context, s *pull.Source, store *objects.Store) (gitops.Hash, error) {
	var head gitops.Hash
	err := untilFetched(func() error {
		commit, err := s.Commits(ctx, gitops.PollRequest{})
		head = commit.Revision.Hash()
		return err
	})
	if err != nil {
		return "", err
	}
	for range 1000 {
		missing, err := store.Below(ctx, []gitops.Hash{head}, 4096)
		if err != nil || len(missing) == 0 {
			return head, err
		}
		if err := untilFetched(func() error { return s.Objects(ctx, missing) }); err != nil {
			return head, err
		}
	}
	return head, errors.New("objects that are missing were brought a thousand times")
}

func untilFetched(call func() error) error {
	for {
		if err := call(); gitops.ReasonOf(err) != gitops.Fetching {
			return err
		}
	}
}
