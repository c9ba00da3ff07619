// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxAnswer bounds what the client takes: the manifests of a large revision.
const maxAnswer = 256 << 20

// Client asks the daemon. It has no state besides the socket's path.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client of the daemon that answers on the socket.
func NewClient(socket string) *Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableCompression:    true,
		ExpectContinueTimeout: time.Minute,
	}}}
}

// Status asks for everything, or for one source when it is named.
func (c *Client) Status(ctx context.Context, source string) (gitops.Status, error) {
	return ask[gitops.Status](ctx, c, http.MethodGet, pathStatus, query("source", source), nil)
}

// Watch calls seen with the status now and after every change, until seen
// returns an error or the daemon stops, which is an error too.
func (c *Client) Watch(ctx context.Context, source string, seen func(gitops.Status) error) error {
	response, err := c.send(ctx, http.MethodGet, pathStatus, query("source", source, "watch", "1"), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return c.broken(ctx, err)
		}
		var status gitops.Status
		if err := json.Unmarshal(line, &status); err != nil {
			return fmt.Errorf("read the daemon's answer: %v", err)
		}
		if err := seen(status); err != nil {
			return err
		}
	}
}

// History asks for the newest attempts, newest first.
func (c *Client) History(ctx context.Context, source string, limit int) ([]gitops.Attempt, error) {
	return ask[[]gitops.Attempt](ctx, c, http.MethodGet, pathHistory, query("source", source, "limit", strconv.Itoa(limit)), nil)
}

// Show asks for one attempt, with its manifests when they are wanted.
func (c *Client) Show(ctx context.Context, source, revision string, manifests bool) (Shown, error) {
	q := query("source", source, "revision", revision)
	if manifests {
		q.Set("manifests", "1")
	}
	return ask[Shown](ctx, c, http.MethodGet, pathShow, q, nil)
}

// Diff asks how the cluster differs from what is wanted of it.
func (c *Client) Diff(ctx context.Context, source string) ([]gitops.ObjectDiff, error) {
	return ask[[]gitops.ObjectDiff](ctx, c, http.MethodGet, pathDiff, query("source", source), nil)
}

// Verify asks for the trust decision, commit by commit.
func (c *Client) Verify(ctx context.Context, source, revision string) ([]gitops.Decision, error) {
	return ask[[]gitops.Decision](ctx, c, http.MethodGet, pathVerify, query("source", source, "revision", revision), nil)
}

// Sync asks for a cycle now.
func (c *Client) Sync(ctx context.Context, source string, r SyncRequest) (Ticket, error) {
	return ask[Ticket](ctx, c, http.MethodPost, pathSync, query("source", source), r)
}

// Rollback asks to go back and stay there.
func (c *Client) Rollback(ctx context.Context, source string, r RollbackRequest) (RollbackResponse, error) {
	return ask[RollbackResponse](ctx, c, http.MethodPost, pathRollback, query("source", source), r)
}

// Retry asks to try a revision again that failed.
func (c *Client) Retry(ctx context.Context, source string) (Ticket, error) {
	return ask[Ticket](ctx, c, http.MethodPost, pathRetry, query("source", source), struct{}{})
}

// Resume releases a hold or a suspension.
func (c *Client) Resume(ctx context.Context, source string) (Ticket, error) {
	return ask[Ticket](ctx, c, http.MethodPost, pathResume, query("source", source), struct{}{})
}

// Suspend asks to leave a source alone.
func (c *Client) Suspend(ctx context.Context, source string, r SuspendRequest) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, pathSuspend, query("source", source), r)
	return err
}

// Remove asks to forget a source. The answer is what was deleted.
func (c *Client) Remove(ctx context.Context, source string, r RemoveRequest) ([]gitops.Change, error) {
	return ask[[]gitops.Change](ctx, c, http.MethodPost, pathRemove, query("source", source), r)
}

// Accept asks to waive the ancestry of one commit.
func (c *Client) Accept(ctx context.Context, source string, r AcceptRequest) (AcceptResponse, error) {
	return ask[AcceptResponse](ctx, c, http.MethodPost, pathAccept, query("source", source), r)
}

// AcceptIdentity asks to go on under the node's new name.
func (c *Client) AcceptIdentity(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, pathIdentity, nil, nil)
	return err
}

func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func ask[T any](ctx context.Context, c *Client, method, path string, q url.Values, body any) (T, error) {
	response, err := c.send(ctx, method, path, q, body)
	if err != nil {
		var none T
		return none, err
	}
	defer response.Body.Close()
	return decode[T](ctx, c, response)
}

func decode[T any](ctx context.Context, c *Client, response *http.Response) (T, error) {
	var answer T
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer, c.broken(ctx, err)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, fmt.Errorf("read the daemon's answer: %v; is this command of the daemon's version?", err)
	}
	return answer, nil
}

// send asks with a JSON value as the body, nil for none.
func (c *Client) send(ctx context.Context, method, path string, q url.Values, value any) (*http.Response, error) {
	var body io.Reader
	if value != nil {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("write the request: %v", err)
		}
		body = bytes.NewReader(text)
	}
	r, err := request(ctx, method, path, q, body)
	if err != nil {
		return nil, err
	}
	return c.do(r)
}

func request(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://edgeagent"+path+"?"+q.Encode(), body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %v", err)
	}
	return r, nil
}

// do asks, and turns every answer but a good one into an error.
func (c *Client) do(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	var e gitops.Error
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if json.Unmarshal(text, &e) != nil || e.Message == "" {
		return nil, fmt.Errorf("the daemon answers %s; see journalctl -u edgeagent", response.Status)
	}
	return nil, &e
}

// broken says why there is no answer.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, fs.ErrPermission) {
		return &gitops.Error{
			Reason: gitops.Forbidden, Message: "you may not open " + c.socket,
			Remedy: "run the command as root, or join the group " + Group + " to read", Err: err,
		}
	}
	return &gitops.Error{
		Reason: gitops.NoAnswer, Message: "the daemon does not answer on " + c.socket,
		Remedy: "is it running? systemctl status edgeagent", Err: err,
	}
}
