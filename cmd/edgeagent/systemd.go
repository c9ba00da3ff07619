// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// tell says something to systemd, where it listens (sd_notify(3)).
func tell(log *slog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn("notify systemd", "state", state, "err", err)
	}
}

// feedWatchdog pings systemd's watchdog for as long as the loops make progress.
// A loop that hangs starves it, and systemd restarts the agent.
func feedWatchdog(ctx context.Context, log *slog.Logger, progress func() time.Time) {
	limit, err := sd.SdWatchdogEnabled(false)
	if err != nil || limit == 0 {
		return
	}
	tick := time.NewTicker(limit / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if since := time.Since(progress()); since < limit {
				tell(log, sd.SdNotifyWatchdog)
			} else {
				log.Error("the loop makes no progress, the watchdog is not fed", "since", since)
			}
		}
	}
}
