// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// statusOf is the one place where reasons become HTTP statuses. The client goes
// by the reason in the body; the status is for people with curl.
func statusOf(reason gitops.Reason) int {
	switch reason {
	case gitops.BadRequest:
		return http.StatusBadRequest
	case gitops.Forbidden:
		return http.StatusForbidden
	case gitops.NotFoundHere:
		return http.StatusNotFound
	case gitops.Conflict, gitops.IsSuspended, gitops.HeldBack, gitops.NoTarget, gitops.IdentityChanged:
		return http.StatusConflict
	case gitops.TooLarge:
		return http.StatusRequestEntityTooLarge
	case gitops.WrongRepository, gitops.PrerequisiteMissing, gitops.UnsupportedBundle:
		return http.StatusUnprocessableEntity
	case gitops.APIUnreachable, gitops.Unreachable, gitops.Interrupted:
		return http.StatusServiceUnavailable
	case gitops.Timeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// typed is err as it travels: reason, message and remedy.
func typed(err error) *gitops.Error {
	if e, ok := errors.AsType[*gitops.Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &gitops.Error{Reason: gitops.Timeout, Message: "the request took too long", Remedy: "try again; edgeagent status says what the daemon is doing"}
	}
	return &gitops.Error{Reason: gitops.Internal, Message: err.Error(), Remedy: "see journalctl -u edgeagent"}
}

func badRequest(format string, args ...any) error {
	return &gitops.Error{Reason: gitops.BadRequest, Message: fmt.Sprintf(format, args...), Remedy: "use the edgeagent command of the daemon's version"}
}

func writeError(w http.ResponseWriter, err error) {
	e := typed(err)
	body, encodeErr := json.Marshal(e)
	if encodeErr != nil {
		http.Error(w, string(e.Reason), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(e.Reason))
	w.Write(append(body, '\n')) //nolint:errcheck // the peer is gone
}
