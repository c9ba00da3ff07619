// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/fsnotify/fsnotify"
)

// watchFolder says when something happens in a folder, nil where the kernel
// cannot say it: the rescan is left then.
func watchFolder(ctx context.Context, dir string) <-chan struct{} {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close() // it watches nothing
		return nil
	}
	out := make(chan struct{}, 1)
	go func() {
		defer close(out)
		defer w.Close() //nolint:errcheck // nothing was written
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok := <-w.Errors: // events were lost: the rescan finds what they told
				if !ok {
					return
				}
			case _, ok := <-w.Events:
				if !ok {
					return
				}
				select {
				case out <- struct{}{}:
				default: // one is enough: a look sees everything
				}
			}
		}
	}()
	return out
}
