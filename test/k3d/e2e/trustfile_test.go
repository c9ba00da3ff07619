// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/test/k3d/gitserver"
	"github.com/edgeagent/edgeagent/test/k3d/node"
)

// crew is who works in a repository with a trust file: two roots of whom both
// decide, and two developers.
type crew struct {
	*scene
	alice, bob, dan, erin *gitserver.Signer
	begin                 gitops.Hash // the introduction, which holds the trust file
}

// newCrew makes the trust file in the commit where trust begins. Roles, role
// bindings and what lies below rbac/ take the approval of the roots.
func newCrew(s *scene) *crew {
	s.t.Helper()
	c := &crew{scene: s}
	for name, who := range map[string]**gitserver.Signer{"alice": &c.alice, "bob": &c.bob, "dan": &c.dan, "erin": &c.erin} {
		var err error
		*who, err = gitserver.NewSigner(s.ctx, s.mkdir("keys/"+name), name)
		s.must(err)
	}
	s.signer = c.dan
	s.write(".edgeagent/trust.yaml", c.trust(1, c.alice, c.bob, c.dan, c.erin))
	c.begin = s.push("where trust begins")
	s.source["trust"].(map[string]any)["introduction"] = string(c.begin)
	return c
}

// trust is a trust file with these people, the first two of whom are its roots.
func (c *crew) trust(version int, people ...*gitserver.Signer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: edgeagent.dev/v1alpha1\nkind: Trust\nversion: %d\nprincipals:\n", version)
	var names []string
	for _, p := range people {
		fmt.Fprintf(&b, "  %s: {ssh: [%q]}\n", p.Principal, p.PublicKey)
		names = append(names, p.Principal)
	}
	fmt.Fprintf(&b, "roles:\n  root: {principals: [%s], threshold: 2}\n  developer: {principals: [%s]}\n",
		strings.Join(names[:2], ", "), strings.Join(names[2:], ", "))
	b.WriteString("protected:\n- {kinds: [Role.rbac.authorization.k8s.io, RoleBinding.rbac.authorization.k8s.io], approvals: 1}\n- {paths: [rbac/], approvals: 2}\n")
	return b.String()
}

// released commits as a developer does who releases to main, and pushes.
func (c *crew) released(by *gitserver.Signer, message string) gitops.Hash {
	c.t.Helper()
	return c.pushAs(by, message+fmt.Sprintf("\n\nEdgeagent-Ref: %s refs/heads/main", c.begin))
}

