// SPDX-License-Identifier: Apache-2.0

package pull

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func failed(reason gitops.Reason, remedy, format string, args ...any) *gitops.Error {
	return &gitops.Error{Reason: reason, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

func badConfig(format string, args ...any) error {
	return &gitops.Error{Reason: gitops.BadRequest, Message: fmt.Sprintf(format, args...)}
}

// combine keeps one reason for all places: that of the first which should have
// answered. A mirror that is behind is said only where all are.
func combine(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	lead := max(0, slices.IndexFunc(errs, func(err error) bool { return gitops.ReasonOf(err) != gitops.MirrorBehind }))
	first, ok := errors.AsType[*gitops.Error](errs[lead])
	if !ok {
		return errors.Join(errs...)
	}
	text := make([]string, 0, len(errs))
	for n, err := range errs {
		if n != lead {
			text = append(text, err.Error())
		}
	}
	all := failed(first.Reason, first.Remedy, "%s (mirrors: %s)", first.Message, strings.Join(text, "; "))
	all.Err = first.Err
	return all
}
