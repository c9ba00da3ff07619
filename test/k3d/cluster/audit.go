// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// auditPolicy logs every request that writes, twice: before it runs and when it
// has ended. The first line is in the file before the client can have an
// answer, so a test that counts writes misses none. Reads are logged once they
// have ended, except those of the cluster's own parts.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  nonResourceURLs: ["/readyz*", "/livez*", "/healthz*"]
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "fake-kubelet"]
  verbs: ["get", "list", "watch"]
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
  verbs: ["get", "list", "watch"]
- level: Metadata
  verbs: ["get", "list", "watch"]
  omitStages: ["RequestReceived"]
- level: Metadata
`

// AuditEvent is one request, as the API server logged it.
type AuditEvent struct {
	ID                           string
	Time                         time.Time // when it arrived
	Verb                         string    // get, list, watch, create, update, patch, delete, deletecollection
	User                         string
	UserAgent                    string
	URI                          string
	Group, Resource, Subresource string
	Namespace, Name              string
	DryRun                       bool
	Code                         int // HTTP status; 0 = not answered
}

// String is what a failed test prints.
func (e AuditEvent) String() string {
	return fmt.Sprintf("%s %s %s by %q (%s) → %d", e.Time.Format("15:04:05.000000"), e.Verb, e.URI, e.User, e.UserAgent, e.Code)
}

// AuditFilter chooses requests. A zero field does not restrict.
type AuditFilter struct {
	Since     time.Time // by the clock of this machine, which is the API server's too
	User      string
	UserAgent string // a prefix
	Namespace string
	Resource  string // plural, e.g. configmaps
	DryRun    bool   // in Writes: dry runs are listed as well
	Accepted  bool   // only those answered with 2xx
}

func (f AuditFilter) matches(e AuditEvent) bool {
	return !e.Time.Before(f.Since) &&
		(f.User == "" || f.User == e.User) &&
		strings.HasPrefix(e.UserAgent, f.UserAgent) &&
		(f.Namespace == "" || f.Namespace == e.Namespace) &&
		(f.Resource == "" || f.Resource == e.Resource) &&
		(!f.Accepted || e.Code/100 == 2)
}

// Writes lists the requests that tried to change the cluster, refused ones
// included, in the order of their arrival. Every write whose answer the client
// has seen is among them. Access reviews and, unless asked for, dry runs are
// not: they store nothing.
func (c *Cluster) Writes(filter AuditFilter) ([]AuditEvent, error) {
	events, err := c.Requests(filter)
	return slices.DeleteFunc(events, func(e AuditEvent) bool {
		return !e.writes() || e.DryRun && !filter.DryRun
	}), err
}

// Requests lists all requests, reads included. A read appears once it ended:
// a watch that runs does not. Reads of the controllers and of the kubelet are
// not logged.
func (c *Cluster) Requests(filter AuditFilter) ([]AuditEvent, error) {
	if !c.Embedded() {
		return nil, fmt.Errorf("read the audit log: %w", ErrNotEmbedded)
	}
	return c.audit.events(filter)
}

func (e AuditEvent) writes() bool {
	switch e.Verb {
	case "create", "update", "patch", "delete", "deletecollection", "post", "put":
		return e.Group != "authorization.k8s.io" && e.Group != "authentication.k8s.io"
	}
	return false
}

// auditLine is the part of audit.k8s.io/v1 Event that is read here.
type auditLine struct {
	AuditID                  string    `json:"auditID"`
	Stage                    string    `json:"stage"`
	RequestURI               string    `json:"requestURI"`
	Verb                     string    `json:"verb"`
	UserAgent                string    `json:"userAgent"`
	RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
	User                     struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		APIGroup    string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

func (l auditLine) event() AuditEvent {
	return AuditEvent{
		ID: l.AuditID, Time: l.RequestReceivedTimestamp, Verb: l.Verb,
		User: l.User.Username, UserAgent: l.UserAgent, URI: l.RequestURI,
		Group: l.ObjectRef.APIGroup, Resource: l.ObjectRef.Resource, Subresource: l.ObjectRef.Subresource,
		Namespace: l.ObjectRef.Namespace, Name: l.ObjectRef.Name,
		DryRun: isDryRun(l.RequestURI), Code: l.ResponseStatus.Code,
	}
}

func isDryRun(uri string) bool {
	parsed, err := url.ParseRequestURI(uri)
	return err == nil && parsed.Query().Has("dryRun")
}
