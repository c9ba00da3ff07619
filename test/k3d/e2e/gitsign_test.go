// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

const issuer = "https://accounts.example.com"

// gitsigned commits as somebody does who signs with gitsign, and pushes.
func (c *crew) gitsigned(i *sigstore.Instance, subject, message string) gitops.Hash {
	c.t.Helper()
	c.commitUnsigned(message + fmt.Sprintf("\n\nEdgeagent-Ref: %s refs/heads/main", c.begin))
	c.must(i.Amend(sigstore.Signing{Issuer: issuer, Subject: subject}, "HEAD",
		func(args ...string) (string, error) { return c.repo.Git(c.ctx, args...) }))
	head, err := c.repo.Head(c.ctx)
	c.must(err)
	c.forcePushHead()
	return gitops.Hash(head)
}

// gitsignedHead: a developer has no key, but an identity that Sigstore vouches
// for. What they sign is applied without asking anybody; the same by another
// identity, or by theirs from another Sigstore, is not.
func gitsignedHead(s *scene) {
	i := sigstore.New(s.t)
	root := filepath.Join(s.dir, "trusted_root.json")
	s.must(os.WriteFile(root, i.TrustedRoot(), 0o600))
	s.source["trust"].(map[string]any)["sigstore"] = map[string]any{"trustedRoot": root}
	c := newCrew(s)
	c.local("trust", "add", "zoe", "sigstore:"+issuer+" zoe@example.com", "--role", "developer", "--introduction", string(c.begin))
	s.app("web:1")
	added := c.released(c.erin, "zoe is a developer")
	c.approve(added, c.alice, c.bob)
	s.start()
	s.ready(added)
	s.write("app/more.yaml", configMap(s.ns, "more", "1"))
	good := c.gitsigned(i, "zoe@example.com", "by zoe")
	s.ready(good)
	if got := s.configMap("more"); got != "1" {
		s.t.Errorf("more = %q, want 1", got)
	}

	for _, bad := range []struct {
		by      *sigstore.Instance
		subject string
		reason  gitops.Reason
	}{
		{i, "mallory@example.com", gitops.UnknownSigner},
		{sigstore.New(s.t), "zoe@example.com", gitops.BadSignature},
	} {
		s.resetTo(string(good))
		s.write("app/more.yaml", configMap(s.ns, "more", "2"))
		head := c.gitsigned(bad.by, bad.subject, "not by zoe")
		c.notTaken(head, head, bad.reason)
	}
	if got := s.configMap("more"); got != "1" {
		s.t.Errorf("more = %q after the refusals, want 1", got)
	}
	s.resetTo(string(good))
	s.write("app/more.yaml", configMap(s.ns, "more", "2"))
	s.ready(c.gitsigned(i, "zoe@example.com", "the same, by zoe"))
	if got := s.configMap("more"); got != "2" {
		s.t.Errorf("more = %q, want 2", got)
	}
}
