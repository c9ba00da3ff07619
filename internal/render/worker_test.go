// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/render"
)

const chartFile = "apiVersion: v2\nname: c\nversion: 0.1.0\n"

func chart(template string) map[string]string {
	return map[string]string{"Chart.yaml": chartFile, "templates/a.yaml": template}
}

// TestHostileRevisionKillsTheWorkerOnly: each of these takes a process down,
// past any recover. The renderer says what it died of and renders the next
// revision.
func TestHostileRevisionKillsTheWorkerOnly(t *testing.T) {
	double := `{{ $x := "xxxxxxxxxxxxxxxx" }}` + strings.Repeat(`{{ $x = print $x $x }}`, 40) + `{{ $x }}`
	list := `{{ $l := list 1 2 3 4 5 6 7 8 }}` + strings.Repeat(`{{ $l = concat $l $l $l $l }}`, 20) + `{{ len $l }}`
	inner := `{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}`
	with := func(files map[string]string, name, content string) map[string]string {
		files[name] = content
		return files
	}
	bomb := "a0: &a0 [x, x]\n"
	for i := range 40 {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	for _, c := range []struct {
		name    string
		files   map[string]string
		memory  int64
		timeout time.Duration
		want    string
	}{
		{"doubling text", chart(double), 128 << 20, time.Minute, "more than 128 MiB of memory"},
		{"growing list", chart(list), 128 << 20, time.Minute, "more than 128 MiB of memory"},
		{"nested loops", chart(inner), 512 << 20, 2 * time.Second, "it took longer than 2s"},
		{"repeat inside repeat", chart(`{{ range until 100000 }}{{ repeat 1000000 "x" }}{{ end }}`), 128 << 20, time.Minute, "more than 128 MiB of memory"},
		{"range over a number", chart(`{{ range 1000000000000 }}{{ end }}`), 512 << 20, 2 * time.Second, "it took longer than 2s"},
		{"schema of itself", with(chart(""), "values.schema.json", `{"$ref":"#"}`), 128 << 20, 20 * time.Second, ""},
		{"deep schema", with(chart(""), "values.schema.json", strings.Repeat(`{"not":`, 100_000)+"{}"+strings.Repeat("}", 100_000)), 128 << 20, 20 * time.Second, ""},
		{"brackets", map[string]string{"a.yaml": strings.Repeat("[", 1<<20)}, 256 << 20, 20 * time.Second, ""},
		{"brackets in a kustomization", map[string]string{"kustomization.yaml": strings.Repeat("{a: ", 200_000)}, 256 << 20, 20 * time.Second, ""},
		{"brackets in values", with(chart(""), "values.yaml", strings.Repeat("[", 1<<20)), 256 << 20, 20 * time.Second, ""},
		{"alias bomb in values", with(chart("{{ toYaml .Values }}"), "values.yaml", bomb), 128 << 20, 20 * time.Second, ""},
		{"tpl inside tpl", chart(`{{ define "t" }}{{ tpl "{{ include \"t\" . }}" . }}{{ end }}{{ include "t" . }}`), 128 << 20, 20 * time.Second, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := store{}
			hostile, good := s.tree(c.files), s.tree(map[string]string{"a.yaml": fmt.Sprintf(configMap, "a")})
			r := renderer(t, render.Config{MemoryLimit: c.memory, Timeout: c.timeout}, s)
			_, err := r.RenderTree(t.Context(), hostile, cluster)
			if c.want == "" {
				t.Log(err) // it may end in either way, but it ends
				if err == nil {
					t.Fatal("it rendered")
				}
			} else if gitops.ReasonOf(err) != gitops.WorkerFailed || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %q (%v), want WorkerFailed that says %q", gitops.ReasonOf(err), err, c.want)
			}
			if _, err := r.RenderTree(t.Context(), good, cluster); err != nil {
				t.Errorf("the next revision fails too: %v", err)
			}
		})
	}
}

