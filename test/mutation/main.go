// SPDX-License-Identifier: Apache-2.0

// Command mutation owns the proof that guards matter: it switches those of a
// package off, one at a time, and reports the ones whose absence no test notices.
// It compiles the package once, with every mutant in it and none of them on, and
// chooses one by an environment variable for each run of the tests. It does so by
// go test -overlay, and never touches a source file; nothing of it is ever in a
// program that is shipped.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	var o options
	var only string
	flag.StringVar(&o.pkg, "package", "internal/verify", "folder of the package")
	flag.StringVar(&o.accepted, "accepted", "test/mutation/accepted.txt", "file of mutants that change nothing, each with its reason")
	flag.StringVar(&only, "run", "", "regular expression of the mutants to try: file.go: function: what")
	flag.IntVar(&o.workers, "workers", 2, "mutants at once")
	flag.Float64Var(&o.least, "least", 90, "percentage of mutants that must be noticed")
	flag.DurationVar(&o.timeout, "timeout", 4*time.Minute, "for one run of the tests")
	flag.StringVar(&o.work, "work", "", "folder to keep what was built in, so that slices of a run share it")
	flag.BoolVar(&o.list, "list", false, "only list the mutants")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: mutation [flags] FILE.go ...\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.files = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, only); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

type options struct {
	pkg, accepted string
	work          string
	files         []string
	workers       int
	least         float64
	timeout       time.Duration
	list          bool
}

func run(ctx context.Context, o options, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if len(o.files) == 0 {
		return fmt.Errorf("name the files to mutate")
	}
	dir, cleanUp, err := o.directory()
	if err != nil {
		return err
	}
	defer cleanUp()
	all, err := mutateFiles(o.pkg, o.files, dir)
	if err != nil {
		return err
	}
	accepted, err := readAccepted(o.accepted)
	if err != nil {
		return err
	}
	mutants := slices.DeleteFunc(slices.Clone(all), func(m mutant) bool { return !pattern.MatchString(m.name) })
	if o.list {
		for _, m := range mutants {
			fmt.Printf("%s (line %d)\n", m.name, m.line)
		}
		return nil
	}
	lab := laboratory{options: o, dir: dir, binary: filepath.Join(dir, "tests")}
	if err := lab.build(ctx); err != nil {
		return err
	}
	if err := lab.look(ctx); err != nil {
		return err
	}
	results := lab.try(ctx, mutants)
	if err := ctx.Err(); err != nil {
		return err
	}
	return report(o, results, accepted, only == "")
}

// directory is where everything is built: a temporary one, or one that is kept
// for the package as it is now.
func (o options) directory() (dir string, cleanUp func(), err error) {
	if o.work == "" {
		dir, err = os.MkdirTemp("", "mutation")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	paths, err := filepath.Glob(filepath.Join(o.pkg, "*.go"))
	if err != nil {
		return "", nil, err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, o.files)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", nil, err
		}
		fmt.Fprintln(sum, path, len(data))
		sum.Write(data)
	}
	dir = filepath.Join(o.work, fmt.Sprintf("%x", sum.Sum(nil)[:8]))
	return dir, func() {}, os.MkdirAll(dir, 0o700)
}

// report prints the survivors. A whole run also finds entries of the accepted
// file that name no survivor: they would hide the next one of their name.
func report(o options, results []result, accepted map[string]string, whole bool) error {
	killed, excused := 0, 0
	var survivors []string
	used := map[string]bool{}
	for _, r := range results {
		switch reason := accepted[r.name]; {
		case r.killed:
			killed++
		case reason != "":
			excused++
			used[r.name] = true
		default:
			survivors = append(survivors, fmt.Sprintf("%s (line %d, %s)", r.name, r.line, r.how))
		}
	}
	slices.Sort(survivors)
	for _, s := range survivors {
		fmt.Println("survived:", s)
	}
	share := 100.0
	if counted := len(results) - excused; counted > 0 {
		share = 100 * float64(killed) / float64(counted)
	}
	fmt.Printf("%d mutants, %d noticed, %d survived, %d change nothing: %.1f %% of those that change something\n",
		len(results), killed, len(survivors), excused, share)
	if whole {
		for name := range accepted {
			if !used[name] {
				fmt.Println("no survivor any more:", name)
			}
		}
	}
	if share < o.least {
		return fmt.Errorf("%.1f %% of the mutants were noticed, %.0f %% wanted", share, o.least)
	}
	return nil
}

// readAccepted reads "NAME = REASON" lines.
func readAccepted(path string) (map[string]string, error) {
	out := map[string]string{}
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndex(line, " = ")
		if at < 0 {
			return nil, fmt.Errorf("%s: %q gives no reason", path, line)
		}
		out[line[:at]] = line[at+3:]
	}
	return out, lines.Err()
}
