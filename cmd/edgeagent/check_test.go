// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/pull"
)

func TestDoctorLooksAtEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := `apiVersion: edgeagent.dev/v1alpha1
kind: Config
cluster: {kubeconfig: ` + path + `}
sources:
- {name: a, url: "http://127.0.0.1/a", insecure: true, trust: {mode: none}}
- {name: b, url: "http://127.0.0.1/b", insecure: true, trust: {mode: none}}
- {name: c, url: "http://127.0.0.1/c", insecure: true, trust: {mode: none}}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := finding{"clock", lookGood, "", ""}
	p := probes{
		clock:   func() finding { return fine },
		disk:    func(string) finding { return fine },
		keys:    func(s config.Source) error { return map[string]error{"b": errors.New("no keys")}[s.Name] },
		cluster: func(context.Context, config.Config) (string, error) { return "v1.36", nil },
		daemon:  func(context.Context) (string, error) { return "", errors.New("away") },
		git: func(_ context.Context, _ config.Config, s config.Source) ([]pull.Probed, error) {
			refused := &gitops.Error{Reason: gitops.Auth, Message: "refused", Remedy: "check the password"}
			found := pull.Probed{URL: "http://127.0.0.1/m", Mirror: true, Client: "git v2", Tip: "1234567890"}
			list := pull.Probed{URL: "http://127.0.0.1/list", Mirror: true, Client: "static bundles"}
			switch s.Name {
			case "a":
				return []pull.Probed{{Err: refused}, {Mirror: true, Err: refused}}, nil
			case "b":
				return []pull.Probed{{Err: refused}, found, list}, nil
			}
			return nil, errors.New("no place")
		},
	}
	var got []string
	for _, f := range diagnose(t.Context(), path, p) {
		if f.Check != "configuration" {
			got = append(got, strings.Join([]string{f.Check, f.Result, f.Message, f.Remedy}, "|"))
		}
	}
	want := []string{
		"clock|good||", "clock|good||",
		"daemon|warning|away|",
		"cluster|good|it answers, version v1.36|",
		"keys of a|good|they can be read|",
		"git of a|failed|refused|check the password",
		"mirror of a|failed|refused|check the password",
		"keys of b|failed|no keys|",
		"git of b|warning|refused|check the password",
		"mirror of b|good|http://127.0.0.1/m names 1234567 (git v2)|",
		"mirror of b|good|http://127.0.0.1/list answers (static bundles)|",
		"keys of c|good|they can be read|",
		"git of c|failed|no place|",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClock(t *testing.T) {
	built := noon
	for _, test := range []struct {
		name         string
		now, built   time.Time
		synchronized bool
		want         string
	}{
		{"behind the build", noon.Add(-time.Hour), built, true, lookFailed},
		{"far ahead", noon.Add(11 * 365 * 24 * time.Hour), built, true, lookFailed},
		{"not confirmed", noon.Add(time.Hour), built, false, lookWarning},
		{"confirmed", noon.Add(time.Hour), built, true, lookGood},
		{"unknown build", noon, time.Time{}, true, lookGood},
	} {
		if got := lookAtClock(test.now, test.built, test.synchronized); got.Result != test.want {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// In every build: a floor that is not there would let any clock pass.
func TestProgramKnowsWhenItWasMade(t *testing.T) {
	if made := madeAt(); made.IsZero() || made.After(time.Now()) {
		t.Errorf("made at %s", made)
	}
}

func TestDisk(t *testing.T) {
	for _, test := range []struct {
		name   string
		free   int64
		inodes bool
		want   string
	}{
		{"room", 1 << 30, true, lookGood},
		{"little", 100 << 20, true, lookWarning},
		{"none", 10 << 20, true, lookFailed},
		{"no inodes", 1 << 30, false, lookFailed},
	} {
		if got := judgeDisk("/var", test.free, test.inodes); got.Result != test.want {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
	dir := t.TempDir()
	if at, err := nearest(filepath.Join(dir, "not", "yet")); err != nil || at != dir {
		t.Errorf("nearest = %s, %v", at, err)
	}
}
