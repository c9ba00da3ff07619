// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/edgeagent/edgeagent/internal/pull"
)

// Credentials belong to one URL: a mirror elsewhere gets its own, or none.
func TestEachMirrorSeesItsOwnCredentials(t *testing.T) {
	secret := func(text string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var mu sync.Mutex
	seen := map[string][]string{}
	listen := func(name string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			seen[name] = append(seen[name], r.Header.Get("Authorization"))
			http.Error(w, "no", http.StatusUnauthorized)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	origin := listen("origin")
	cfg := config(origin + "/r.git")
	cfg.Auth = pull.Auth{UsernameFile: secret("anna"), PasswordFile: secret("secret of the origin")}
	theirs := pull.Auth{UsernameFile: secret("bob"), PasswordFile: secret("secret of the mirror")}
	cfg.Mirrors = []pull.Mirror{
		{URL: listen("own") + "/r.git", Auth: theirs},
		{URL: listen("own list") + "/list", Type: "bundles", Auth: theirs},
		{URL: listen("none") + "/r.git"},
		{URL: listen("no list") + "/list", Type: "bundles"},
		{URL: origin + "/copy.git"},
	}
	if _, err := pull.Probe(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for name, want := range map[string]string{
		"origin": basic("anna:secret of the origin"), "own": basic("bob:secret of the mirror"), "own list": basic("bob:secret of the mirror"),
		"none": "", "no list": "",
	} {
		mu.Lock()
		got := seen[name]
		mu.Unlock()
		if len(got) == 0 || slices.ContainsFunc(got, func(header string) bool { return header != want }) {
			t.Errorf("%s was shown %q, want %q", name, got, want)
		}
	}
}
