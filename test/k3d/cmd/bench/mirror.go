// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/objects"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/link"
	"github.com/edgeagent/edgeagent/test/k3d/webserver"
)

// nobody is an address where no Git server is: all that comes is a mirror's.
const nobody = "http://127.0.0.1:1/"

// cutEvery is how long a connection to the mirror lives.
const cutEvery = 16 << 10

// mirrored is a repository that nginx serves as bundles, behind a link.
type mirrored struct {
	nginx  *webserver.Server
	path   *link.Proxy
	source *pull.Source
	close  func()
	bytes  int64 // of all bundles
}

// mirror publishes a repository and points a client at it.
func (b *bench) mirror(bare string, shape link.Shape, now func() time.Time) (m mirrored, err error) {
	dir, err := os.MkdirTemp(b.dir, "mirror-")
	if err != nil {
		return m, err
	}
	published, err := bundle.Publish(b.ctx, bundle.PublishOptions{Repo: bare, Dir: filepath.Join(dir, "files")})
	if err != nil {
		return m, err
	}
	m.bytes = published.Bytes
	if m.nginx, err = webserver.Start(filepath.Join(dir, "files")); err != nil {
		return m, err
	}
	if m.path, err = link.Start(m.nginx.Addr(), shape); err != nil {
		return m, errors.Join(err, m.nginx.Close())
	}
	store, err := objects.Open(filepath.Join(dir, "objects.db"), objects.Options{})
	if err != nil {
		return m, errors.Join(err, m.nginx.Close())
	}
	m.close = func() {
		m.path.Close()
		m.nginx.Close() //nolint:errcheck // it is over
		store.Close()   //nolint:errcheck // the directory goes
	}
	m.source, err = pull.New(pull.Config{
		Source: source, URL: nobody + "fleet.git", Insecure: true, Ref: pull.Ref{Branch: "main"},
		Mirrors:  []pull.Mirror{{URL: "http://" + m.path.Addr() + "/list", Type: "bundles"}},
		Interval: time.Minute, Timeout: time.Minute, RuntimeDir: dir, StateDir: dir, Now: now,
	}, store)
	return m, err
}

// mirrorPolls is what a poll costs at a mirror that is files and nothing else,
// on the link and on the machine that serves it.
func (b *bench) mirrorPolls() ([]row, error) {
	now := time.Now()
	m, err := b.mirror(b.repo.Bare, link.Shape{}, func() time.Time { return now })
	if err != nil {
		return nil, err
	}
	defer m.close()
	if err := poll(b.ctx, m.source); err != nil {
		return nil, err
	}
	m.path.Forget()
	const polls = 100
	for range polls {
		now = now.Add(time.Minute)
		if err := poll(b.ctx, m.source); err != nil {
			return nil, err
		}
	}
	one := m.path.Counters().Total() / polls
	static, err := b.pollsPerSecond(m.nginx.URL()+"/list", nil)
	if err != nil {
		return nil, err
	}
	server, err := gitserver.Start(b.ctx, gitserver.Config{Root: filepath.Dir(b.repo.Bare)})
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	forge, err := b.pollsPerSecond(server.URL(b.repo)+"/git-upload-pack", []byte("0014command=ls-refs\n0001001fref-prefix refs/heads/main\n0000"))
	if err != nil {
		return nil, err
	}
	return []row{
		{"one poll of a static mirror: bytes", kilobytes(one), "", "", "≤ 0.45 kB"},
		{"polls per second of a static mirror", fmt.Sprintf("%.0f nginx", static), fmt.Sprintf("%.0f git http-backend", forge), fmt.Sprintf("%.0f", static/forge), ""},
	}, nil
}

// pollsPerSecond is how many polls a server answers to eight clients: a
// conditional GET, or where there is a body a request for refs.
func (b *bench) pollsPerSecond(url string, body []byte) (float64, error) {
	const clients, long = 8, 3 * time.Second
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ask := func(ctx context.Context, etag string) (*http.Response, error) {
		method := http.MethodGet
		if body != nil {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
			req.Header.Set("Git-Protocol", "version=2")
		} else if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close() //nolint:errcheck // it was read
		if err == nil && body != nil && !strings.Contains(string(answer), "refs/heads/main") {
			err = fmt.Errorf("%s: %s: %q", url, resp.Status, answer)
		}
		return resp, err
	}
	first, err := ask(b.ctx, "")
	if err != nil {
		return 0, err
	}
	want := http.StatusNotModified
	if body != nil {
		want = http.StatusOK
	}
	counts := make([]int, clients)
	begin := time.Now()
	group, ctx := errgroup.WithContext(b.ctx)
	for n := range clients {
		group.Go(func() error {
			for time.Since(begin) < long {
				resp, err := ask(ctx, first.Header.Get("ETag"))
				if err != nil {
					return err
				}
				if resp.StatusCode != want {
					return fmt.Errorf("%s: %s", url, resp.Status)
				}
				counts[n]++
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(begin).Seconds(), nil
}

// mirrorCut downloads 5 MB through connections that are cut.
func (b *bench) mirrorCut() ([]row, error) {
	dir, err := os.MkdirTemp(b.dir, "five-")
	if err != nil {
		return nil, err
	}
	repo, err := gitserver.Fleet{Folders: 100, Commits: 1, Bytes: 6_600_000}.Make(b.ctx, dir, "fleet", b.signer)
	if err != nil {
		return nil, err
	}
	m, err := b.mirror(repo.Bare, link.Shape{Cut: cutEvery}, time.Now)
	if err != nil {
		return nil, err
	}
	defer m.close()
	for err = poll(b.ctx, m.source); gitops.ReasonOf(err) == gitops.Unreachable; err = poll(b.ctx, m.source) {
		if b.ctx.Err() != nil {
			return nil, b.ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	got := m.path.Counters()
	return []row{{fmt.Sprintf("a bundle of %.1f MB, cut every 16 kB: bytes", float64(m.bytes)/1e6),
		fmt.Sprintf("%s in %d connections", kilobytes(got.Total()), got.Connections), kilobytes(m.bytes) + " the bundle", ratio(got.Total(), m.bytes), "≤ 1.05"}}, nil
}
