// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kardianos/service"
)

// fakeUnit writes and removes the service's file, as the library does.
type fakeUnit struct {
	path   string
	err    error
	status service.Status
}

func (u *fakeUnit) Install() error {
	if u.err != nil {
		return u.err
	}
	return os.WriteFile(u.path, []byte("unit"), 0o644)
}
func (u *fakeUnit) Uninstall() error                { return os.Remove(u.path) }
func (u *fakeUnit) Start() error                    { return u.err }
func (u *fakeUnit) Stop() error                     { return u.err }
func (u *fakeUnit) Restart() error                  { return u.err }
func (u *fakeUnit) Status() (service.Status, error) { return u.status, u.err }
func (u *fakeUnit) Platform() string                { return "linux-systemd" }

func newTestInstaller(t *testing.T) (*installer, *[]string) {
	t.Helper()
	dir := t.TempDir()
	local := filepath.Join(dir, "etc")
	var ran []string
	return &installer{
		unit:   &fakeUnit{path: filepath.Join(local, "edgeagent.service")},
		binary: "/usr/local/bin/edgeagent", config: filepath.Join(dir, "config.yaml"),
		packaged: []string{filepath.Join(dir, "usr")}, local: local, sysusers: filepath.Join(dir, "sysusers.d", "edgeagent.conf"),
		run: func(name string, args ...string) error {
			ran = append(ran, strings.ReplaceAll(name+" "+strings.Join(args, " "), dir, ""))
			return nil
		},
	}, &ran
}

func TestInstallAndUninstall(t *testing.T) {
	i, ran := newTestInstaller(t)
	message, err := i.install()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(message, "write "+i.config) {
		t.Errorf("the next step is not named: %s", message)
	}
	for _, path := range []string{"edgeagent.service", "edgeagent.socket"} {
		if _, err := os.Stat(filepath.Join(i.local, path)); err != nil {
			t.Error(err)
		}
	}
	if _, err := i.install(); err == nil || !strings.Contains(err.Error(), "installed already") {
		t.Errorf("second install: %v", err)
	}
	if _, err := i.uninstall(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(i.local, "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	want := []string{
		"systemd-sysusers /sysusers.d/edgeagent.conf",
		"systemctl enable edgeagent.socket",
		"systemctl disable --now edgeagent.socket edgeagent.service",
		"systemctl daemon-reload",
	}
	if diff := cmp.Diff(want, *ran); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if _, err := i.uninstall(); err == nil || !strings.Contains(err.Error(), "a packaged service is removed with its package") {
		t.Errorf("second uninstall: %v", err)
	}
}

// A unit in /etc would hide the package's, upgrades included.
func TestInstallRefuses(t *testing.T) {
	i, ran := newTestInstaller(t)
	if err := os.MkdirAll(i.packaged[0], 0o755); err != nil {
		t.Fatal(err)
	}
	packaged := filepath.Join(i.packaged[0], "edgeagent.service")
	if err := os.WriteFile(packaged, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := i.install(); err == nil || !strings.Contains(err.Error(), "the package has brought "+packaged) {
		t.Errorf("over a package: %v", err)
	}
	if err := os.Remove(packaged); err != nil {
		t.Fatal(err)
	}
	i.binary = "/home/anna/edgeagent"
	if _, err := i.install(); err == nil || !strings.Contains(err.Error(), "move the program to /usr/local/bin first") {
		t.Errorf("from a home: %v", err)
	}
	if _, err := os.Stat(i.local); !errors.Is(err, os.ErrNotExist) || len(*ran) != 0 {
		t.Errorf("something was done: %v, %v", err, *ran)
	}
}

func TestUnitsNameThisProgram(t *testing.T) {
	i, _ := newTestInstaller(t)
	text := i.text("ExecStart=/usr/bin/edgeagent run\nExecPaths=/usr/bin/edgeagent\n")
	if text != "ExecStart=/usr/local/bin/edgeagent run\nExecPaths=/usr/local/bin/edgeagent\n" {
		t.Error(text)
	}
}

func TestServiceStatus(t *testing.T) {
	i, _ := newTestInstaller(t)
	for _, test := range []struct {
		unit *fakeUnit
		want string
	}{
		{&fakeUnit{status: service.StatusRunning}, "The daemon runs"},
		{&fakeUnit{status: service.StatusStopped}, "the daemon does not run; start it"},
		{&fakeUnit{err: service.ErrNotInstalled}, "it is not installed"},
		{&fakeUnit{err: errors.New("service in failed state")}, "see journalctl -u edgeagent"},
	} {
		i.unit = test.unit
		message, err := i.status()
		if err != nil {
			message = err.Error()
		}
		if !strings.Contains(message, test.want) {
			t.Errorf("status = %q, want %q", message, test.want)
		}
	}
}
