// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/localapi"
	"github.com/edgeagent/edgeagent/internal/render"
)

func newRunCommand(a *app) *cobra.Command {
	var path string
	var once, rebuild bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run the daemon in the foreground (local)",
		Long: `Run the daemon: poll Git, verify, converge the cluster, repair drift, and answer
on the socket, until SIGTERM. systemd runs it by edgeagent.service.

A changed configuration, or a changed key file that it names, is checked and
taken by itself; one with a problem is refused and the old one stays in force.

With --once it makes one cycle of every source, takes in the bundles that lie in the
folder import, prints the status and ends: exit code 0 when every source is ready,
3 when one is not.`,
		Example: `  edgeagent run --config /etc/edgeagent/config.yaml
  edgeagent run --once -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once {
				return runOnce(cmd.Context(), a, path, rebuild)
			}
			return runDaemon(cmd.Context(), a.stderr, path, rebuild)
		},
	}
	cmd.Flags().StringVar(&path, "config", config.DefaultPath, "the node's file")
	cmd.Flags().BoolVar(&once, "once", false, "one cycle, then end")
	cmd.Flags().BoolVar(&rebuild, "rebuild-journal", false, "move a corrupt journal aside and begin an empty one: history is lost, nothing is deleted")
	return cmd
}

// gcPercent trades a little CPU for memory: the agent is idle nearly always,
// and what it keeps in memory is small.
const gcPercent = 50

// runDaemon serves the socket, feeds the watchdog and runs the agent until ctx
// ends or one of them fails.
func runDaemon(ctx context.Context, stderr io.Writer, path string, rebuild bool) error {
	debug.SetGCPercent(gcPercent)
	cfg, d, err := openConfigured(ctx, stderr, path, rebuild)
	if err != nil {
		return err
	}
	defer d.close()
	listener, err := localapi.Listen(ctx, cfg.Socket)
	if err != nil {
		return err
	}
	return d.serve(ctx, cfg, listener)
}

func (d *daemon) serve(ctx context.Context, cfg config.Config, listener net.Listener) error {
	d.log.Info("starting", "version", version, "node", cfg.Node.Name, "sources", len(cfg.Sources), "socket", cfg.Socket)
	group, ctx := errgroup.WithContext(ctx)
	server := localapi.NewServer(localapi.Config{
		Controller: controller{d},
		Spool:      filepath.Join(cfg.StateDir, "spool"),
		ErrorLog:   slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	})
	group.Go(func() error { return server.Serve(ctx, listener) })
	group.Go(func() error { feedWatchdog(ctx, d.log, d.progress); return nil })
	group.Go(func() error {
		tell(d.log, sd.SdNotifyReady)
		defer tell(d.log, sd.SdNotifyStopping)
		return d.run(ctx, cfg)
	})
	err := group.Wait()
	d.log.Info("stopped", "err", err)
	return err
}

// runOnce makes one cycle of every source.
func runOnce(ctx context.Context, a *app, path string, rebuild bool) error {
	cfg, d, err := openConfigured(ctx, a.stderr, path, rebuild)
	if err != nil {
		return err
	}
	defer d.close()
	agent, err := d.build(ctx, cfg)
	if err != nil {
		return err
	}
	if err := agent.Once(ctx); err != nil {
		return err
	}
	st := agent.Status()
	if err := present(a, st, page.status); err != nil {
		return err
	}
	for _, s := range st.Sources {
		if !s.Ready() {
			return quietExit(exitDegraded)
		}
	}
	return nil
}

// openConfigured checks the configuration and takes the state directory.
func openConfigured(ctx context.Context, stderr io.Writer, path string, rebuild bool) (config.Config, *daemon, error) {
	cfg, err := config.Check(path)
	if err != nil {
		return cfg, nil, err
	}
	log := newLogger(stderr, cfg.Log)
	for _, w := range cfg.Warnings() {
		log.Warn(w.String())
	}
	d, err := openDaemon(ctx, cfg, path, log, rebuild)
	return cfg, d, err
}

func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // Check has refused any other word
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// newRenderWorkerCommand is what the agent re-executes itself as, so that a
// hostile chart kills that process and not the agent.
func newRenderWorkerCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "render-worker",
		Short:   "render one source from stdin to stdout (run by the daemon)",
		Hidden:  true,
		Args:    cobra.NoArgs,
		Example: `  The daemon runs it by itself; there is nothing to run by hand.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return render.Worker(cmd.Context(), a.stdin, a.stdout)
		},
	}
}