// local runs a command of the agent on a developer's machine.
func (c *crew) local(args ...string) {
	c.t.Helper()
	args = append(args, "--repo", c.repo.Work)
	if r := node.Run(nil, edgeagentBinary, args...); r.Code != 0 {
		c.t.Fatalf("edgeagent %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
}

// approve has people approve a commit, and pushes what they signed.
func (c *crew) approve(commit gitops.Hash, who ...*gitserver.Signer) {
	c.t.Helper()
	for _, w := range who {
		c.local("approve", string(commit), "--key", w.KeyFile, "--introduction", string(c.begin))
	}
	c.pushStatements()
}

func (c *crew) pushStatements() {
	c.t.Helper()
	_, err := c.repo.Git(c.ctx, "push", "--quiet", "--force", "origin", "refs/edgeagent/*:refs/edgeagent/*")
	c.must(err)
}

// notTaken syncs and asserts that a head is refused, why and because of which
// commit, and that the API server saw no write.
func (c *crew) notTaken(head, culprit gitops.Hash, reason gitops.Reason) {
	c.t.Helper()
	before := len(c.writes())
	st := c.sync()
	if r := st.Refused; r == nil || r.Reason != reason || r.Revision.Hash() != head || r.Commit != culprit {
		c.fatalf("refused %+v\nwant %s for %s because of %s", st.Refused, head.Short(), reason, culprit.Short())
	}
	if v := st.Condition(gitops.ConditionVerified); v.Status != "False" || v.Reason != reason {
		c.t.Errorf("Verified = %+v, want False for %s", v, reason)
	}
	if n := len(c.writes()) - before; n != 0 {
		c.t.Errorf("%d writes, want none: %v", n, c.writes()[before:])
	}
}

func role(ns, name string) string {
	return fmt.Sprintf("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: %s, namespace: %s}\nrules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]\n", name, ns)
}

// unapprovedRBAC: a role in a file of an innocent name is found in what is
// rendered, one in a protected folder before that. Neither reaches the API
// server before the roots approved it.
func unapprovedRBAC(s *scene) {
	c := newCrew(s)
	s.app("web:1")
	good := c.released(c.dan, "good")
	s.start()
	s.ready(good)

	s.write("app/more.yaml", join(configMap(s.ns, "more", "1"), role(s.ns, "reader")))
	head := c.released(c.dan, "a config map, and a role")
	c.notTaken(head, head, gitops.NotApproved)
	if s.has("more") {
		s.t.Error("part of the refused revision is there")
	}
	// It is refused after a restart, too.
	s.stop()
	s.start()
	c.notTaken(head, head, gitops.NotApproved)
	// A root who signs on top of it does not stand for it.
	s.write("app/more.yaml", join(configMap(s.ns, "more", "2"), role(s.ns, "reader")))
	onTop := c.released(c.alice, "another value")
	c.notTaken(onTop, head, gitops.NotApproved)
	c.approve(head, c.bob)
	s.ready(onTop)
	if !s.has("more") {
		s.t.Error("the approved revision is not there")
	}

	s.write("rbac/note.txt", "who may do what\n")
	protected := c.released(c.erin, "below a protected path")
	c.notTaken(protected, protected, gitops.NotApproved)
	c.approve(protected, c.alice)
	c.notTaken(protected, protected, gitops.NotApproved)
	c.approve(protected, c.bob)
	s.ready(protected)
	// What was approved is trusted after a restart as it was before.
	s.stop()
	s.start()
	s.ready(protected)
	if st := s.status(); st.Condition(gitops.ConditionTrusted).Status == "False" {
		s.t.Errorf("Trusted = %+v after the restart", st.Condition(gitops.ConditionTrusted))
	}
}

// revokedWhileRunning: the roots publish that a developer's key was stolen. What
// it made is not trusted any more, and the cluster stays as it is, until somebody
// else releases a revision that does not build on it.
func revokedWhileRunning(s *scene) {
	c := newCrew(s)
	s.app("web:1")
	good := c.released(c.dan, "by a key that will be stolen")
	s.start()
	s.ready(good)
	before := len(s.writes())

	blob, err := s.repo.Git(s.ctx, "hash-object", "-w", c.dan.KeyFile+".pub")
	s.must(err)
	for _, by := range []*gitserver.Signer{c.alice, c.bob} {
		name := "edgeagent/revocations/1/" + by.Principal
		message := fmt.Sprintf("Edgeagent-Statement: revocation\nIntroduction: %s\nSequence: 1\nBlob: %s\n", c.begin, blob)
		_, err := s.repo.Git(s.ctx, "-c", "user.signingKey="+by.KeyFile, "tag", "-s", "--cleanup=verbatim", "-m", message, name, blob)
		s.must(err)
		_, err = s.repo.Git(s.ctx, "update-ref", "refs/"+name, "refs/tags/"+name)
		s.must(err)
		_, err = s.repo.Git(s.ctx, "update-ref", "-d", "refs/tags/"+name)
		s.must(err)
		c.pushStatements()
		st := s.sync()
		want := "True"
		if by == c.bob { // two roots are enough
			want = "False"
		}
		if t := st.Condition(gitops.ConditionTrusted); (t.Status == "False") != (want == "False") || want == "False" && t.Reason != gitops.KeyRevoked {
			s.fatalf("after %s signed the revocation: Trusted = %+v, want %s", by.Principal, t, want)
		}
	}
	if n := len(s.writes()) - before; n != 0 || s.configMap("settings") != "1" {
		s.t.Errorf("%d writes after the revocation, settings = %q; want none, 1", n, s.configMap("settings"))
	}

	// Another head on top of it is refused; one beside it is not.
	s.write("app/more.yaml", configMap(s.ns, "more", "1"))
	onTop := c.released(c.erin, "on top of it")
	c.notTaken(onTop, good, gitops.KeyRevoked)
	s.resetTo(string(c.begin))
	s.app("web:1")
	s.write("app/more.yaml", configMap(s.ns, "more", "2"))
	beside := s.commitBy(c.erin, fmt.Sprintf("beside it\n\nEdgeagent-Ref: %s refs/heads/main", c.begin))
	s.forcePushHead()
	s.ready(beside)
	if st := s.status(); st.Condition(gitops.ConditionTrusted).Status == "False" || s.configMap("more") != "2" {
		s.t.Errorf("Trusted = %+v, more = %q", st.Condition(gitops.ConditionTrusted), s.configMap("more"))
	}
}

// rotatedTrustFile: a developer cannot change the trust file; the roots together
// can, and whom it takes out cannot release any more. The old file does not come
// back.
func rotatedTrustFile(s *scene) {
	c := newCrew(s)
	s.app("web:1")
	good := c.released(c.dan, "good")
	s.start()
	s.ready(good)

	without := c.trust(2, c.alice, c.bob, c.erin)
	s.write(".edgeagent/trust.yaml", without)
	rotation := c.released(c.erin, "without dan")
	c.notTaken(rotation, rotation, gitops.NotApproved)
	c.approve(rotation, c.alice)
	c.notTaken(rotation, rotation, gitops.NotApproved)
	c.approve(rotation, c.bob)
	s.ready(rotation)

	s.write("app/more.yaml", configMap(s.ns, "more", "1"))
	late := c.released(c.dan, "by somebody who has left")
	c.notTaken(late, late, gitops.UnknownSigner)
	s.resetTo(string(rotation))
	s.write("app/more.yaml", configMap(s.ns, "more", "1"))
	next := s.commitBy(c.erin, fmt.Sprintf("the same\n\nEdgeagent-Ref: %s refs/heads/main", c.begin))
	s.forcePushHead()
	s.ready(next)

	s.write(".edgeagent/trust.yaml", c.trust(1, c.alice, c.bob, c.dan, c.erin))
	old := c.released(c.erin, "the trust file as it was")
	c.approve(old, c.alice, c.bob)
	c.notTaken(old, old, gitops.TrustRollback)
	if got := s.configMap("more"); got != "1" {
		s.t.Errorf("more = %q, want 1", got)
	}
}

// teleportedBranch: a branch that was released as dev is not main.
func teleportedBranch(s *scene) {
	c := newCrew(s)
	s.app("web:1")
	good := c.released(c.dan, "good")
	s.start()
	s.ready(good)

	s.evil()
	head := s.pushAs(c.dan, fmt.Sprintf("for dev\n\nEdgeagent-Ref: %s refs/heads/dev", c.begin))
	c.notTaken(head, head, gitops.RefUnbound)
	c.approve(head, c.erin)
	s.ready(head)
	if s.configMap("settings") != "evil" {
		s.t.Errorf("settings = %q, want the approved content", s.configMap("settings"))
	}
}
