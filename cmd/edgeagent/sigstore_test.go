// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/config"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

// The daemon, the doctor and verify --repo believe the same keyless signers.
func TestKeylessSignersReachEveryVerifier(t *testing.T) {
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(root, sigstore.New(t).TrustedRoot(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := config.DefaultSource()
	s.Name, s.Trust.Introduction = "fleet", config.FirstSeen
	s.Trust.Sigstore = config.Sigstore{Issuer: "https://accounts.example.com", Subject: "ann@example.com", TrustedRoot: root}
	want := verify.SigstoreConfig{Issuer: "https://accounts.example.com", Subject: "ann@example.com", TrustedRoot: root}
	if got := (&daemon{}).trust(s, config.FirstSeen).Sigstore; got != want {
		t.Errorf("the daemon verifies with %+v, want %+v", got, want)
	}
	if got := trustOf(s).Sigstore; got != want {
		t.Errorf("verify --repo verifies with %+v, want %+v", got, want)
	}
	keys := newProbes(&app{}).keys
	if err := keys(s); err != nil {
		t.Errorf("doctor: %v", err)
	}
	s.Trust.Sigstore.TrustedRoot += ".gone"
	if err := keys(s); err == nil || !strings.Contains(err.Error(), s.Trust.Sigstore.TrustedRoot) {
		t.Errorf("doctor says nothing of a missing trusted root: %v", err)
	}
}
