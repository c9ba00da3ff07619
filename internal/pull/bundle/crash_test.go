// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
)

// TestMain is also the publish that is killed: REPO, DIR and the number of the
// step before which it dies.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "publish" {
		left, _ := strconv.Atoi(os.Args[4])
		o := bundle.Before(bundle.PublishOptions{Repo: os.Args[2], Dir: os.Args[3]}, func(string) {
			if left--; left < 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
		if _, err := bundle.Publish(context.Background(), o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killed publishes until the step, and says whether it came to that.
func (r *repo) killed(step int) bool {
	r.t.Helper()
	cmd := exec.Command(os.Args[0], "publish", r.work, r.dir, strconv.Itoa(step))
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return false
	case ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	r.t.Fatalf("publish: %v: %s", err, out)
	return false
}

// Wherever a publish is killed, the directory serves the state before or the
// new one, to those who have the list of before too, and the next run goes on.
func TestKilledPublishLeavesAUsableDirectory(t *testing.T) {
	r := newRepo(t)
	r.commit("base", "0")
	for i := range 6 { // up to a run that merges, and removes
		r.commit("file", fmt.Sprint(i))
		r.publish()
		r.now = r.now.Add(time.Minute)
	}
	old := r.commit("file", "last before")
	r.publish()
	served := readList(t, r.dir)
	for step := 0; ; step++ {
		head := r.commit("file", fmt.Sprintf("new %d", step))
		died := r.killed(step)
		got := r.check()["refs/heads/main"]
		if got != old && got != head {
			t.Fatalf("killed before step %d: main is %s, neither before nor after", step, got)
		}
		for _, e := range served.Bundles {
			if _, err := os.Stat(filepath.Join(r.dir, e.URI)); err != nil {
				t.Errorf("killed before step %d: what the list before names is gone: %v", step, err)
			}
		}
		r.publish()
		if got := r.check()["refs/heads/main"]; got != head {
			t.Fatalf("killed before step %d: the next run did not go on: main is %s", step, got)
		}
		if left, _ := filepath.Glob(filepath.Join(r.dir, ".publish-*")); len(left) > 0 {
			t.Errorf("killed before step %d: %v was left", step, left)
		}
		if !died {
			if step < 6 {
				t.Errorf("a run has only %d steps", step)
			}
			return
		}
		old, served = head, readList(t, r.dir)
	}
}

func TestDamageIsPublishedAnew(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"missing": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"cut off": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, info.Size()-1)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"no bundle": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("<html>"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.commit("a", "1")
			done := r.publish()
			r.commit("a", "2")
			r.publish()
			damage(t, filepath.Join(r.dir, done.Written[0].Name))
			// Even with nothing new.
			if done = r.publish(); done.Full == "" || done.Bundles != 1 {
				t.Errorf("published %+v", done)
			}
		})
	}
}

func TestDirectoryOfOthers(t *testing.T) {
	r := newRepo(t)
	r.commit("a", "1")
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(r.dir, "list")
	for _, text := range []string{"milk\neggs\n", "[bundle]\nversion=1\nmode=all\n[bundle \"x\"]\nuri=x.bundle\n"} {
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := bundle.Publish(t.Context(), r.options())
		wantReason(t, err, gitops.Conflict)
		if got, _ := os.ReadFile(list); string(got) != text {
			t.Errorf("the list is now %q", got)
		}
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(r.dir, "index.html")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r.commit("a", fmt.Sprint(i))
		r.publish()
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

func TestOnePublishAtATime(t *testing.T) {
	r := newRepo(t)
	r.commit("a", "1")
	tried := false
	_, err := bundle.Publish(t.Context(), bundle.Before(r.options(), func(string) {
		if tried {
			return
		}
		tried = true
		_, err := bundle.Publish(t.Context(), r.options())
		wantReason(t, err, gitops.Conflict)
	}))
	if err != nil || !tried {
		t.Fatal(tried, err)
	}
}
