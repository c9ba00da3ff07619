// SPDX-License-Identifier: Apache-2.0

package localapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func TestEveryRequestReachesTheController(t *testing.T) {
	c := &controller{status: twoSources()}
	client := localapi.NewClient(serve(t, c))
	ctx := t.Context()
	for _, test := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"history", func() error { _, err := client.History(ctx, "fleet", 3); return err }, []string{`history "fleet" 3`}},
		{"history of all", func() error { _, err := client.History(ctx, "", 3); return err }, []string{`history "" 3`}},
		{"show", func() error { _, err := client.Show(ctx, "fleet", "main@sha1:3f", false); return err }, []string{"show fleet main@sha1:3f"}},
		{"diff", func() error { _, err := client.Diff(ctx, "base"); return err }, []string{`diff "base"`}},
		{"diff of all", func() error { _, err := client.Diff(ctx, ""); return err }, []string{`diff ""`}},
		{"verify", func() error { _, err := client.Verify(ctx, "fleet", "3f2a"); return err }, []string{"verify fleet 3f2a"}},
		{"sync", func() error { _, err := client.Sync(ctx, "fleet", localapi.SyncRequest{AllowPrune: 30}); return err }, []string{`sync "fleet" 30`}},
		{"sync of all", func() error { _, err := client.Sync(ctx, "", localapi.SyncRequest{}); return err }, []string{`sync "" 0`}},
		{"rollback", func() error {
			_, err := client.Rollback(ctx, "fleet", localapi.RollbackRequest{To: "3f2a", Pin: true})
			return err
		}, []string{`rollback fleet "3f2a" true by uid 0`}},
		{"retry", func() error { _, err := client.Retry(ctx, "fleet"); return err }, []string{"retry fleet"}},
		{"resume", func() error { _, err := client.Resume(ctx, "fleet"); return err }, []string{"resume fleet"}},
		{"suspend", func() error { return client.Suspend(ctx, "fleet", localapi.SuspendRequest{Reason: "works"}) }, []string{`suspend fleet "works" by uid 0`}},
		{"remove", func() error { _, err := client.Remove(ctx, "fleet", localapi.RemoveRequest{Prune: true}); return err }, []string{"remove fleet true by uid 0"}},
		{"accept", func() error {
			_, err := client.Accept(ctx, "fleet", localapi.AcceptRequest{Revision: "3f2a1bc", Reason: "a rebuilt host"})
			return err
		}, []string{`accept fleet "3f2a1bc" because "a rebuilt host" by uid 0`}},
		{"accept identity", func() error { return client.AcceptIdentity(ctx) }, []string{"accept identity"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(c.seen())
			if err := test.do(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, c.seen()[before:]); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// A route that is added to the table is tried here as a user who may only read.
func TestOnlyRootMayWrite(t *testing.T) {
	c := &controller{status: twoSources()}
	socket := serve(t, c)
	// The mode would keep this user out already: it is the kernel's word about
	// the peer that is tried here.
	for _, path := range []string{socket, filepath.Dir(socket), filepath.Dir(filepath.Dir(socket))} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return dialAs(nobody, socket)
	}}}
	writes := 0
	for _, route := range localapi.Routes() {
		before := len(c.seen())
		r, err := http.NewRequestWithContext(t.Context(), route.Method, "http://edgeagent"+route.Path+"?source=fleet", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if route.Access == localapi.Read {
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s: %s %s", route.Path, response.Status, body)
			}
			continue
		}
		writes++
		if response.StatusCode != http.StatusForbidden || !strings.Contains(string(body), `"uid 65534 may read and not change anything"`) {
			t.Errorf("%s: %s %s", route.Path, response.Status, body)
		}
		if len(c.seen()) != before {
			t.Errorf("%s reached the controller: %s", route.Path, c.seen()[before:])
		}
	}
	if writes != 10 {
		t.Errorf("%d routes need root, and there should be 10", writes)
	}
}

func TestModeKeepsOthersOut(t *testing.T) {
	socket := serve(t, &controller{})
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o660 {
		t.Errorf("mode is %04o", info.Mode().Perm())
	}
}