// TestWorkerRunsOutOfProcessorTime: the kernel stops a template that loops,
// however long the timeout is.
func TestWorkerRunsOutOfProcessorTime(t *testing.T) {
	s := store{}
	root := s.tree(chart(`{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}`))
	r := renderer(t, render.Config{Timeout: time.Hour}, s)
	r.LimitCPU(1)
	_, err := r.RenderTree(t.Context(), root, cluster)
	if gitops.ReasonOf(err) != gitops.WorkerFailed || !strings.Contains(err.Error(), "more than 1 s of processor time") {
		t.Errorf("got %v, want WorkerFailed for processor time", err)
	}
}

func TestLargeInput(t *testing.T) {
	big := func(n int) string {
		return fmt.Sprintf(configMap, "big") + "data:\n" + strings.Repeat("  k: "+strings.Repeat("x", 1000)+"\n", n)
	}
	nodes := fmt.Sprintf(configMap, "many") + "data: {l: [" + strings.Repeat("1,", 250_000) + "1]}\n"
	braces := fmt.Sprintf(configMap, "many") + "data: {l: [" + strings.Repeat("{},", 300_000) + "{}]}\n"
	many := map[string]string{}
	for i := range 2_001 {
		many[fmt.Sprintf("%d.yaml", i)] = fmt.Sprintf(configMap, fmt.Sprint("m", i))
	}
	files := map[string]string{}
	for i := range 21_000 {
		files[fmt.Sprintf("d%d/%d.txt", i%100, i)] = ""
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  gitops.Reason
	}{
		"a manifest of 10 MB":      {map[string]string{"a.yaml": big(10_000)}, gitops.TooLarge},
		"a document over 1 MiB":    {map[string]string{"a.yaml": big(1_100)}, gitops.TooLarge},
		"too many nodes":           {map[string]string{"a.yaml": nodes}, gitops.TooLarge},
		"too many empty maps":      {map[string]string{"a.yaml": braces}, gitops.TooLarge},
		"9 MiB in many files":      {map[string]string{"a.yaml": big(900), "b.yaml": big(900), "c.yaml": big(900), "d.yaml": big(900), "e.yaml": big(900), "f.yaml": big(900), "g.yaml": big(900), "h.yaml": big(900), "i.yaml": big(900), "j.yaml": big(900)}, gitops.TooLarge},
		"2001 objects":             {many, gitops.TooManyObjects},
		"21000 files":              {files, gitops.TooLarge},
		"output beyond its limit":  {chart(`{{ range $i := until 1700 }}{{ printf "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m%d}\ndata: {x: %s}\n" $i (repeat 10000 "x") }}{{ end }}`), gitops.TooLarge},
		"a kustomization over all": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": big(1_100)}, gitops.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			s := store{}
			_, err := renderer(t, render.Config{}, s).RenderTree(t.Context(), s.tree(c.files), cluster)
			if got := gitops.ReasonOf(err); got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

// TestBadWorker: what a worker that was taken over could say. Nothing of it
// reaches the agent but an error.
func TestBadWorker(t *testing.T) {
	s := store{}
	root := s.tree(map[string]string{"a.yaml": fmt.Sprintf(configMap, "a")})
	says := func(message string) string {
		n := len(message)
		return fmt.Sprintf(`printf '\%03o\%03o\%03o\%03o%s'; `, n>>24, n>>16&255, n>>8&255, n&255, message)
	}
	for name, c := range map[string]struct{ script, want string }{
		"exits at once":      {"exit 3", "it broke off"},
		"prints and exits":   {"echo panic: oh no >&2; exit 2", "it died: panic: oh no"},
		"frame of 4 GiB":     {`printf '\377\377\377\377'; exec sleep 60`, "4294967295"},
		"no JSON":            {says("x") + "exec sleep 60", "invalid character"},
		"unknown question":   {says(`{"op":"write"}`) + "exec sleep 60", `the worker asks for "write"`},
		"list of many":       {says(`{"op":"list","paths":["a","b"]}`) + "exec sleep 60", `the worker asks for "list"`},
		"path outside":       {says(`{"op":"read","paths":["../secret"]}`) + "exec sleep 60", "not a path inside the repository"},
		"absolute path":      {says(`{"op":"stat","paths":["/etc/shadow"]}`) + "exec sleep 60", "not a path inside the repository"},
		"path with dots":     {says(`{"op":"read","paths":["a/../../b"]}`) + "exec sleep 60", "not a path inside the repository"},
		"no objects":         {says(`{"answer":{"bundles":1}}`) + "exec sleep 60", "1 bundles with 0 objects"},
		"negative objects":   {says(`{"answer":{"bundles":1,"objects":-1}}`) + "exec sleep 60", "-1 objects"},
		"too many objects":   {says(`{"answer":{"bundles":1,"objects":2001}}`) + "exec sleep 60", "2001 objects"},
		"too many bundles":   {says(`{"answer":{"bundles":201,"objects":1}}`) + "exec sleep 60", "201 bundles"},
		"large bundle":       {says(`{"answer":{"bundles":1,"objects":1}}`) + `printf '\0\2\0\0'; exec sleep 60`, "131072 bytes where at most 65536"},
		"large object":       {says(`{"answer":{"bundles":1,"objects":1}}`) + says("{}") + says("{}") + `printf '\2\0\0\0'; exec sleep 60`, "at most 16777216"},
		"ends in the middle": {says(`{"answer":{"bundles":1,"objects":1}}`) + says("{}") + "exit 0", "it broke off"},
		"closes and hangs":   {"exec >&-; sleep 60", "it took longer than"},
		"kills itself":       {"kill -9 $$", "it was killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := render.RunProcess(t.Context(), []string{"/bin/sh", "-c", c.script}, 128<<20, 5*time.Second, s, root)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
}

func TestCancelledRenderingIsNoFailure(t *testing.T) {
	s := store{}
	root := s.tree(chart(`{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}{{ end }}`))
	ctx, cancel := context.WithCancel(t.Context())
	r := renderer(t, render.Config{}, cancelling{s, cancel})
	if _, err := r.RenderTree(ctx, root, cluster); !errors.Is(err, context.Canceled) || gitops.ReasonOf(err) != "" {
		t.Errorf("got %v, want the context's error", err)
	}
}

// cancelling ends the context when the chart's template has been read.
type cancelling struct {
	store
	cancel func()
}

func (c cancelling) Object(ctx context.Context, id gitops.Hash) (gitops.ObjectKind, []byte, error) {
	kind, data, err := c.store.Object(ctx, id)
	if strings.HasPrefix(string(data), "{{ range") {
		c.cancel()
	}
	return kind, data, err
}

// TestWorkerSeesNothingOfTheAgent: no variable of its environment, and the
// limits hold before the worker has read anything.
func TestWorkerSeesNothingOfTheAgent(t *testing.T) {
	t.Setenv("EDGEAGENT_TEST_SECRET", "hunter2")
	s := store{}
	root := s.tree(map[string]string{"a.yaml": fmt.Sprintf(configMap, "a")})
	for script, want := range map[string]string{
		`echo "x$EDGEAGENT_TEST_SECRET$HOME$PATH_x"`:                      "it died: x;",
		`head -c4 >/dev/null; echo "data $(ulimit -d)"`:                   "it died: data 131072;",
		`head -c4 >/dev/null; echo "files $(ulimit -n)"`:                  "it died: files 16;",
		`head -c4 >/dev/null; echo "core $(ulimit -c)"`:                   "it died: core 0;",
		`head -c4 >/dev/null; echo "cpu $(ulimit -t)"`:                    "it died: cpu 5;",
		`head -c4 >/dev/null; echo "oom $(cat /proc/self/oom_score_adj)"`: "it died: oom 1000;",
	} {
		err := render.RunProcess(t.Context(), []string{"/bin/sh", "-c", "{ " + script + "; } >&2; exit 1"}, 128<<20, 5*time.Second, s, root)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", script, err, want)
		}
	}
}

// TestConfinedProcessCanOpenNothing runs this program as a worker that tries.
func TestConfinedProcessCanOpenNothing(t *testing.T) {
	out, err := exec.Command(os.Args[0], "confined").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"open: open /dev/null: too many open files", "socket: too many open files", "exec: "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it says %q, want %q", out, want)
		}
	}
	if strings.Contains(string(out), "<nil>") {
		t.Errorf("something worked: %s", out)
	}
}
