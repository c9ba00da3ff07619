// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxMessage bounds what a library's error text may add to ours: a template
// error can quote whole files.
const maxMessage = 600

// failure is an error that a person reads in the status: what was tried and on
// what, and what to do about it.
func failure(reason gitops.Reason, remedy, format string, args ...any) *gitops.Error {
	return &gitops.Error{Reason: reason, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// quoted finds where libraries quote the content they stumbled over, which may
// be a secret.
var quoted = regexp.MustCompile(`(?s)node contents:.*|(cannot parse template|tpl function execution for) "(?:[^"\\]|\\.)*"`)

// brief is the text of a library's error on one line, bounded and without
// quoted content.
func brief(err error) string {
	text := quoted.ReplaceAllString(err.Error(), "$1 …")
	text = strings.ReplaceAll(text, memoryRoot+"/", "")
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxMessage {
		return text
	}
	// The end says what went wrong, the beginning where.
	return strings.ToValidUTF8(text[:maxMessage/3], "") + " … " + strings.ToValidUTF8(text[len(text)-2*maxMessage/3:], "")
}

// typed finds the failure in err's tree: an error of ours that went through a
// library keeps its reason.
func typed(err error) (*gitops.Error, bool) {
	return errors.AsType[*gitops.Error](err)
}
