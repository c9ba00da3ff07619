// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"maps"
	"slices"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// snapshot is a copy that shares nothing: whoever asked for a status may keep
// and change it, and the next one to ask sees none of that.
func snapshot(st gitops.SourceStatus) gitops.SourceStatus {
	st.Conditions = slices.Clone(st.Conditions)
	st.Observed, st.Verified = own(st.Observed), own(st.Verified)
	st.Applied, st.Healthy = own(st.Applied), own(st.Healthy)
	st.Refused, st.Hold, st.Suspended = own(st.Refused), own(st.Hold), own(st.Suspended)
	st.Waiver, st.Heartbeat = own(st.Waiver), own(st.Heartbeat)
	if st.Failed = own(st.Failed); st.Failed != nil {
		st.Failed.Reached = maps.Clone(st.Failed.Reached)
		st.Failed.Changes = slices.Clone(st.Failed.Changes)
	}
	st.Bundles = slices.Clone(st.Bundles)
	st.Problems = slices.Clone(st.Problems)
	st.Pending = slices.Clone(st.Pending)
	st.Drift.Objects = slices.Clone(st.Drift.Objects)
	st.Warnings = slices.Clone(st.Warnings)
	return st
}

func own[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
