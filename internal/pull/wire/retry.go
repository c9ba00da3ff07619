// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	maxRetryAfter = 5 * time.Second // that is waited for within a request
	// maxLeaveAlone bounds what RetryAfter says: a year is not believed.
	maxLeaveAlone = time.Hour
)

// attempt is what is known of a request while it is tried.
type attempt struct {
	guard  *guard
	reused atomic.Bool // its connection had served a request before
	stale  atomic.Bool // such a connection was silently dead
}

type attemptKey struct{}

// traced returns the context of a request, which notes its connections.
func (a *attempt) traced() context.Context {
	ctx := context.WithValue(a.guard.ctx, attemptKey{}, a)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { a.reused.Store(info.Reused) },
	})
}

// retryable leaves alone what the next second will not change. Networks forget
// connections that idle, without a word: a request on a kept one that gets no
// answer is asked again on a new one.
func (t *httpTransport) retryable(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if resp != nil {
		if resp.StatusCode == http.StatusNetworkAuthenticationRequired || retryAfter(resp, t.cfg.Now()) > maxRetryAfter {
			return false, nil
		}
		return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	}
	if tlsFailed("", err, t.cfg.Now()) != nil {
		return false, nil
	}
	timeout, ok := errors.AsType[net.Error](err)
	silent := ok && timeout.Timeout()
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if ok && a.reused.Load() {
		t.transport.CloseIdleConnections()
		a.guard.again()
		if silent {
			a.stale.Store(true)
		}
		return true, nil
	}
	if silent {
		return false, nil
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}

// retryAfter is how long a server asks to be left alone.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	said := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(said, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxLeaveAlone/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(said); err == nil {
		return min(max(at.Sub(now), 0), maxLeaveAlone)
	}
	return 0
}

// httpStatus is the cause of an error that a status code made.
type httpStatus struct {
	code  int
	after time.Duration
}

func (s httpStatus) Error() string { return "status " + strconv.Itoa(s.code) }

// RetryAfter is how long the server asked to be left alone, at most an hour; 0
// when it did not say.
func RetryAfter(err error) time.Duration {
	s, _ := errors.AsType[httpStatus](err)
	return s.after
}
