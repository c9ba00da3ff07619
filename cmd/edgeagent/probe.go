// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/reconcile"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// newProbes looks at this node through the same packages as the daemon does, so
// that what is good here is good there.
func newProbes(a *app) probes {
	return probes{
		clock: func() finding { return lookAtClock(a.now(), madeAt(), synchronized()) },
		disk:  lookAtDisk,
		keys: func(s config.Source) error {
			_, err := verify.New(verify.Config{
				Source: s.Name, Mode: s.Trust.Mode, Introduction: s.Trust.Introduction, Insecure: s.Insecure,
				AllowedSigners: s.Trust.AllowedSigners, OpenPGPKeys: s.Trust.OpenPGPKeys, Sigstore: verify.SigstoreConfig(s.Trust.Sigstore), Revoked: s.Trust.Revoked,
				Roots: s.Trust.Threshold.Roots, RootThreshold: s.Trust.Threshold.Count,
			}, nil)
			return err
		},
		cluster: lookAtCluster,
		git:     lookAtGit,
		daemon: func(ctx context.Context) (string, error) {
			s, err := a.client().Status(ctx, "")
			return s.Version, err
		},
	}
}

func lookAtCluster(ctx context.Context, c config.Config) (string, error) {
	cluster, err := reconcile.New(reconcile.Config{
		Kubeconfig: c.Cluster.Kubeconfig, Context: c.Cluster.Context,
		Concurrency: c.Cluster.Concurrency, Node: c.Node.Name, Version: version,
	})
	if err != nil {
		return "", err
	}
	caps, err := cluster.Capabilities(ctx)
	return caps.KubeVersion, err
}

func lookAtGit(ctx context.Context, c config.Config, s config.Source) ([]pull.Probed, error) {
	pc := pullConfig(c, s)
	pc.Timeout = min(pc.Timeout, probeTimeout)
	return pull.Probe(ctx, pc)
}

// madeAt is when this program's file was written; a package keeps the time of
// its release. A clock that is behind it is wrong.
func madeAt() time.Time {
	path, err := os.Executable()
	if err != nil {
		return time.Time{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// synchronized asks timesyncd's mark: the clock's own state may not be read by
// a service that may not set it.
func synchronized() bool {
	_, err := os.Stat("/run/systemd/timesync/synchronized")
	return err == nil
}

// maxAhead is how much later than its file a program is believed to run.
const maxAhead = 10 * 365 * 24 * time.Hour

func lookAtClock(now, made time.Time, synchronized bool) finding {
	shown := now.UTC().Format(time.RFC3339)
	switch {
	case now.Before(made):
		return finding{"clock", lookFailed, "it says " + shown + ", which is before this program was made",
			"set it; certificates and keys cannot be judged by it"}
	case !made.IsZero() && now.After(made.Add(maxAhead)):
		return finding{"clock", lookFailed, "it says " + shown + ", ten years after this program was made",
			"set it, or install a newer edgeagent"}
	case !synchronized:
		return finding{"clock", lookWarning, "it says " + shown + ", and systemd-timesyncd has not confirmed it",
			"compare it with yours, or enable time synchronization"}
	}
	return finding{"clock", lookGood, "it says " + shown + ", synchronized", ""}
}

// Room that the journal and the objects need: below the first nothing can be
// fetched, below the second it is time to look.
const (
	roomNeeded = 64 << 20
	roomWanted = 512 << 20
)

func lookAtDisk(dir string) finding {
	at, err := nearest(dir)
	if err != nil {
		return finding{"disk", lookFailed, fmt.Sprintf("look at %s: %v", dir, err), "check stateDir"}
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		remedy := "run the command as root"
		if errors.Is(err, unix.EROFS) {
			remedy = "remount the file system read-write; look at its errors with dmesg"
		}
		return finding{"disk", lookFailed, fmt.Sprintf("%s cannot be written: %v", at, err), remedy}
	}
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		return finding{"disk", lookFailed, fmt.Sprintf("look at %s: %v", at, err), "check the file system"}
	}
	return judgeDisk(at, int64(s.Bavail)*int64(s.Bsize), s.Files == 0 || s.Ffree > 16) //nolint:unconvert // Bsize is int32 on arm
}

func judgeDisk(at string, free int64, inodes bool) finding {
	const remedy = "make room on it: remove unused images, logs and packages"
	switch {
	case !inodes:
		return finding{"disk", lookFailed, at + " has no inodes left", remedy}
	case free < roomNeeded:
		return finding{"disk", lookFailed, fmt.Sprintf("%s has %s left", at, size(free)), remedy}
	case free < roomWanted:
		return finding{"disk", lookWarning, fmt.Sprintf("%s has only %s left", at, size(free)), remedy}
	}
	return finding{"disk", lookGood, fmt.Sprintf("%s has %s left", at, size(free)), ""}
}

// nearest is dir, or the folder above it that is there: the daemon makes its
// own at its first start.
func nearest(dir string) (string, error) {
	for {
		_, err := os.Stat(dir)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir, err
		}
		dir = filepath.Dir(dir)
	}
}

// inParts is what went wrong, and what to do about it where the error says so.
func inParts(err error) (message, remedy string) {
	if e, ok := errors.AsType[*gitops.Error](err); ok && e.Error() == err.Error() {
		return e.Message, e.Remedy
	}
	return err.Error(), ""
}
