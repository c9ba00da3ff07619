// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/test/k3d/cluster"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// processesIn counts the processes whose command line names dir.
func processesIn(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte("="+dir+"/")) {
			count++
		}
	}
	return count
}

const ownerVariable = "EDGEAGENT_TEST_CLUSTER_DIR"

// The parent is killed with SIGKILL, so nothing of it can clean up.
func TestClusterDiesWithItsParent(t *testing.T) {
	if dir := os.Getenv(ownerVariable); dir != "" {
		if _, err := cluster.Start(t.Context(), cluster.Config{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("\nstarted\n")
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestClusterDiesWithItsParent$")
	cmd.Env = append(os.Environ(), ownerVariable+"="+dir)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() && lines.Text() != "started" {
	}
	if n := processesIn(t, dir); n != 3 {
		t.Errorf("%d processes run before the kill, want 3", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed, and says so
	eventually(t, func() string {
		if processesIn(t, dir) > 0 {
			return "the cluster outlived its parent"
		}
		return ""
	})
}

func TestStartNamesTheReasonOfAFailure(t *testing.T) {
	quitter := filepath.Join(t.TempDir(), "controlplane")
	if err := os.WriteFile(quitter, []byte("#!/bin/sh\necho no luck with $1 >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		config cluster.Config
		want   string
	}{
		{"program missing", cluster.Config{Binary: "/nonexistent/controlplane"}, "/nonexistent/controlplane"},
		{"program ends", cluster.Config{Binary: quitter}, "no luck with storage"},
		{"directory too long", cluster.Config{Dir: filepath.Join(t.TempDir(), strings.Repeat("x", 120))}, "choose a shorter one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := cluster.Start(t.Context(), test.config)
			if err == nil {
				c.Stop()
				t.Fatal("the cluster started")
			}
			if !contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
		})
	}
}
