// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Import sends a bundle of size bytes (-1 when that is not known) to the daemon.
func (c *Client) Import(ctx context.Context, source string, bundle io.Reader, size int64) (gitops.Imported, error) {
	var imported gitops.Imported
	given := &giver{r: bundle}
	r, err := request(ctx, http.MethodPost, pathImport, query("source", source), given)
	if err != nil {
		return imported, err
	}
	r.ContentLength = size
	if size == 0 {
		r.Body = http.NoBody // and not a body of unknown length
	}
	// Who may not import, or not so much, is told before anything is sent.
	r.Header.Set("Expect", "100-continue")
	response, err := c.do(r)
	if unread := given.failed.Load(); unread != nil {
		if err == nil {
			response.Body.Close()
		}
		return imported, fmt.Errorf("read the bundle: %w", *unread)
	}
	if err != nil {
		return imported, err
	}
	defer response.Body.Close()
	return decode[gitops.Imported](ctx, c, response)
}

// giver tells an error of the reader from one of the daemon.
type giver struct {
	r      io.Reader
	failed atomic.Pointer[error]
}

func (g *giver) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if err != nil && err != io.EOF {
		g.failed.Store(&err)
	}
	return n, err
}

// Export writes what a source runs into w, as a bundle. After an error, what
// was written is worth nothing.
func (c *Client) Export(ctx context.Context, source string, w io.Writer) error {
	response, err := c.send(ctx, http.MethodPost, pathExport, query("source", source), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	taken := &taker{w: w}
	if _, err := io.Copy(taken, response.Body); err != nil {
		if taken.err != nil {
			return fmt.Errorf("write the bundle: %w", taken.err)
		}
		return c.broken(ctx, err)
	}
	end := response.Trailer.Get(headerEnd)
	if end == endDone {
		return nil
	}
	var e gitops.Error
	if json.Unmarshal([]byte(end), &e) != nil || e.Message == "" {
		return c.broken(ctx, errors.New("the bundle has no end"))
	}
	return &e
}

// taker tells an error of the writer from one of the reader.
type taker struct {
	w   io.Writer
	err error
}

func (t *taker) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.err = err
	return n, err
}

// Metrics asks for the status in Prometheus' text format.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	response, err := c.send(ctx, http.MethodGet, pathMetrics, nil, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	return text, nil
}
