// SPDX-License-Identifier: Apache-2.0

package gitserver

import "context"

// Packing is how a served repository is stored. Servers differ in it, and so
// does what they send.
type Packing struct {
	Bitmaps     bool
	CommitGraph bool
}

// Repack puts everything that is reachable into one pack, with or without what
// Git can keep beside it.
func (r *Repo) Repack(ctx context.Context, p Packing) error {
	bitmaps := "repack.writeBitmaps=false"
	if p.Bitmaps {
		bitmaps = "repack.writeBitmaps=true"
	}
	if _, err := git(ctx, r.Bare, "-c", bitmaps, "repack", "-a", "-d", "-q"); err != nil {
		return err
	}
	if !p.CommitGraph {
		return nil
	}
	_, err := git(ctx, r.Bare, "commit-graph", "write", "--reachable")
	return err
}

// AllowFilter says whether parts of the repository can be asked for. Where they
// cannot, any object of it still can.
func (r *Repo) AllowFilter(ctx context.Context, allow bool) error {
	value := "false"
	if allow {
		value = "true"
	}
	_, err := git(ctx, r.Bare, "config", "uploadpack.allowFilter", value)
	return err
}
