// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/edgeagent/edgeagent/internal/config"
)

const (
	// rescanEvery is the backstop for a watch that missed something, as inotify
	// does on network filesystems and when its queue overflows.
	rescanEvery = time.Minute
	// settleFor lets an editor or a package finish writing.
	settleFor = 300 * time.Millisecond
)

// watched is the files whose change matters here: the configuration, and the
// keys that it names. The kubeconfig and credentials are read again by those
// who use them, and some change every few minutes.
func watched(cfg config.Config) []string {
	own := []string{cfg.Cluster.Kubeconfig}
	for _, s := range cfg.Sources {
		own = append(own, s.Auth.UsernameFile, s.Auth.PasswordFile, s.Auth.SSHKeyFile, s.Auth.KnownHostsFile,
			s.Auth.CAFile, s.Auth.ClientCertFile, s.Auth.ClientKeyFile)
	}
	return slices.DeleteFunc(cfg.Files(), func(f string) bool { return slices.Contains(own, f) })
}

// awaitChange returns when what the files hold has another digest than sum, or
// when ctx ends.
func awaitChange(ctx context.Context, files []string, sum string) {
	var events chan fsnotify.Event
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close() //nolint:errcheck // nothing was written
		for _, dir := range folders(files) {
			w.Add(dir) //nolint:errcheck // the rescan sees what the watch cannot
		}
		events = w.Events
	}
	rescan := time.NewTicker(rescanEvery)
	defer rescan.Stop()
	settled := time.NewTimer(settleFor) // something may have changed before the watch began
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			settled.Reset(settleFor)
			continue
		case <-settled.C:
		case <-rescan.C:
		}
		if digestOf(files) != sum {
			return
		}
	}
}

// folders are watched instead of files: a file that is replaced by a rename is
// another file.
func folders(files []string) []string {
	var dirs []string
	for _, f := range files {
		dirs = append(dirs, filepath.Dir(f))
		if info, err := os.Stat(f); err == nil && info.IsDir() {
			dirs = append(dirs, f)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// digestOf is over what the files hold, so that touching one means nothing.
func digestOf(files []string) string {
	sum := sha256.New()
	for _, f := range files {
		if entries, err := os.ReadDir(f); err == nil {
			for _, e := range entries {
				fmt.Fprintf(sum, "%s\n%s\n", f, e.Name())
				writeFile(sum, filepath.Join(f, e.Name()))
			}
			continue
		}
		fmt.Fprintf(sum, "%s\n", f)
		writeFile(sum, f)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func writeFile(w interface{ Write([]byte) (int, error) }, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintf(w, "unreadable: %v\n", err)
		return
	}
	fmt.Fprintf(w, "%d\n", len(data))
	w.Write(data) //nolint:errcheck // a hash takes everything
}