func TestErrorsKeepTheirReasonAndRemedy(t *testing.T) {
	for _, want := range []*gitops.Error{
		{Reason: gitops.NotFoundHere, Message: "m", Remedy: "r"},
		{Reason: gitops.Conflict, Message: "m"},
		{Reason: gitops.APIUnreachable, Message: "m", Remedy: "r", Commit: "c", Object: &gitops.ObjectRef{Kind: "Pod"}},
	} {
		client := localapi.NewClient(serve(t, &controller{status: twoSources(), err: want}))
		_, err := client.Retry(t.Context(), "fleet")
		got, ok := errors.AsType[*gitops.Error](err)
		if !ok {
			t.Fatalf("%T: %v", err, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	client := localapi.NewClient(serve(t, &controller{status: twoSources(), err: errors.New("disk full")}))
	if _, err := client.Retry(t.Context(), "fleet"); gitops.ReasonOf(err) != gitops.Internal || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error without a reason: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	c := &controller{status: twoSources()}
	socket := serve(t, c)
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"unknown path", "GET", "/v2/status", "", 404, "the daemon (version v1) does not know GET /v2/status"},
		{"wrong method", "GET", "/v1/sync", "", 404, "does not know GET /v1/sync"},
		{"unknown source", "GET", "/v1/status?source=flet", "", 404, "the sources are fleet, base"},
		{"no source", "POST", "/v1/retry", "", 400, "the request names no source"},
		{"unknown field", "POST", "/v1/rollback?source=fleet", `{"by":"uid 1"}`, 400, "unknown field"},
		{"two values", "POST", "/v1/rollback?source=fleet", `{}{}`, 400, "more than one value"},
		{"large", "POST", "/v1/suspend?source=fleet", `{"reason":"` + strings.Repeat("x", 64<<10) + `"}`, 400, "too large"},
		{"no reason", "POST", "/v1/suspend?source=fleet", `{"reason":" "}`, 400, "gives no reason"},
		{"limit", "GET", "/v1/history?limit=1001", "", 400, "limit is not a number from 1 to 1000"},
		{"negative", "POST", "/v1/sync?source=fleet", `{"allowPrune":-1}`, 400, "negative"},
		{"confirmation for all", "POST", "/v1/sync", `{"allowPrune":5}`, 400, "allowPrune confirms for one source"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), test.method, "http://edgeagent"+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.status || !strings.Contains(string(body), test.want) {
				t.Errorf("%s\n%s", response.Status, body)
			}
		})
	}
	if calls := c.seen(); len(calls) != 0 {
		t.Errorf("a bad request reached the controller: %s", calls)
	}
}

func TestWatchSendsEveryChange(t *testing.T) {
	c := &controller{status: twoSources()}
	client := localapi.NewClient(serve(t, c))
	enough := errors.New("enough")
	var cycles []int64
	err := client.Watch(t.Context(), "base", func(s gitops.Status) error {
		if len(s.Sources) != 1 || s.Sources[0].Name != "base" {
			t.Errorf("sources = %+v", s.Sources)
		}
		cycles = append(cycles, s.Sources[0].Cycle)
		if len(cycles) == 3 {
			return enough
		}
		c.set(gitops.Status{Sources: []gitops.SourceStatus{{Name: "base", Cycle: int64(len(cycles))}}})
		return nil
	})
	if !errors.Is(err, enough) || !slices.Equal(cycles, []int64{0, 1, 2}) {
		t.Errorf("cycles = %v, error = %v", cycles, err)
	}
	if err := client.Watch(t.Context(), "none", nil); gitops.ReasonOf(err) != gitops.NotFoundHere {
		t.Errorf("watch of an unknown source: %v", err)
	}
}

func TestClientThatGoesAwayEndsItsWork(t *testing.T) {
	c := &controller{status: twoSources(), hang: make(chan struct{})}
	client := localapi.NewClient(serve(t, c))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := client.Diff(ctx, "fleet"); done <- err }()
	<-c.hang
	cancel()
	<-c.hang
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

// Those who may only read cannot keep root out by holding connections.
func TestReadersCannotTakeAllConnections(t *testing.T) {
	c := &controller{status: twoSources()}
	socket := serve(t, c)
	for _, path := range []string{socket, filepath.Dir(socket), filepath.Dir(filepath.Dir(socket))} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	closed := 0
	for range 40 {
		conn, err := dialAs(nobody, socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// A connection that was turned away ends at once; one that was taken
		// answers.
		if _, err := io.WriteString(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			closed++
			continue
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			closed++
		}
	}
	if closed != 8 {
		t.Errorf("%d of 40 connections were turned away, want 8", closed)
	}
	if _, err := localapi.NewClient(socket).Status(t.Context(), ""); err != nil {
		t.Errorf("root is kept out: %v", err)
	}
}
