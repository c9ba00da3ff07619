// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxShown bounds what is quoted from a commit in errors and decisions.
const maxShown = 120

func refusal(reason gitops.Reason, remedy, format string, args ...any) *gitops.Error {
	return &gitops.Error{Reason: reason, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// blame names the commit that broke the rule, unless err names one already
// or the id is none: what a server offers as an id is not passed on.
func blame(err error, commit gitops.Hash) error {
	e, ok := errors.AsType[*gitops.Error](err)
	if !ok || e.Commit != "" || !commit.Valid() {
		return err
	}
	named := *e
	named.Commit = commit
	return &named
}

// refused tells a decision of the trust rules from a failure to reach one: an
// object that is missing, corrupt or unreadable, or a context that ended.
func refused(err error) bool {
	switch gitops.ReasonOf(err) {
	case "", gitops.Incomplete, gitops.Corrupt, gitops.StoreFailed, gitops.TrustMissing, gitops.ClockUntrusted:
		return false
	}
	return true
}

// printable makes text from a commit safe for terminals and logs: whatever is
// not printable, the direction marks of Unicode included, is escaped.
func printable(text string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		if b.Len() >= maxShown {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// quoted is printable text in double quotes.
func quoted(text string) string { return `"` + printable(text) + `"` }
