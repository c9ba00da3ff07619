// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func TestDecide(t *testing.T) {
	live := context.Background()
	down, cancel := context.WithCancel(live)
	cancel()
	reason := func(r gitops.Reason) error { return fmt.Errorf("step: %w", &gitops.Error{Reason: r}) }
	cases := []struct {
		name string
		ctx  context.Context
		err  error
		want verdict
	}{
		{"the agent is going down", down, reason(gitops.CrashLoop), stop},
		{"a newer commit", live, errSuperseded, stop},
		{"the API server is away", live, reason(gitops.APIUnreachable), wait},
		{"another agent writes", live, reason(gitops.ForeignWriter), wait},
		{"the journal cannot be written", live, reason(gitops.JournalFailed), wait},
		{"an image over a dead link", live, reason(gitops.ImagePull), retry},
		{"disk pressure", live, reason(gitops.NodePressure), retry},
		{"the render worker died", live, reason(gitops.WorkerFailed), retry},
		{"an error without a reason is nobody's fault", live, errors.New("?"), retry},
		{"a crash loop", live, reason(gitops.CrashLoop), rollBack},
		{"an image name that cannot be", live, reason(gitops.ImageName), rollBack},
		{"a rejected object", live, reason(gitops.Rejected), rollBack},
		{"not healthy in time", live, reason(gitops.HealthTimeout), rollBack},
		{"restarts without end", live, reason(gitops.ResumedTooOften), rollBack},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := decide(c.ctx, c.err); got != c.want {
				t.Errorf("decide = %v, want %v", got, c.want)
			}
		})
	}
}
