// SPDX-License-Identifier: Apache-2.0

// Command bench measures the agent beside floors that are taken in the same
// run, on the same cluster and the same Git server: machines are noisy, ratios
// and counts are not. It prints a table and writes it as JSON into
// bench/results.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is one measured case beside its floor and its target.
type row struct {
	Case   string `json:"case"`
	Got    string `json:"got"`
	Floor  string `json:"floor"`
	Ratio  string `json:"ratio,omitempty"`
	Target string `json:"target"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b, err := newBench(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	cases := []func() ([]row, error){b.firstSync, b.oneChanged, b.poll, b.idleDays, b.mirrorPolls, b.mirrorCut, b.fleetSyncs, b.drift, b.rollback, b.idle}
	var rows []row
	for _, measure := range cases {
		more, err := measure()
		if err != nil {
			return fmt.Errorf("%w\n\nthe agent's log:\n%s", err, b.node.Logs())
		}
		for _, r := range more {
			fmt.Fprintf(os.Stderr, "measured: %s: %s\n", r.Case, r.Got)
		}
		rows = append(rows, more...)
	}
	print(rows)
	return write(b.root, rows)
}

func print(rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "\nCASE\tGOT\tFLOOR, SAME RUN\tRATIO\tTARGET\n")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Case, r.Got, r.Floor, r.Ratio, r.Target)
	}
	w.Flush() //nolint:errcheck // a terminal that is gone
	fmt.Println()
}

func write(root string, rows []row) error {
	dir := filepath.Join(root, "bench", "results")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339), "go": runtime.Version(),
		"cpus": runtime.NumCPU(), "arch": runtime.GOARCH, "rows": rows,
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, time.Now().UTC().Format("20060102-150405")+".json")
	fmt.Println("written to", path)
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
func kilobytes(n int64) string       { return fmt.Sprintf("%.2f kB", float64(n)/1000) }
func ratio[T int64 | time.Duration](got, floor T) string {
	return fmt.Sprintf("%.2f", float64(got)/float64(floor))
}
