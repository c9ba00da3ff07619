// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// callTimeout bounds one request. Watches have none.
const callTimeout = 30 * time.Second

// Retries of one request: 0.1, 0.2, 0.4, 0.8 and 1.6 seconds apart.
const (
	retries    = 5
	retryPause = 100 * time.Millisecond
)

// maxRetryAfter bounds how long the API server may make us wait.
const maxRetryAfter = 10 * time.Second

// call makes one request, again when it failed for a reason that passes: the
// API server is busy or restarts, or somebody wrote at the same moment. After
// a refusal to log in it makes another try with the kubeconfig as it is by then.
func (c *Cluster) call(ctx context.Context, do func(context.Context, *connection) error) error {
	return c.try(ctx, retries, do)
}

// ask is call without patience: to find out whether the API server is there.
func (c *Cluster) ask(ctx context.Context, do func(context.Context, *connection) error) error {
	return c.try(ctx, 0, do)
}

func (c *Cluster) try(ctx context.Context, again int, do func(context.Context, *connection) error) error {
	pause, reread := retryPause, false
	for n := 0; ; n++ {
		conn, err := c.connect()
		if err != nil {
			return err
		}
		err = once(ctx, conn, do)
		switch {
		case err == nil || ctx.Err() != nil:
			return errors.Join(ctx.Err(), nilOnDone(ctx, err))
		case isLogin(err) && !reread:
			reread = true
			c.forget(conn)
		case !passes(err) || n >= again:
			return err
		default:
			if sleep(ctx, max(pause, retryAfter(err))) != nil {
				return ctx.Err()
			}
			pause *= 2
		}
	}
}

func once(ctx context.Context, conn *connection, do func(context.Context, *connection) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return do(ctx, conn)
}

// nilOnDone drops the error of a request that was cut by its own context: the
// context's error says it better.
func nilOnDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget drops a connection, so that the next call reads the kubeconfig again
// and makes a new one.
func (c *Cluster) forget(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn {
		conn.close()
		c.conn = nil
	}
}

// isLogin reports that the server and we do not accept each other: a rotated
// certificate or token.
func isLogin(err error) bool {
	if apierrors.IsUnauthorized(err) {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	// The server refuses our certificate in the middle of the handshake.
	return strings.Contains(fmt.Sprint(err), "remote error: tls:")
}

// isAway reports that the API server could not be asked at all.
func isAway(err error) bool {
	if apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if _, ok := statusOf(err); ok {
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	_, ok := errors.AsType[*url.Error](err)
	return ok
}

// statusOf is the API server's own answer, where the error is one.
func statusOf(err error) (metav1.Status, bool) {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return metav1.Status{}, false
	}
	return answer.Status(), true
}

// passes reports that the same request may succeed in a moment.
func passes(err error) bool {
	return isAway(err) && !errors.Is(err, context.DeadlineExceeded) || apierrors.IsInternalError(err) && !isUndeclared(err) ||
		apierrors.IsConflict(err) && !strings.Contains(err.Error(), "Precondition failed")
}

func retryAfter(err error) time.Duration {
	seconds, ok := apierrors.SuggestsClientDelay(err)
	if !ok {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// isRejected reports that the API server, or an admission webhook, will not
// take the object as it is.
func isRejected(err error) bool {
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err),
		apierrors.IsRequestEntityTooLargeError(err), apierrors.IsNotAcceptable(err), apierrors.IsUnsupportedMediaType(err):
		return true
	case isUndeclared(err):
		return true
	case apierrors.IsForbidden(err):
		return !isNotAllowed(err)
	}
	status, ok := statusOf(err)
	if !ok {
		return false
	}
	code := status.Code // webhooks answer with any code they like
	return code >= 400 && code < 500 && code != 401 && code != 403 && code != 409 && code != 429
}

// isBroken reports that the API server, its storage or a webhook failed. That
// may pass, or not; it says nothing about the object.
func isBroken(err error) bool {
	status, ok := statusOf(err)
	return ok && status.Code >= 500
}

// isUndeclared reports a field that the kind does not have. Server-side apply
// answers 500 to it, as if the server were to blame.
func isUndeclared(err error) bool {
	return apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed to create typed patch object")
}

// isNotAllowed tells a missing right of ours from an admission that refuses
// the object: both come as 403.
func isNotAllowed(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "User ") && strings.Contains(err.Error(), " cannot ")
}

// isImmutable reports a field that cannot be changed on a live object.
func isImmutable(err error) bool {
	if !apierrors.IsInvalid(err) {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "immutable") || strings.Contains(text, "updates to statefulset spec for fields other than") ||
		strings.Contains(text, "may not change once set") || strings.Contains(text, "cannot change")
}

// failure gives an API error its reason, and says what was tried on what.
func (c *Cluster) failure(doing string, ref *gitops.ObjectRef, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if known, ok := errors.AsType[*gitops.Error](err); ok {
		return known
	}
	what := doing
	if ref != nil {
		what = doing + " " + ref.String()
	}
	e := &gitops.Error{Reason: gitops.ApplyFailed, Message: fmt.Sprintf("cannot %s: %s", what, textOf(ref, err)), Object: ref, Err: err}
	switch {
	case isLogin(err):
		e.Reason, e.Remedy = gitops.APIUnauthorized, fmt.Sprintf("see whether the kubeconfig %s is the one that k3s wrote last", c.cfg.Kubeconfig)
	case isNotAllowed(err):
		e.Reason, e.Remedy = gitops.Forbidden, fmt.Sprintf("give the user of the kubeconfig %s the right to do it", c.cfg.Kubeconfig)
	case isAway(err):
		e.Reason, e.Remedy = gitops.APIUnreachable, "see whether k3s runs: systemctl status k3s"
	case isRejected(err):
		e.Reason, e.Remedy = gitops.Rejected, "correct the object in Git"
	case isBroken(err):
		e.Reason, e.Remedy = gitops.ServerError, "see the log of k3s, or of the webhook that is named: journalctl -u k3s"
	}
	return e
}
