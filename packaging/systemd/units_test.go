// SPDX-License-Identifier: Apache-2.0

package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/packaging/systemd"
)

// maxExposure is 1.8 on the scale of systemd-analyze, where comparable agents
// stand above 9.
const maxExposure = "18"

// analyze runs systemd-analyze, which needs no running systemd for this.
func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install --no-install-recommends systemd")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

// write puts the units into a folder of their own. The agent is not installed
// here, and verify looks for every program that a unit names.
func write(t *testing.T, service string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	program := filepath.Join(dir, "edgeagent")
	for name, text := range map[string]string{
		"edgeagent.service": strings.ReplaceAll(service, systemd.Binary, program),
		"edgeagent.socket":  systemd.Socket,
		"edgeagent":         "#!/bin/sh\n",
	} {
		mode := os.FileMode(0o644)
		if name == "edgeagent" {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestUnitsAreValid(t *testing.T) {
	dir := write(t, systemd.Service)
	out, err := analyze(t, "verify", "--man=no", filepath.Join(dir, "edgeagent.service"), filepath.Join(dir, "edgeagent.socket"))
	if err != nil || strings.Contains(out, dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}

	dir = write(t, strings.Replace(systemd.Service, "WatchdogSec=120s", "WatchdogSec=often", 1))
	out, _ = analyze(t, "verify", "--man=no", filepath.Join(dir, "edgeagent.service"))
	if !strings.Contains(out, "Failed to parse") {
		t.Errorf("a bad value is not reported:\n%s", out)
	}
}

func TestServiceIsLockedIn(t *testing.T) {
	unit := filepath.Join(write(t, systemd.Service), "edgeagent.service")
	if out, err := analyze(t, "security", "--no-pager", "--offline=yes", "--threshold="+maxExposure, unit); err != nil {
		t.Errorf("exposed more than 1.8: %v\n%s", err, out)
	}

	open := strings.Replace(systemd.Service, "CapabilityBoundingSet=\n", "", 1)
	unit = filepath.Join(write(t, open), "edgeagent.service")
	if _, err := analyze(t, "security", "--no-pager", "--offline=yes", "--threshold="+maxExposure, unit); err == nil {
		t.Error("the same service with every capability passes as well: the threshold decides nothing")
	}
}

// What the agent needs from its unit, and would miss only on a real node.
func TestServiceLeavesTheAgentWhatItNeeds(t *testing.T) {
	tests := map[string]struct {
		directive string
		want      []string
	}{
		"readiness and watchdog":                   {"Type", []string{"notify"}},
		"backoff and socket survive a stop":        {"RuntimeDirectoryPreserve", []string{"yes"}},
		"the CLI reaches the socket":               {"RuntimeDirectoryMode", []string{"0755"}},
		"it starts itself again as its worker":     {"ExecPaths", []string{systemd.Binary}},
		"a killed worker does not end the service": {"OOMPolicy", []string{"continue"}},
		"the configuration is checked first":       {"ExecStartPre", []string{systemd.Binary + " config check --config /etc/edgeagent/config.yaml"}},
		"it never gives up":                        {"StartLimitIntervalSec", []string{"0"}},
		"images of k3s and containerd in sight":    {"InaccessiblePaths", []string{"-/var/lib/rancher/k3s/server -/var/lib/kubelet"}},
		"no credential that k3s will rotate":       {"LoadCredential", nil},
		"peers keep their uids":                    {"PrivateUsers", nil},
		"the worker's limits are no resource call": {"SystemCallFilter", []string{
			"@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self", "~@privileged @resources",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := values(systemd.Service, test.directive); !slices.Equal(got, test.want) {
				t.Errorf("%s=%q, want %q", test.directive, got, test.want)
			}
		})
	}
}

// The worker lowers its own limits with prlimit64, and pipes are how it talks.
func TestSystemCallsOfTheAgentAreNotDenied(t *testing.T) {
	out, err := analyze(t, "syscall-filter", "--no-pager", "@privileged", "@resources")
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter: %v\n%s", err, out)
	}
	denied := strings.Fields(out)
	for _, call := range []string{"prlimit64", "pipe2", "memfd_create", "clone3", "pidfd_open", "fcntl", "flock", "fdatasync"} {
		if slices.Contains(denied, call) {
			t.Errorf("%s is in a denied set", call)
		}
	}
	if !slices.Contains(denied, "setrlimit") {
		t.Error("the denied sets were not read: setrlimit is in @resources")
	}
}

func TestSocketIsReadableByItsGroupOnly(t *testing.T) {
	group := regexp.MustCompile(`(?m)^g (\S+) -$`).FindStringSubmatch(systemd.Sysusers)
	if group == nil {
		t.Fatalf("no group in edgeagent.conf:\n%s", systemd.Sysusers)
	}
	for directive, want := range map[string]string{
		"ListenStream":       "/run/edgeagent/edgeagent.sock",
		"FileDescriptorName": "edgeagent.socket",
		"SocketMode":         "0660",
		"SocketUser":         "root",
		"SocketGroup":        group[1],
	} {
		if got := values(systemd.Socket, directive); !slices.Equal(got, []string{want}) {
			t.Errorf("%s=%q, want %q", directive, got, want)
		}
	}
}

// kardianos/service takes {{ for a template of its own.
func TestUnitsHoldNoTemplateMarks(t *testing.T) {
	for _, text := range []string{systemd.Service, systemd.Socket} {
		if strings.Contains(text, "{{") {
			t.Errorf("{{ in\n%s", text)
		}
	}
}

// values are what a unit says for one directive, in order.
func values(unit, directive string) []string {
	var found []string
	for _, line := range strings.Split(unit, "\n") {
		if value, ok := strings.CutPrefix(line, directive+"="); ok {
			found = append(found, value)
		}
	}
	return found
}
