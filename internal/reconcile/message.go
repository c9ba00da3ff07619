// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxMessage bounds what is shown of one answer of the API server, and
// maxValue what is quoted of a value in it: a pod template is 5 kB long, and
// its environment may hold a password.
const (
	maxMessage = 600
	maxValue   = 40
)

// textOf is what the API server said. About a Secret only the fields are
// named: its message may quote their values.
func textOf(ref *gitops.ObjectRef, err error) string {
	status, ok := statusOf(err)
	if !ok {
		return shortened(err.Error())
	}
	secret := ref != nil && ref.Kind == "Secret" && ref.Group == ""
	switch {
	case secret && isUndeclared(err):
		return "a field has a wrong type, or the kind does not have it"
	case status.Details != nil && status.Reason == metav1.StatusReasonInvalid && len(status.Details.Causes) > 0:
		return causes(status.Details.Causes, secret)
	case secret:
		return fmt.Sprintf("the API server answered %d %s", status.Code, status.Reason)
	}
	return shortened(err.Error())
}

// causes lists what is invalid, field by field.
func causes(list []metav1.StatusCause, secret bool) string {
	var parts []string
	for i, cause := range list {
		if i == maxNamed {
			parts = append(parts, fmt.Sprintf("and %d more", len(list)-maxNamed))
			break
		}
		text := cause.Message
		// "Invalid value: VALUE: what is wrong with it"
		if head, rest, ok := strings.Cut(text, "value: "); ok {
			if at := strings.LastIndex(rest, ": "); at >= 0 && (secret || at > maxValue) {
				text = head + "value: " + rest[at+2:]
			} else if at < 0 && secret {
				text = head + "value"
			}
		}
		parts = append(parts, strings.TrimPrefix(cause.Field+": "+text, ": "))
	}
	return shortened(strings.Join(parts, "; "))
}

// shortened keeps the beginning and the end of a message: what it is about,
// and what is wrong.
func shortened(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	half := maxMessage / 2
	return strings.ToValidUTF8(text[:half]+" … "+text[len(text)-half:], "")
}
