// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// laboratory runs the tests of the mutated package.
type laboratory struct {
	options
	dir, binary string
	tests       []test

	mu    sync.Mutex
	kills map[string]int // by test: one that noticed much is asked early
}

// test is a test function, and which mutants it comes across.
type test struct {
	name string
	took time.Duration
	met  map[int]bool
}

type result struct {
	mutant
	killed bool
	how    string
}

// memoryMost bounds what a mutant that never ends may take, in KiB.
const memoryMost = 6 << 20

func (l *laboratory) build(ctx context.Context) error {
	if _, err := os.Stat(l.binary); err == nil {
		return nil // of a run before, of the same sources
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(l.dir, "overlay.json"), "-o", l.binary, "./"+l.pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the mutated tests: %w\n%s", err, out)
	}
	return nil
}

// command runs the tests in the package's folder, as go test does.
func (l *laboratory) command(ctx context.Context, args ...string) *exec.Cmd {
	script := fmt.Sprintf("ulimit -v %d; exec \"$0\" \"$@\"", memoryMost)
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script, l.binary}, args...)...)
	cmd.Dir = l.pkg
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// look runs each test once with no mutant on: it must pass, and tells what it
// comes across.
func (l *laboratory) look(ctx context.Context) error {
	out, err := l.command(ctx, "-test.list", "^Test").Output()
	if err != nil {
		return fmt.Errorf("list the tests: %w", err)
	}
	names := strings.Fields(string(out))
	l.tests = make([]test, len(names))
	return each(l.workers, len(names), func(i int) error {
		met := filepath.Join(l.dir, "met-"+names[i])
		data, err := os.ReadFile(met)
		if os.IsNotExist(err) {
			data, err = l.lookAt(ctx, names[i], met)
		}
		if err != nil {
			return err
		}
		took, list, _ := strings.Cut(string(data), "\n")
		l.tests[i] = test{name: names[i], met: map[int]bool{}}
		if l.tests[i].took, err = time.ParseDuration(took); err != nil {
			return err
		}
		for _, line := range strings.Fields(list) {
			id, err := strconv.Atoi(line)
			if err != nil {
				return err
			}
			l.tests[i].met[id] = true
		}
		return nil
	})
}

// lookAt runs one test, and keeps how long it took and what it came across.
func (l *laboratory) lookAt(ctx context.Context, name, met string) ([]byte, error) {
	raw := met + ".raw"
	if err := os.WriteFile(raw, nil, 0o600); err != nil {
		return nil, err
	}
	begin := time.Now()
	cmd := l.command(ctx, "-test.run", "^"+name+"$")
	cmd.Env = append(os.Environ(), "MUTATION_MET="+raw)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s fails without a mutant: %w\n%s", name, err, out)
	}
	data, err := os.ReadFile(raw)
	if err != nil {
		return nil, err
	}
	data = append([]byte(time.Since(begin).String()+"\n"), data...)
	return data, os.WriteFile(met, data, 0o600)
}

// try runs the tests that come across each mutant: first those that are quick and
// have noticed others.
func (l *laboratory) try(ctx context.Context, mutants []mutant) []result {
	l.kills = map[string]int{}
	results := make([]result, len(mutants))
	begin, done := time.Now(), 0
	var mu sync.Mutex
	_ = each(l.workers, len(mutants), func(i int) error {
		results[i] = l.one(ctx, mutants[i])
		mu.Lock()
		defer mu.Unlock()
		if done++; done%25 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d mutants, %s\n", done, len(mutants), time.Since(begin).Round(time.Second))
		}
		if !results[i].killed {
			fmt.Fprintf(os.Stderr, "survived: %s (line %d, %s)\n", mutants[i].name, mutants[i].line, results[i].how)
		}
		return ctx.Err()
	})
	return results
}

// alone is how many tests are run one by one before all others at once.
const alone = 4

func (l *laboratory) one(ctx context.Context, m mutant) result {
	names := l.askedFor(m)
	if len(names) == 0 {
		return result{mutant: m, how: "no test comes there"}
	}
	first := min(alone, len(names))
	var rounds [][]string
	for _, name := range names[:first] {
		rounds = append(rounds, []string{name})
	}
	if rest := names[first:]; len(rest) > 0 {
		rounds = append(rounds, rest)
	}
	for _, round := range rounds {
		if l.fails(ctx, m.id, round) {
			if len(round) == 1 {
				l.mu.Lock()
				l.kills[round[0]]++
				l.mu.Unlock()
			}
			return result{mutant: m, killed: true, how: strings.Join(round, " ")}
		}
	}
	return result{mutant: m, how: fmt.Sprintf("%d tests pass", len(names))}
}

// askedFor are the tests that come across a mutant, in the order in which they
// are run.
func (l *laboratory) askedFor(m mutant) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	tests := slices.DeleteFunc(slices.Clone(l.tests), func(t test) bool { return !t.met[m.id] })
	price := func(t test) time.Duration { return t.took / time.Duration(1+l.kills[t.name]) }
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(price(a), price(b)) })
	var names []string
	for _, t := range tests {
		names = append(names, t.name)
	}
	return names
}

// fails runs tests with a mutant on. One that does not end is noticed, too.
func (l *laboratory) fails(ctx context.Context, id int, names []string) bool {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	cmd := l.command(ctx, "-test.failfast", "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Env = append(os.Environ(), "MUTATION_ID="+strconv.Itoa(id))
	return cmd.Run() != nil
}

// each does n things, so many at a time, and stops at the first error.
func each(workers, n int, do func(i int) error) error {
	var wait sync.WaitGroup
	next := make(chan int)
	var mu sync.Mutex
	var failed error
	for range workers {
		wait.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop {
			break
		}
		next <- i
	}
	close(next)
	wait.Wait()
	return failed
}
