// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"fmt"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// failed is a typed failure: what was tried, on what, and what to do about it.
func failed(reason gitops.Reason, remedy, format string, args ...any) *gitops.Error {
	return &gitops.Error{Reason: reason, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// because keeps the cause for those who inspect it.
func because(err error, reason gitops.Reason, remedy, format string, args ...any) *gitops.Error {
	e := failed(reason, remedy, format, args...)
	e.Err = err
	return e
}

// printable quotes what came from outside, and no more than the beginning of it.
func printable(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}
