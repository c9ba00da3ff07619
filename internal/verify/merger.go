// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// merges holds a merge by a forge's key to what such a key is for.
func (x *examination) merges(_ context.Context, id gitops.Hash, _ rawCommit, _ *policy) error {
	return refusal(gitops.MergerAuthored, "", "commit %s", id.Short())
}
