// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/kardianos/service"
	"github.com/spf13/cobra"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/packaging/systemd"
)

const unitName = "edgeagent"

func newServiceCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "the systemd unit, where no package brought it (local)",
		Long: `Install, start and stop the daemon as a systemd service. The unit is the one of
the Debian package. Where the package is installed, use it instead.`,
		Example: `  edgeagent service install
  edgeagent service status`,
	}
	for _, sub := range []struct {
		name, short string
		run         func(*installer) (string, error)
	}{
		{"install", "write the units and enable them", (*installer).install},
		{"uninstall", "disable and remove the units", (*installer).uninstall},
		{"start", "start the daemon", func(i *installer) (string, error) { return "The daemon is started.", i.unit.Start() }},
		{"stop", "stop the daemon", func(i *installer) (string, error) { return "The daemon is stopped.", i.unit.Stop() }},
		{"restart", "restart the daemon", func(i *installer) (string, error) { return "The daemon is restarted.", i.unit.Restart() }},
		{"status", "whether the daemon runs", (*installer).status},
	} {
		cmd.AddCommand(&cobra.Command{
			Use:     sub.name,
			Short:   sub.short,
			Example: "  edgeagent service " + sub.name,
			Args:    cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				i, err := newInstaller()
				if err != nil {
					return err
				}
				message, err := sub.run(i)
				if err != nil {
					return fmt.Errorf("service %s: %w", sub.name, err)
				}
				return a.say(message)
			},
		})
	}
	return cmd
}

// program is what the library would run. It runs nothing here: `edgeagent run`
// tells systemd itself how it is.
type program struct{}

func (program) Start(service.Service) error { return nil }
func (program) Stop(service.Service) error  { return nil }

// newInstaller is for this machine. The library falls back to other init
// systems without saying so, and the units are for systemd only.
func newInstaller() (*installer, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %v", err)
	}
	i := &installer{
		binary: binary, config: config.DefaultPath,
		packaged: []string{"/usr/lib/systemd/system", "/lib/systemd/system"},
		local:    "/etc/systemd/system",
		sysusers: "/etc/sysusers.d/edgeagent.conf",
		run:      runProgram,
	}
	i.unit, err = service.New(program{}, &service.Config{
		Name: unitName, Description: "Edge GitOps agent",
		Option: service.KeyValue{"SystemdScript": i.text(systemd.Service)},
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the init system: %v", err)
	}
	if i.unit.Platform() != "linux-systemd" {
		return nil, errors.New("this machine is not run by systemd; start the daemon with: edgeagent run")
	}
	return i, nil
}

func runProgram(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %v: %s", name, args, err, out)
	}
	return nil
}
