// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxMessage bounds what is shown of one answer of the API server.
const maxMessage = 600

// textOf is what the API server said, without the values of fields: a password
// may stand in any kind of object. Fields are named, and what is wrong with
// them.
func textOf(ref *gitops.ObjectRef, err error) string {
	status, ok := statusOf(err)
	secret := ref != nil && ref.Kind == "Secret" && ref.Group == ""
	switch {
	case !ok:
		return shortened(err.Error()) // the link's error, or our own
	case isUndeclared(err):
		return undeclared(err.Error())
	case status.Reason == metav1.StatusReasonInvalid && status.Details != nil && len(status.Details.Causes) > 0:
		return causes(status.Details.Causes)
	case secret:
		return fmt.Sprintf("the API server answered %d %s", status.Code, status.Reason)
	case isNotAllowed(err), status.Reason == metav1.StatusReasonNotFound, status.Reason == metav1.StatusReasonConflict:
		return shortened(err.Error()) // names of users, verbs and objects
	}
	return shortened(masked(ref, err.Error()))
}

// fieldError is one entry of a typed patch that cannot be made. What follows
// "got" is the value.
var fieldError = regexp.MustCompile(`(\.\S+): (field not declared in schema|expected [^,\n]*)`)

// undeclared names the fields that do not fit the kind's schema.
func undeclared(text string) string {
	var parts []string
	for _, match := range fieldError.FindAllStringSubmatch(text, maxNamed) {
		parts = append(parts, match[1]+": "+match[2])
	}
	if len(parts) == 0 {
		return "a field has a wrong type, or the kind does not have it"
	}
	return shortened(strings.Join(parts, "; "))
}

// causes lists what is invalid, field by field.
func causes(list []metav1.StatusCause) string {
	var parts []string
	for i, cause := range list {
		if i == maxNamed {
			parts = append(parts, fmt.Sprintf("and %d more", len(list)-maxNamed))
			break
		}
		parts = append(parts, strings.TrimPrefix(cause.Field+": "+problem(cause), ": "))
	}
	return shortened(strings.Join(parts, "; "))
}

// carriers are the kinds of problems whose message begins with the value, as
// "Invalid value: VALUE: what is wrong with it".
var carriers = map[metav1.CauseType]string{
	metav1.CauseTypeFieldValueInvalid:      "Invalid value",
	metav1.CauseTypeFieldValueDuplicate:    "Duplicate value",
	metav1.CauseTypeFieldValueNotSupported: "Unsupported value",
	metav1.CauseTypeFieldValueNotFound:     "Not found",
	metav1.CauseTypeTypeInvalid:            "Invalid value",
}

// problem is what is wrong with a field, without its value. Where the value
// cannot be told from the rest, only the kind of problem is left.
func problem(cause metav1.StatusCause) string {
	kind, carries := carriers[cause.Type]
	rest, found := strings.CutPrefix(cause.Message, kind+": ")
	if !carries || !found {
		return masked(nil, cause.Message)
	}
	value, detail, ok := cutValue(rest)
	if !ok || detail == "" {
		return kind
	}
	if cause.Type != metav1.CauseTypeFieldValueNotSupported { // that quotes what is supported
		detail = masked(nil, detail)
	}
	if len(value) > 2 {
		detail = strings.ReplaceAll(detail, value, "…")
	}
	return kind + ": " + detail
}

// cutValue cuts the value off that begins a message: a quoted string, a number
// or JSON.
func cutValue(text string) (value, detail string, ok bool) {
	raw, err := strconv.QuotedPrefix(text)
	if err == nil {
		value, err = strconv.Unquote(raw)
	} else {
		var parsed json.RawMessage
		dec := json.NewDecoder(strings.NewReader(text))
		err = dec.Decode(&parsed)
		raw, value = text[:dec.InputOffset()], string(parsed)
	}
	if err != nil {
		return "", "", false
	}
	detail, cut := strings.CutPrefix(text[len(raw):], ": ")
	return value, detail, cut || detail == ""
}

// quoted is how messages show values: in quotes and braces, and a number that
// does not fit its field.
var quoted = regexp.MustCompile(`(?s)(webhook )?("(?:[^"\\]|\\.)*"|\{.*\}|number -?[0-9][0-9.eE+-]*)`)

// masked hides what a message quotes, but for the names of the object and of a
// webhook.
func masked(ref *gitops.ObjectRef, text string) string {
	return quoted.ReplaceAllStringFunc(text, func(match string) string {
		name := strings.Trim(match, `"`)
		known := ref != nil && name != "" && (name == ref.Name || name == ref.Namespace)
		if strings.HasPrefix(match, "webhook ") || known {
			return match
		}
		return "…"
	})
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
