// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/agent"
	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/journal"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
)

// daemon holds what lives as long as the process: the journal, the object
// store and the socket. The agent inside is replaced when the configuration
// changes.
type daemon struct {
	configPath string
	log        *slog.Logger
	journal    *journal.Journal
	objects    *objects.Store
	current    atomic.Pointer[agent.Agent]
	// moved is when bytes last came over a link, in nanoseconds since 1970: a
	// long transfer is progress too.
	moved atomic.Int64
	// synchronised reports whether the clock follows others.
	synchronised func() bool
	// refused is why a changed configuration was not taken, "" when it was.
	refused atomic.Pointer[string]
}

// openDaemon takes the state directory: nobody else may have it.
func openDaemon(ctx context.Context, cfg config.Config, configPath string, log *slog.Logger, rebuild bool) (*daemon, error) {
	j, err := journal.Open(ctx, cfg.StateDir, journal.Options{Rebuild: rebuild})
	if err != nil {
		return nil, err
	}
	if aside := j.Rebuilt(); aside != "" {
		log.Warn("the journal was corrupt and is begun anew: what it owned is not pruned any more", "aside", aside)
	}
	store, err := objects.Open(filepath.Join(cfg.StateDir, "objects.db"), objects.Options{})
	if err != nil {
		j.Close() //nolint:errcheck // the first error is the one that counts
		return nil, err
	}
	if aside := store.MovedAside(); aside != "" {
		log.Warn("the object store could not be read and is begun anew: everything is fetched again", "aside", aside)
	}
	if err := os.MkdirAll(runtimeDir(cfg), 0o755); err != nil {
		log.Warn("the runtime directory cannot be made: backoff is lost over restarts", "err", err)
	}
	d := &daemon{configPath: configPath, log: log, journal: j, objects: store, synchronised: synchronized}
	none := ""
	d.refused.Store(&none)
	return d, nil
}

func (d *daemon) close() {
	if err := d.objects.Close(); err != nil {
		d.log.Warn("close the object store", "err", err)
	}
	if err := d.journal.Close(); err != nil {
		d.log.Warn("close the journal", "err", err)
	}
}

// run drives one agent after another: a changed configuration is checked,
// built, and only then takes the place of the one that runs.
func (d *daemon) run(ctx context.Context, cfg config.Config) error {
	a, err := d.build(ctx, cfg)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		d.current.Store(a)
		agentCtx, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- a.Run(agentCtx) }()
		next, nextAgent, err := d.awaitConfig(ctx, cfg, ended)
		stop()
		if err != nil {
			return err
		}
		if err := <-ended; err != nil {
			return err
		}
		cfg, a = next, nextAgent
	}
	return nil
}

// awaitConfig waits until the configuration's files, or the keys that it names,
// change to something that can be used. It fails only when the agent did.
func (d *daemon) awaitConfig(ctx context.Context, cfg config.Config, ended chan error) (config.Config, *agent.Agent, error) {
	sum := digestOf(watched(cfg))
	for {
		changed := make(chan struct{})
		watchCtx, stop := context.WithCancel(ctx)
		go func() {
			awaitChange(watchCtx, watched(cfg), sum)
			close(changed)
		}()
		select {
		case err := <-ended:
			stop()
			ended <- nil
			return cfg, nil, err
		case <-changed:
			stop()
		}
		if ctx.Err() != nil {
			return cfg, nil, nil
		}
		sum = digestOf(watched(cfg))
		next, a, err := d.reload(ctx)
		if err == nil {
			return next, a, nil
		}
		why := fmt.Sprintf("the changed configuration is not used, the one from before stays: %v", err)
		d.refused.Store(&why)
		d.log.Error("changed configuration refused", "err", err)
		if err := d.current.Load().ReloadKeys(); err != nil {
			d.log.Error("read the keys again", "err", err)
		}
	}
}

func (d *daemon) reload(ctx context.Context) (config.Config, *agent.Agent, error) {
	cfg, err := config.Check(d.configPath)
	if err != nil {
		return cfg, nil, err
	}
	a, err := d.build(ctx, cfg)
	if err != nil {
		return cfg, nil, err
	}
	none := ""
	d.refused.Store(&none)
	d.log.Info("configuration reloaded", "sources", len(cfg.Sources))
	return cfg, a, nil
}

// progress is when the agent last showed that it is alive.
func (d *daemon) progress() time.Time {
	a := d.current.Load()
	if a == nil {
		return time.Now()
	}
	progress, moved := a.Progress(), time.Unix(0, d.moved.Load())
	if moved.After(progress) {
		return moved
	}
	return progress
}

// runtimeDir keeps what may be lost at a reboot and not at a restart.
func runtimeDir(cfg config.Config) string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return dir
	}
	return filepath.Dir(cfg.Socket)
}
