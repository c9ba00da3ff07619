// SPDX-License-Identifier: Apache-2.0

package localapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/localapi"
)

func TestImportHandsTheBundleOverAndLeavesNothing(t *testing.T) {
	large := strings.Repeat("PACK", 5<<20) // over several pieces
	for _, test := range []struct {
		name, source, bundle string
		size                 int64
		want                 string
	}{
		{"of a file", "fleet", "# v2 git bundle", 15, `import "fleet" 0600 15 "# v2 git bundle"`},
		{"of a pipe", "", "# v2 git bundle", -1, `import "" 0600 15 "# v2 git bundle"`},
		{"large", "fleet", large, int64(len(large)), `import "fleet" 0600 20971520 "PACKPACKPACKPACKPACK"`},
		{"empty", "fleet", "", 0, `import "fleet" 0600 0 ""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &controller{status: twoSources()}
			spool := filepath.Join(t.TempDir(), "spool")
			client := localapi.NewClient(serveWith(t, localapi.Config{Controller: c, Spool: spool}))
			got, err := client.Import(t.Context(), test.source, strings.NewReader(test.bundle), test.size)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(gitops.Imported{Source: test.source, New: true, Cycle: 6}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{test.want}, c.seen()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			gone(t, spool)
		})
	}
}

// The error speaks of the bundle, not of a file that the person has never seen.
func TestImportFailsInThePersonsWords(t *testing.T) {
	c := &controller{status: twoSources(), taking: make(chan string)}
	client := localapi.NewClient(serve(t, c))
	go func() {
		file := <-c.taking
		c.err = &gitops.Error{Reason: gitops.WrongRepository, Message: "import " + file + ": " + filepath.Base(file) + " is of another repository", Remedy: "take the right one"}
		c.taking <- file
	}()
	_, err := client.Import(t.Context(), "fleet", strings.NewReader("x"), 1)
	if gitops.ReasonOf(err) != gitops.WrongRepository || err.Error() != "import the bundle: the bundle is of another repository; take the right one" {
		t.Errorf("error %v", err)
	}
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", path, err)
	}
}

// What is refused never reaches the controller, and leaves no file.
func TestImportRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		cfg    localapi.Config
		bundle io.Reader
		size   int64
		reason gitops.Reason
		says   string
	}{
		{"a file that is too large", localapi.Config{MaxBundle: 1 << 20}, endless{}, 1<<20 + 1, gitops.TooLarge, "the bundle is larger than 1 MiB"},
		{"a stream that does not end", localapi.Config{MaxBundle: 20 << 20}, endless{}, -1, gitops.TooLarge, "the bundle is larger than 20 MiB"},
		{"what would fill the disk", localapi.Config{Reserved: 1 << 60}, strings.NewReader("x"), 1, gitops.StoreFailed, "make room on the disk"},
		{"what cannot be read", localapi.Config{}, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errors.New("the stick is gone"))), -1, "", "read the bundle: the stick is gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &controller{status: twoSources()}
			test.cfg.Controller, test.cfg.Spool = c, filepath.Join(t.TempDir(), "spool")
			client := localapi.NewClient(serveWith(t, test.cfg))
			_, err := client.Import(t.Context(), "fleet", test.bundle, test.size)
			if err == nil || gitops.ReasonOf(err) != test.reason || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %s: %s", err, test.reason, test.says)
			}
			if len(c.seen()) > 0 {
				t.Errorf("the controller was asked: %s", c.seen())
			}
			poll(t, func() bool { _, err := os.Stat(test.cfg.Spool); return errors.Is(err, os.ErrNotExist) })
		})
	}
}

// Nothing is read, or sent, of what is refused anyway.
func TestImportAsksBeforeItSends(t *testing.T) {
	client := localapi.NewClient(serveWith(t, localapi.Config{Controller: &controller{}, Spool: filepath.Join(t.TempDir(), "spool"), MaxBundle: 1 << 20}))
	var read bytes.Buffer
	_, err := client.Import(t.Context(), "fleet", io.TeeReader(endless{}, &read), 2<<20)
	if gitops.ReasonOf(err) != gitops.TooLarge || read.Len() > 0 {
		t.Errorf("error %v after %d bytes", err, read.Len())
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func poll(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
	}
}

// A peer that stops sending in the middle neither gets a half bundle imported
// nor keeps others from importing.
func TestImportEndsWithAPeerThatStops(t *testing.T) {
	c := &controller{status: twoSources()}
	socket := serveWith(t, localapi.Config{Controller: c, Spool: filepath.Join(t.TempDir(), "spool"), Patience: 50 * time.Millisecond})
	for name, stop := range map[string]func(net.Conn){
		"silent": func(net.Conn) {},
		"gone":   func(conn net.Conn) { conn.Close() },
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "POST /v1/import?source=fleet HTTP/1.1\r\nHost: edgeagent\r\nContent-Length: 100\r\n\r\n# v2 git"); err != nil {
			t.Fatal(err)
		}
		stop(conn)
		client := localapi.NewClient(socket)
		poll(t, func() bool {
			_, err := client.Import(t.Context(), name, strings.NewReader("whole"), 5)
			return err == nil // it was busy with the first one before
		})
	}
	for _, call := range c.seen() {
		if !strings.Contains(call, `"whole"`) {
			t.Errorf("a half bundle was imported: %s", call)
		}
	}
}

func TestOneImportAtATime(t *testing.T) {
	c := &controller{status: twoSources(), taking: make(chan string)}
	client := localapi.NewClient(serve(t, c))
	first := make(chan error, 1)
	go func() {
		_, err := client.Import(t.Context(), "fleet", strings.NewReader("first"), 5)
		first <- err
	}()
	file := <-c.taking
	_, err := client.Import(t.Context(), "fleet", strings.NewReader("second"), 6)
	if gitops.ReasonOf(err) != gitops.Conflict {
		t.Errorf("the second import: %v", err)
	}
	c.taking <- file
	if err := <-first; err != nil {
		t.Errorf("the first import: %v", err)
	}
}

func TestAServerRemovesWhatAKilledOneLeft(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spool, "import.bundle"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := localapi.NewClient(serveWith(t, localapi.Config{Controller: &controller{}, Spool: spool}))
	if _, err := client.Status(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	gone(t, spool)
}

func TestExport(t *testing.T) {
	missing := &gitops.Error{Reason: gitops.Incomplete, Message: "the tree 3f2a of apps/ü is missing", Remedy: "wait for the link"}
	long := strings.Repeat("p", 1<<20)
	for _, test := range []struct {
		name   string
		source string
		pieces []string
		err    error
		want   string
		reason gitops.Reason
	}{
		{"whole", "fleet", []string{"# v3 git bundle\n", "PACK"}, nil, "# v3 git bundle\nPACK", ""},
		{"long", "fleet", []string{long, long}, nil, long + long, ""},
		{"refused before the first byte", "fleet", nil, missing, "", gitops.Incomplete},
		{"cut short", "fleet", []string{"# v3 git bundle\n"}, missing, "# v3 git bundle\n", gitops.Incomplete},
		{"cut short after much", "fleet", []string{long}, missing, long, gitops.Incomplete},
		{"nothing at all", "fleet", []string{""}, nil, "", gitops.Internal},
		{"of no source", "", nil, nil, "", gitops.BadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := localapi.NewClient(serve(t, &controller{status: twoSources(), pieces: test.pieces, err: test.err}))
			var out bytes.Buffer
			err := client.Export(t.Context(), test.source, &out)
			if gitops.ReasonOf(err) != test.reason || (err == nil) != (test.reason == "") {
				t.Errorf("error %v, want %q", err, test.reason)
			}
			if test.reason == gitops.Incomplete && err.Error() != missing.Error() {
				t.Errorf("error %q, want %q", err, missing)
			}
			if out.String() != test.want {
				t.Errorf("got %d bytes, want %d", out.Len(), len(test.want))
			}
		})
	}
}

// A daemon that dies in the middle of a bundle says nothing more: what came is
// not taken for whole, wherever it was cut.
func TestExportNoticesACut(t *testing.T) {
	answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Edgeagent-End\r\n\r\n4\r\nPACK\r\n0\r\nEdgeagent-End: done\r\n\r\n"
	whole := len(answer)
	for cut := range whole + 1 {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			buffer := make([]byte, 4096)
			if n, err := conn.Read(buffer); err == nil && n > 0 {
				io.WriteString(conn, answer[:cut]) //nolint:errcheck // the client has what it wants
			}
		}()
		var out bytes.Buffer
		err = localapi.NewClient(socket).Export(t.Context(), "fleet", &out)
		l.Close()
		if cut == whole && (err != nil || out.String() != "PACK") {
			t.Errorf("the whole bundle: %v, %q", err, out.String())
		}
		if cut < whole && err == nil {
			t.Errorf("a bundle cut after %d of %d bytes was taken", cut, whole)
		}
	}
}

// A bundle whose end is never said is not whole, even in a whole answer.
func TestExportNeedsTheEnd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "PACK") })} //nolint:errcheck // the same
	go server.Serve(l)                                                                                                            //nolint:errcheck // it is closed below
	defer server.Close()
	if err := localapi.NewClient(socket).Export(t.Context(), "fleet", io.Discard); gitops.ReasonOf(err) != gitops.NoAnswer {
		t.Errorf("error %v", err)
	}
}

// A peer that reads nothing must not keep the source's loop from its work.
func TestExportGivesUpOnAPeerThatDoesNotRead(t *testing.T) {
	ended := make(chan error, 1)
	c := &controller{status: twoSources()}
	socket := serveWith(t, localapi.Config{Controller: stuck{c, ended}, Patience: 20 * time.Millisecond})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "POST /v1/export?source=fleet HTTP/1.1\r\nHost: edgeagent\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the export ended with %v", err)
	}
}

// stuck exports for ever.
type stuck struct {
	*controller
	ended chan error
}

func (s stuck) Export(_ context.Context, _ string, w io.Writer) error {
	_, err := io.Copy(w, endless{})
	s.ended <- err
	return err
}

// What the disk of the person cannot take is not the daemon's fault.
func TestExportSaysWhatCannotBeWritten(t *testing.T) {
	client := localapi.NewClient(serve(t, &controller{status: twoSources(), pieces: []string{"PACK"}}))
	full := errors.New("no space left on device")
	err := client.Export(t.Context(), "fleet", broken{full})
	if !errors.Is(err, full) || gitops.ReasonOf(err) != "" {
		t.Errorf("error %v", err)
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestMetricsAreText(t *testing.T) {
	client := localapi.NewClient(serve(t, &controller{}))
	text, err := client.Metrics(t.Context())
	if err != nil || string(text) != "edgeagent_up 1\n" {
		t.Errorf("%q, %v", text, err)
	}
}
