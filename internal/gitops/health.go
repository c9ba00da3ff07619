// SPDX-License-Identifier: Apache-2.0

package gitops

// HealthStatus is an object's state in kstatus' words.
type HealthStatus string

// The states of kstatus.
const (
	Current     HealthStatus = "Current"
	InProgress  HealthStatus = "InProgress"
	Failed      HealthStatus = "Failed"
	Terminating HealthStatus = "Terminating"
	NotFound    HealthStatus = "NotFound"
	Unknown     HealthStatus = "Unknown"
)

// ObjectHealth is one object's state and what the cluster said about it.
type ObjectHealth struct {
	Ref     ObjectRef    `json:"ref"`
	Bundle  string       `json:"bundle,omitempty"`
	Status  HealthStatus `json:"status"`
	Message string       `json:"message,omitempty"`
	// Reason is set when the state has a known cause: CrashLoop, ImageName,
	// ImagePull, DiskPressure …: decide tells the revision's fault from the
	// host's by it.
	Reason Reason `json:"reason,omitempty"`
	// Completed is set when a Job ran to its end: the inventory remembers it,
	// so that the Job is not run again when Kubernetes removes it.
	Completed bool `json:"completed,omitempty"`
	// Decides is false for objects that cannot blame the attempt: unhealthy
	// before it began, or in a bundle whose gate is "wanted".
	Decides bool `json:"decides"`
}

// Health is the state of all objects of a source at one moment.
type Health struct {
	Objects []ObjectHealth `json:"objects"`
}

// Blocking is the objects that keep the attempt from being healthy.
func (h Health) Blocking() []ObjectHealth {
	var out []ObjectHealth
	for _, o := range h.Objects {
		if o.Decides && o.Status != Current {
			out = append(out, o)
		}
	}
	return out
}

// Counts sums the objects of one bundle up for the status.
func (h Health) Counts(bundle string) ObjectCounts {
	var c ObjectCounts
	for _, o := range h.Objects {
		if o.Bundle != bundle {
			continue
		}
		c.Total++
		switch o.Status {
		case Current:
			c.Current++
		case Failed:
			c.Failed++
		default:
			c.InProgress++
		}
	}
	return c
}
