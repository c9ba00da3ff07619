// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// renderedOnce keeps the newest render: as long as commit and cluster stay the
// same, so do the manifests and the reason why there are none.
type renderedOnce struct {
	revision gitops.Revision
	caps     string
	want     gitops.Manifests
	err      error
}

// render brings what is missing and renders the accepted revision.
func (s *source) render(ctx context.Context, rev gitops.Revision, caps gitops.Capabilities) (gitops.Manifests, error) {
	key := caps.ClusterUID + caps.KubeVersion
	if s.rendered.revision == rev && s.rendered.caps == key && final(s.rendered.err) {
		return s.rendered.want, s.rendered.err
	}
	s.stage(ctx, gitops.StageRendering)
	want, err := s.renderFresh(ctx, rev, caps)
	if ctx.Err() == nil {
		s.rendered = renderedOnce{revision: rev, caps: key, want: want, err: err}
	}
	return want, err
}

// final reports whether rendering the same again would give the same.
func final(err error) bool {
	return err == nil || decide(context.Background(), err) == rollBack
}

func (s *source) renderFresh(ctx context.Context, rev gitops.Revision, caps gitops.Capabilities) (gitops.Manifests, error) {
	commit, err := s.verifiedCommit(ctx, rev)
	if err != nil {
		return gitops.Manifests{}, err
	}
	if err := s.bringObjects(ctx, commit); err != nil {
		return gitops.Manifests{}, err
	}
	return s.cfg.Renderer.Render(ctx, commit, caps)
}

// bringObjects asks Git for what rendering needs, until nothing is missing.
// What a file says can reach further, so it takes several rounds. That the link
// fails says nothing about the revision.
func (s *source) bringObjects(ctx context.Context, commit verify.Commit) error {
	var before []gitops.MissingObject
	for {
		missing, err := s.cfg.Renderer.Missing(ctx, commit)
		if err != nil || len(missing) == 0 {
			s.view.fetched()
			return err
		}
		if slices.Equal(missing, before) {
			err = notBrought(commit.Revision(), missing)
		} else {
			s.stage(ctx, gitops.StageFetching)
			err = s.cfg.Git.Objects(ctx, missing)
			s.noteLink(ctx)
		}
		switch {
		case err == nil:
		case comesLater(err):
			s.postponed(s.view.fetchLater, err)
			s.view.fetchPostponed(err)
			return err
		default:
			if !isShutdown(ctx, err) {
				s.view.fetchFailed(err)
			}
			return err
		}
		before = missing
		s.stage(ctx, gitops.StageRendering)
	}
}

func notBrought(rev gitops.Revision, missing []gitops.MissingObject) error {
	return &gitops.Error{
		Reason: gitops.Incomplete,
		Message: fmt.Sprintf("fetch what %s needs: the answer was taken for whole, and %d objects are still missing, among them %s (%s)",
			rev.Short(), len(missing), missing[0].Path, missing[0].ID.Short()),
		Remedy: "run git fsck on the server's repository",
	}
}
