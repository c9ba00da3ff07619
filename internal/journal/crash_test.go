// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/edgeagent/edgeagent/internal/journal"
)

// crash is the test binary as a process that lives the script and is killed at
// a point of it. It says what was acknowledged, line by line.
func crash() {
	die, _ := strconv.Atoi(os.Getenv("JOURNAL_TEST_DIE"))
	points := 0
	ctx, c := context.Background(), &clock{}
	j, err := journal.Open(ctx, os.Getenv("JOURNAL_TEST_DIR"), c.options().WithHook(func(point string) {
		if points++; points == die {
			os.Stdout.WriteString(point + "\n")
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}))
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	for _, s := range script(c) {
		if err := s.run(ctx, j); err != nil {
			os.Stdout.WriteString(s.name + ": " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("done\n")
	}
}

// expected is the fingerprint after each number of steps.
func expected(t *testing.T) []string {
	t.Helper()
	c := &clock{}
	j := open(t, memory(t), c.options())
	prints := []string{must(fingerprint(t.Context(), j))(t)}
	for _, s := range script(c) {
		check(t, s.run(t.Context(), j))
		print := must(fingerprint(t.Context(), j))(t)
		if print == prints[len(prints)-1] {
			t.Fatalf("step %q changes nothing: it would prove nothing", s.name)
		}
		prints = append(prints, print)
	}
	return prints
}

// Killed before and after the commit of every transaction in the script, the
// journal is exactly what was acknowledged, or one whole step further; and the
// rest of the script leads to the same end.
func TestKilledAtEveryTransactionNothingAcknowledgedIsLost(t *testing.T) {
	prints := expected(t)
	for die := 1; ; die++ {
		dir, c := memory(t), &clock{}
		steps := script(c)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "JOURNAL_TEST_ROLE=crasher", "JOURNAL_TEST_DIR="+dir, fmt.Sprintf("JOURNAL_TEST_DIE=%d", die))
		out, err := child.Output()
		acked, point := bytes.Count(out, []byte("done\n")), lastLine(out)
		if err == nil {
			if acked != len(steps) || die < 2*len(steps) {
				t.Fatalf("the script ended after %d steps and %d points", acked, die)
			}
			return
		}
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("point %d: %v: %s", die, err, out)
		}
		j := open(t, dir, c.options())
		done := acked
		got := must(fingerprint(t.Context(), j))(t)
		if point == "committed" && acked < len(steps) && got == prints[acked+1] {
			done++
		}
		if got != prints[done] {
			t.Fatalf("killed at point %d (%s) after %d steps, the journal says\n%s\nnot\n%s", die, point, acked, got, prints[done])
		}
		for _, s := range steps[done:] {
			check(t, s.run(t.Context(), j))
		}
		if got := must(fingerprint(t.Context(), j))(t); got != prints[len(steps)] {
			t.Fatalf("killed at point %d, it ends with\n%s\nnot\n%s", die, got, prints[len(steps)])
		}
		check(t, j.Close())
	}
}

func lastLine(out []byte) string {
	last := ""
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		last = lines.Text()
	}
	return last
}
