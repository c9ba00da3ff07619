// SPDX-License-Identifier: Apache-2.0

package bundle_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/pull/bundle"
	"github.com/edgeagent/edgeagent/internal/pull/wire"
	"github.com/edgeagent/edgeagent/test/k3d/link"
	"github.com/edgeagent/edgeagent/test/k3d/webserver"
)

// behindNginx is a mirror with the agent's own client, and the link between
// them and nginx, which serves dir.
func behindNginx(t *testing.T, dir string) (*webserver.Server, *link.Proxy, *bundle.Mirror) {
	t.Helper()
	srv, err := webserver.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	proxy, err := link.Start(srv.Addr(), link.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	list, err := url.Parse("http://" + proxy.Addr() + "/list")
	if err != nil {
		t.Fatal(err)
	}
	at, err := wire.ParsePlace(list.String(), true)
	if err != nil {
		t.Fatal(err)
	}
	client, err := wire.Open(wire.Config{Place: at, Agent: "edgeagent/v0.1.0", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	m, err := bundle.NewMirror(bundle.MirrorConfig{Client: client, List: list, Shown: list.String(), Dir: t.TempDir(), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return srv, proxy, m
}

func TestPollOfNginxCostsLittle(t *testing.T) {
	r := newRepo(t)
	r.commit("a", "1")
	r.publish()
	srv, proxy, m := behindNginx(t, r.dir)
	if got, err := m.Poll(t.Context()); err != nil || got.Unchanged {
		t.Fatal(got, err)
	}
	proxy.Forget()
	const polls = 10
	for range polls {
		got, err := m.Poll(t.Context())
		if err != nil || !got.Unchanged || len(got.List.Bundles) != 1 {
			t.Fatal(got, err)
		}
	}
	bytes := proxy.Counters().Total() / polls
	t.Logf("a poll over a connection that is kept: %d bytes", bytes)
	if bytes > 450 {
		t.Errorf("a poll has %d bytes, want no more than 450", bytes)
	}
	if names := children(t, srv.Pid()); names != "nginx" {
		t.Errorf("processes of the server: %q", names)
	}
	// The next publish is seen, and the one after the server was away.
	r.commit("a", "2")
	r.publish()
	if got, err := m.Poll(t.Context()); err != nil || got.Unchanged || len(got.List.Bundles) != 2 {
		t.Error(got, err)
	}
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Poll(t.Context()); !wire.LinkFault(err) {
		t.Errorf("not the link's fault: %v", err)
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Poll(t.Context()); err != nil || !got.Unchanged {
		t.Error(got, err)
	}
}

// children names the programs that a process started.
func children(t *testing.T, pid int) string {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		for child := range strings.FieldsSeq(string(text)) {
			name, err := os.ReadFile("/proc/" + child + "/comm")
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, strings.TrimSpace(string(name)))
		}
	}
	return strings.Join(names, " ")
}

// noise does not compress.
func noise(n int) string {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = random.Read(b)
	return string(b)
}

// Five megabytes over a link that cuts every connection after 16 kB, headers
// included.
func TestDownloadThroughALinkThatCuts(t *testing.T) {
	r := newRepo(t)
	r.commit("blob", noise(5_000_000))
	published := r.publish()
	_, proxy, m := behindNginx(t, r.dir)
	proxy.Set(link.Shape{Cut: 16 << 10})
	var polled bundle.Polled
	var err error
	if polled, err = m.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Sever() // the poll's connection has less than 16 kB left
	proxy.Forget()
	b, err := m.Open(t.Context(), polled.List.Newest()[0])
	pack := packOf(t, b, err)
	counted := proxy.Counters()
	t.Logf("%d bytes came in %d connections, %d cuts, as %d bytes: %.3f times", published.Bytes, counted.Connections, counted.Cuts,
		counted.Total(), float64(counted.Total())/float64(published.Bytes))
	if counted.Cuts < 300 {
		t.Errorf("the link cut only %d times", counted.Cuts)
	}
	if limit := published.Bytes * 105 / 100; counted.Total() > limit {
		t.Errorf("%d bytes went over the link, want no more than %d", counted.Total(), limit)
	}
	onDisk, err := os.ReadFile(filepath.Join(r.dir, published.Written[0].Name))
	if err != nil || !strings.HasSuffix(string(onDisk), pack) || len(pack) < 5_000_000 {
		t.Errorf("%d bytes of pack: %v", len(pack), err)
	}
}
