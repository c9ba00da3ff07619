// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// How a head says which ref it is for.
const (
	BoundNone     = "none"     // no trust file: nothing says so
	BoundTrailer  = "trailer"  // its own message
	BoundApproval = "approval" // an approval of it
	BoundTag      = "tag"      // the signed tag that names it
)

// refTrailer is the line of a commit's message that binds it to a ref.
const refTrailer = "Edgeagent-Ref"

// RefTrailer is the line that binds a commit to a ref of a repository.
func RefTrailer(introduction gitops.Hash, fullRef string) string {
	return fmt.Sprintf("%s: %s %s", refTrailer, introduction, fullRef)
}

// binds asks who says that the head is for this ref. A signature covers what a
// commit holds, not where it stands: a host could show a branch that nobody
// released under the name of another.
func (x *examination) binds(ctx context.Context, raw rawCommit, by signer, under []*policy) (string, error) {
	bound := BoundNone
	for _, p := range under {
		if !p.inBand() {
			continue
		}
		how, err := x.bindsUnder(ctx, raw, by, p)
		if err != nil {
			return "", err
		}
		bound = how
	}
	return bound, nil
}

func (x *examination) bindsUnder(ctx context.Context, raw rawCommit, by signer, p *policy) (string, error) {
	roles := p.file.releasers(x.commit.FullRef)
	if x.v.cfg.Mode == ModeTag {
		if slices.Contains(roles, by.role) {
			return BoundTag, nil
		}
	} else if x.trailed(x.head(), raw, p, roles...) {
		return BoundTrailer, nil
	}
	names, err := x.approvals(ctx, p, x.head(), first(raw.parents), roles...)
	if err != nil {
		return "", err
	}
	if len(names) > 0 {
		return BoundApproval, nil
	}
	return "", x.lacking(ctx, refusal(gitops.RefUnbound,
		fmt.Sprintf("have somebody with the role %s release it: by the trailer %q in a commit they sign, or with edgeagent approve %s",
			strings.Join(roles, " or "), RefTrailer(x.introduction(), x.commit.FullRef), x.head().Short()),
		"nobody who may release to %s says that commit %s is for it", quoted(x.commit.FullRef), x.head().Short()), p, x.head(), raw, roles...)
}

// trailed reports whether a commit's own message, signed by somebody with one of
// the roles, says that it is for the ref.
func (x *examination) trailed(id gitops.Hash, raw rawCommit, p *policy, roles ...string) bool {
	if raw.trailer(refTrailer) != fmt.Sprintf("%s %s", x.introduction(), x.commit.FullRef) {
		return false
	}
	_, err := p.check(own(id, raw), x.moment(id), x.revoked, roles...)
	return err == nil
}

// trailer is the value of a line "KEY: value" in the last paragraph of the
// message, "" when it is not there or there twice.
func (c rawCommit) trailer(key string) string {
	paragraphs := strings.Split(strings.TrimRight(c.message, "\n"), "\n\n")
	value := ""
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		if v, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), key+": "); ok {
			if value != "" {
				return ""
			}
			value = v
		}
	}
	return value
}
