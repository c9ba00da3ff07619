// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"path/filepath"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
)

// This file is what a scene does to its repository.

func (s *scene) write(path, content string) { s.t.Helper(); s.must(s.repo.Write(path, content)) }
func (s *scene) remove(path string) {
	s.t.Helper()
	if err := s.repo.Remove(path); err != nil {
		s.t.Logf("remove %s: %v", path, err)
	}
}

func (s *scene) commitBy(signer *gitserver.Signer, message string) gitops.Hash {
	s.t.Helper()
	hash, err := s.repo.Commit(s.ctx, message, signer)
	s.must(err)
	return gitops.Hash(hash)
}

func (s *scene) commit(message string) gitops.Hash {
	s.t.Helper()
	return s.commitBy(s.signer, message)
}
func (s *scene) commitUnsigned(message string) gitops.Hash {
	s.t.Helper()
	return s.commitBy(nil, message)
}

func (s *scene) pushAs(signer *gitserver.Signer, message string) gitops.Hash {
	s.t.Helper()
	head := s.commitBy(signer, message)
	s.must(s.repo.Push(s.ctx, false))
	return head
}

func (s *scene) push(message string) gitops.Hash         { s.t.Helper(); return s.pushAs(s.signer, message) }
func (s *scene) pushUnsigned(message string) gitops.Hash { s.t.Helper(); return s.pushAs(nil, message) }

// pushLocal updates the served repository; it does not need the server.
func (s *scene) pushLocal(message string) gitops.Hash { s.t.Helper(); return s.push(message) }

func (s *scene) forcePush(message string) gitops.Hash {
	s.t.Helper()
	head := s.commit(message)
	s.forcePushHead()
	return head
}

func (s *scene) forcePushHead()         { s.t.Helper(); s.must(s.repo.Push(s.ctx, true)) }
func (s *scene) resetTo(commit string)  { s.t.Helper(); s.must(s.repo.Reset(s.ctx, commit)) }
func (s *scene) branch(name string)     { s.t.Helper(); s.must(s.repo.Branch(s.ctx, name)) }
func (s *scene) checkout(branch string) { s.t.Helper(); s.must(s.repo.Checkout(s.ctx, branch)) }

func (s *scene) mergeAndPush(branch string) gitops.Hash {
	s.t.Helper()
	hash, err := s.repo.Merge(s.ctx, branch, s.signer)
	s.must(err)
	s.must(s.repo.Push(s.ctx, false))
	return gitops.Hash(hash)
}

func (s *scene) tag(name string, signer *gitserver.Signer) {
	s.t.Helper()
	s.must(s.repo.Tag(s.ctx, name, signer))
	s.must(s.repo.Push(s.ctx, false))
}

// stranger has a key that nobody allowed.
func (s *scene) stranger() *gitserver.Signer {
	s.t.Helper()
	stranger, err := gitserver.NewSigner(s.ctx, s.mkdir(filepath.Join("keys", "stranger")), "stranger@example.com")
	s.must(err)
	return stranger
}

func (s *scene) gitDown() { s.git.Stop() }
func (s *scene) gitUp()   { s.t.Helper(); s.must(s.git.Start()) }
