// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// verdict is what a failure means for the attempt that met it.
type verdict int

const (
	// stop: the agent is going down, or a newer order came in. Nothing is
	// recorded, the next start or cycle goes on from the journal.
	stop verdict = iota
	// wait: the cluster or the journal is out of reach. The attempt stays
	// open and is taken up again; nobody is to blame.
	wait
	// retry: the host is to blame. The attempt fails without a black mark, the
	// last healthy revision is restored, and the revision is tried again later.
	retry
	// rollBack: the revision is to blame. It fails, is remembered and is not
	// tried again until Git moves or a person says so.
	rollBack
)

// errSuperseded ends a health wait because a newer revision or an order from a
// person came in.
var errSuperseded = errors.New("superseded")

// decide is the one place that chooses between wait, retry and rollback. A
// pull error never comes here: it undoes nothing.
func decide(ctx context.Context, err error) verdict {
	if ctx.Err() != nil || errors.Is(err, errSuperseded) {
		return stop
	}
	switch gitops.ReasonOf(err) {
	case gitops.APIUnreachable, gitops.APIUnauthorized, gitops.KubeconfigError, gitops.Forbidden,
		gitops.JournalFailed, gitops.ForeignWriter:
		return wait
	case gitops.ImagePull, gitops.NodePressure, gitops.Unschedulable, gitops.OwnedByOther, gitops.UnknownKind,
		gitops.WorkerFailed, gitops.Incomplete, gitops.StoreFailed:
		return retry
	case gitops.Rejected, gitops.ApplyFailed, gitops.HealthTimeout, gitops.HealthFailed, gitops.CrashLoop,
		gitops.ImageName, gitops.JobFailed, gitops.ResumedTooOften,
		gitops.PathMissing, gitops.EmptyRender, gitops.InvalidManifest, gitops.InvalidBundle, gitops.UnsupportedField,
		gitops.DuplicateObject, gitops.RemoteBase, gitops.PathOutside, gitops.Symlink, gitops.PluginRefused,
		gitops.KustomizeFailed, gitops.HelmFailed, gitops.UndefinedVar, gitops.DependencyCycle, gitops.TooManyObjects:
		return rollBack
	}
	// An error without a reason says nothing about the revision: never a black mark.
	return retry
}
