// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

const (
	// benchCommits are as many as may be new at once.
	benchCommits = 10_000
	// benchGit is how many commits git log verifies beside them: it starts
	// ssh-keygen twice for each.
	benchGit = 100
)

// BenchmarkVerify10000Commits is a node that comes back after a long time.
func BenchmarkVerify10000Commits(b *testing.B) {
	m := memory{}
	ann := ed25519Key()
	root := m.commit(nil, 0)
	tip := root
	for i := range benchCommits {
		tip = m.commit(ann.sign, int64(i), tip)
	}
	cfg := benchConfig(b, ann, root)
	b.ResetTimer()
	for b.Loop() {
		v, err := verify.New(cfg, m)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Verify(b.Context(), onMain(tip), ""); err != nil {
			b.Fatal(err)
		}
	}
	perCommit(b, benchCommits)
}

// BenchmarkVerifyOneNewCommit is a node that follows its source.
func BenchmarkVerifyOneNewCommit(b *testing.B) {
	m, reads := memory{}, 0
	ann := ed25519Key()
	root := m.commit(nil, 0)
	tip := root
	for i := range benchCommits {
		tip = m.commit(ann.sign, int64(i), tip)
	}
	next := m.commit(ann.sign, benchCommits, tip)
	v, err := verify.New(benchConfig(b, ann, root), counted{m, &reads})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := v.Verify(b.Context(), onMain(tip), ""); err != nil {
		b.Fatal(err)
	}
	reads = 0
	b.ResetTimer()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), onMain(next), tip); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(reads)/float64(b.N), "objects/op")
}

// BenchmarkGitLogShowSignature is what git takes to verify such a history.
func BenchmarkGitLogShowSignature(b *testing.B) {
	r := newRepo(b)
	ann := ed25519Key()
	allowed := filepath.Join(b.TempDir(), "allowed_signers")
	writeFile(b, allowed, "ann@example.com "+ann.line()+"\n")
	tip := r.commit(nil)
	for range benchGit {
		tip = r.commit(ann.sign, tip)
	}
	r.git("cat-file", "-e", string(tip)) // everything is on disk
	b.ResetTimer()
	for b.Loop() {
		out := r.git("-c", "gpg.ssh.allowedSignersFile="+allowed, "log", "--format=%G?", "-"+strconv.Itoa(benchGit), string(tip))
		for i := 0; i < len(out); i += 2 {
			if out[i] != 'G' {
				b.Fatalf("git log says %q", out)
			}
		}
	}
	perCommit(b, benchGit)
}

func benchConfig(b *testing.B, ann sshKey, root gitops.Hash) verify.Config {
	b.Helper()
	allowed := filepath.Join(b.TempDir(), "allowed_signers")
	writeFile(b, allowed, "ann@example.com "+ann.line()+"\n")
	return verify.Config{Source: "fleet", Mode: verify.ModeHistory, Introduction: string(root), AllowedSigners: allowed,
		Now: func() time.Time { return now }, MaxCommits: benchCommits + 1}
}

func perCommit(b *testing.B, commits int) {
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*commits), "us/commit")
}
