// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// idleFor is how long the agent is left alone: two intervals, or what
// BENCH_IDLE says.
const idleFor = 2 * time.Minute

// idle leaves the agent alone with 1000 objects and counts what it costs.
func (b *bench) idle() ([]row, error) {
	long := idleFor
	if given := os.Getenv("BENCH_IDLE"); given != "" {
		var err error
		if long, err = time.ParseDuration(given); err != nil {
			return nil, fmt.Errorf("BENCH_IDLE: %w", err)
		}
	}
	before, err := b.usage()
	if err != nil {
		return nil, err
	}
	requests, err := b.requests()
	if err != nil {
		return nil, err
	}
	b.git.Forget()
	select {
	case <-b.ctx.Done():
		return nil, b.ctx.Err()
	case <-time.After(long):
	}
	after, err := b.usage()
	if err != nil {
		return nil, err
	}
	now, err := b.requests()
	if err != nil {
		return nil, err
	}
	link := b.git.Traffic()
	what := fmt.Sprintf("idle for %s, 1000 objects, interval 60 s: ", long)
	return []row{
		{what + "CPU", fmt.Sprintf("%.2f CPU-s", after.cpu-before.cpu), "", "", "≤ 0.05 CPU-s in 120 s"},
		{what + "memory", fmt.Sprintf("%.0f MB now, %.0f MB at most", after.rss, after.peak), "", "", "≤ 50 MB"},
		{what + "files written in the state directory", fmt.Sprint(changed(before.files, after.files)), "0", "", "0"},
		{what + "API requests", fmt.Sprint(now - requests), "0", "", "0 besides watches"},
		{what + "bytes from Git", kilobytes(link.BytesIn + link.BytesOut), "", "", "≤ 0.7 kB a poll"},
	}, nil
}

// usage is what the kernel counts for the agent's process.
type usage struct {
	cpu       float64              // seconds, user and system
	rss, peak float64              // MB
	files     map[string]time.Time // when each file of the state directory was last written
}

func changed(before, after map[string]time.Time) (n int) {
	for name, at := range after {
		if !at.Equal(before[name]) {
			n++
		}
	}
	return n
}

func (b *bench) usage() (u usage, err error) {
	proc := fmt.Sprintf("/proc/%d/", b.node.PID())
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return u, err
	}
	// The name of the program may hold spaces; what follows it does not.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	const ticks = 100 // USER_HZ, the same on every Linux
	for _, field := range fields[11:13] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return u, err
		}
		u.cpu += n / ticks
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return u, err
	}
	u.rss = number(string(status), "VmRSS") / 1000
	u.peak = number(string(status), "VmHWM") / 1000
	entries, err := os.ReadDir(b.node.StateDir())
	if err != nil {
		return u, err
	}
	u.files = map[string]time.Time{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return u, err
		}
		u.files[e.Name()] = info.ModTime()
	}
	return u, nil
}

func number(text, key string) float64 {
	m := regexp.MustCompile(`(?m)^` + key + `:\s+(\d+)`).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n
}
