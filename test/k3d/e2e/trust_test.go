// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// refused brings a scene to a good revision, lets bad push something, and
// asserts the reason, the commit that is to blame, the revision that was
// offered, and that the API server saw no write at all.
func (s *scene) refused(bad func() (head, culprit gitops.Hash), reason gitops.Reason) {
	s.t.Helper()
	s.app("web:1")
	good := s.push("good")
	s.start()
	s.ready(good)
	before := len(s.writes())

	head, culprit := bad()
	st := s.sync()
	r := st.Refused
	if r == nil {
		s.fatalf("nothing was refused")
	}
	if r.Reason != reason || r.Revision.Hash() != head || r.Commit != culprit {
		s.t.Errorf("refused %s for %s because of commit %s (%s)\nwant %s for %s because of %s",
			r.Revision, r.Reason, r.Commit, r.Message, head, reason, culprit)
	}
	if c := st.Condition(gitops.ConditionVerified); c.Status != "False" || c.Reason != reason {
		s.t.Errorf("Verified = %+v, want False for %s", c, reason)
	}
	if c := st.Condition(gitops.ConditionReady); c.Status != "False" {
		s.t.Errorf("Ready = %+v, want False", c)
	}
	if st.Verified.Revision.Hash() != good || st.Applied.Revision.Hash() != good {
		s.t.Errorf("accepted %s and applied %s, want both to stay at %s", st.Verified.Revision.Short(), st.Applied.Revision.Short(), good.Short())
	}
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes after the refusal, want none: %v", n, s.writes()[before:])
	}
	if got := s.configMap("settings"); got != "1" {
		s.t.Errorf("settings = %q, want 1", got)
	}
}

func (s *scene) evil() {
	s.write("app/app.yaml", join(configMap(s.ns, "settings", "evil"), service(s.ns, "web"), deployment(s.ns, "web", "evil:1")))
}

func unsignedHead(s *scene) {
	s.refused(func() (head, culprit gitops.Hash) {
		s.evil()
		head = s.pushUnsigned("unsigned")
		return head, head
	}, gitops.Unsigned)
	// The same content, signed on top, is let through only when the unsigned
	// commit is not below it.
	s.resetTo("HEAD~1")
	s.evil()
	s.ready(s.forcePush("the same, signed"))
	if got := s.configMap("settings"); got != "evil" {
		s.t.Errorf("settings = %q, want the signed content", got)
	}
}

func unsignedInsideMerge(s *scene) {
	s.refused(func() (head, culprit gitops.Hash) {
		s.branch("side")
		s.write("app/side.yaml", configMap(s.ns, "side", "1"))
		culprit = s.commitUnsigned("unsigned on the side")
		s.checkout("main")
		s.write("app/main.yaml", configMap(s.ns, "main", "1"))
		s.commit("signed on main")
		return s.mergeAndPush("side"), culprit
	}, gitops.Unsigned)
}

func unknownSigner(s *scene) {
	s.refused(func() (head, culprit gitops.Hash) {
		s.evil()
		head = s.pushAs(s.stranger(), "signed by a stranger")
		return head, head
	}, gitops.UnknownSigner)
}

func forcePushBack(s *scene) {
	s.write("app/old.yaml", configMap(s.ns, "old", "1"))
	old := s.push("old")
	s.refused(func() (head, culprit gitops.Hash) {
		s.resetTo(string(old))
		s.forcePushHead()
		return old, old
	}, gitops.RolledBack)
}

// brokenRevocations breaks the file of revoked keys while the agent runs: the
// changed configuration is refused, and yet nothing new may be let through.
func brokenRevocations(s *scene) {
	revoked := filepath.Join(s.dir, "revoked")
	s.must(os.WriteFile(revoked, nil, 0o600))
	s.source["trust"].(map[string]any)["revoked"] = revoked
	s.refused(func() (head, culprit gitops.Hash) {
		s.must(os.WriteFile(revoked, []byte("not a key\n"), 0o600))
		s.eventually("the broken file to be noticed", func() bool {
			return strings.Contains(s.mustCLI("status", "-o", "json"), revoked)
		})
		s.evil()
		return s.push("signed, but who knows whether the key is revoked"), ""
	}, gitops.TrustMissing)
	s.must(os.WriteFile(revoked, nil, 0o600))
	s.eventually("the repaired file to be read", func() bool { return s.sync().Ready() })
	if got := s.configMap("settings"); got != "evil" {
		s.t.Errorf("settings = %q, want the commit to be let through after the repair", got)
	}
}

func tagMode(s *scene) {
	s.source["ref"] = map[string]any{"semver": ">=1.0.0"}
	s.source["trust"].(map[string]any)["mode"] = "tag"
	s.app("web:1")
	first := s.pushUnsigned("the tag is what is signed")
	s.tag("v1.0.0", s.signer)
	s.start()
	s.ready(first)
	before := len(s.writes())

	s.evil()
	head := s.pushUnsigned("with an unsigned tag")
	s.tag("v1.1.0", nil)
	st := s.sync()
	if r := st.Refused; r == nil || r.Reason != gitops.Unsigned || r.Revision.Hash() != head {
		s.fatalf("the unsigned tag was not refused for Unsigned at %s", head)
	}
	if n := len(s.writes()) - before; n != 0 || s.configMap("settings") != "1" {
		s.t.Errorf("%d writes, settings = %q; want none, 1", n, s.configMap("settings"))
	}
	s.tag("v1.2.0", s.signer)
	s.ready(head)
}
