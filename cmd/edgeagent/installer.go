// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kardianos/service"

	"github.com/edgeagent/edgeagent/packaging/systemd"
)

// unit is what the service library does for us.
type unit interface {
	Install() error
	Uninstall() error
	Start() error
	Stop() error
	Restart() error
	Status() (service.Status, error)
	Platform() string
}

// installer puts the units in place. The library writes the service; the
// socket and its group are not known to it.
type installer struct {
	unit     unit
	binary   string   // this program
	config   string   // what the units wait for
	packaged []string // where a package puts units
	local    string   // where the administrator does
	sysusers string
	run      func(name string, args ...string) error
}

// text is a unit with this program's own path in it.
func (i *installer) text(unit string) string {
	return strings.ReplaceAll(unit, systemd.Binary, i.binary)
}

func (i *installer) install() (string, error) {
	if err := i.mayInstall(); err != nil {
		return "", err
	}
	for path, text := range map[string]string{
		i.sysusers: systemd.Sysusers,
		filepath.Join(i.local, unitName+".socket"): i.text(systemd.Socket),
	} {
		if err := writeDurably(path, text); err != nil {
			return "", err
		}
	}
	if err := i.run("systemd-sysusers", i.sysusers); err != nil {
		return "", fmt.Errorf("make the group %s: %v; make it by hand: groupadd --system %s", unitName, err, unitName)
	}
	if err := i.unit.Install(); err != nil {
		return "", fmt.Errorf("write the unit: %v; take back what was done with: edgeagent service uninstall", err)
	}
	// The library leaves the file to the page cache.
	if err := syncFile(filepath.Join(i.local, unitName+".service")); err != nil {
		return "", err
	}
	if err := i.run("systemctl", "enable", unitName+".socket"); err != nil {
		return "", fmt.Errorf("enable the socket: %v", err)
	}
	next := "start it with: edgeagent service start"
	if _, err := os.Stat(i.config); err != nil {
		next = "write " + i.config + ", then start it with: edgeagent service start"
	}
	return "The service is installed; " + next, nil
}

// mayInstall refuses what would look installed and not work.
func (i *installer) mayInstall() error {
	for _, dir := range i.packaged {
		path := filepath.Join(dir, unitName+".service")
		if _, err := os.Stat(path); err == nil {
			return fmt.Errorf("the package has brought %s, which a second unit would hide; use systemctl enable --now %s", path, unitName)
		}
	}
	if _, err := os.Stat(filepath.Join(i.local, unitName+".service")); err == nil {
		return errors.New("it is installed already; to write it anew: edgeagent service uninstall")
	}
	for _, hidden := range []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"} {
		if strings.HasPrefix(i.binary, hidden) {
			return fmt.Errorf("the service cannot see %s, which is kept from it; move the program to /usr/local/bin first", i.binary)
		}
	}
	return nil
}

func (i *installer) uninstall() (string, error) {
	if _, err := os.Stat(filepath.Join(i.local, unitName+".service")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %s in %s; a packaged service is removed with its package", unitName+".service", i.local)
	}
	// What runs would go on without its unit.
	if err := i.run("systemctl", "disable", "--now", unitName+".socket", unitName+".service"); err != nil {
		return "", err
	}
	if err := i.unit.Uninstall(); err != nil {
		return "", err
	}
	for _, path := range []string{filepath.Join(i.local, unitName+".socket"), i.sysusers} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("remove %s: %v", path, err)
		}
	}
	if err := i.run("systemctl", "daemon-reload"); err != nil {
		return "", err
	}
	return "The service is removed. Configuration, journal and cluster are as they were.", nil
}

func (i *installer) status() (string, error) {
	status, err := i.unit.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return "", errors.New("it is not installed; install the package, or: edgeagent service install")
	case err != nil:
		return "", fmt.Errorf("%v; see journalctl -u %s", err, unitName)
	case status == service.StatusRunning:
		return "The daemon runs. See: edgeagent status", nil
	}
	return "", errors.New("the daemon does not run; start it with: edgeagent service start")
}

// writeDurably writes a file that a power cut right after must not empty.
func writeDurably(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %v", path, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write %s: %v; run the command as root", path, err)
	}
	return syncFile(path)
}

func syncFile(path string) error {
	for _, name := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("make %s durable: %v", path, err)
		}
		err = f.Sync()
		f.Close() //nolint:errcheck // it was only read
		if err != nil {
			return fmt.Errorf("make %s durable: %v", path, err)
		}
	}
	return nil
}
