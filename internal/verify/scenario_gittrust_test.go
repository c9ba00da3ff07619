// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// A signature says what a commit holds, not where it stands: a host could show
// any branch under the name of another.
func TestGitTeleports(t *testing.T) {
	shownAs := func(ref string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			g.on("dev", g.root)
			return offered(g.commit("dan", g.boundTo(either(broken, ref, "refs/heads/main")), files{"apps/web.yaml": "a: 2\n"}))
		}
	}
	runGitScenarios(t, true, []gitScenario{
		{"git: dev shown as main", gitops.RefUnbound, shownAs("refs/heads/dev")},
		{"git: a tag's commit shown as main", gitops.RefUnbound, shownAs("refs/tags/main")},
		{"git: short name of the ref in the trailer", gitops.RefUnbound, shownAs("main")},
		{"git: main shown as dev", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", g.boundTo(either(broken, "refs/heads/main", "refs/heads/dev")), nil)
			o := offered(head)
			o.commit = gitops.Commit{Revision: gitops.NewRevision("dev", head), FullRef: "refs/heads/dev"}
			return o
		}},
		{"git: head that says no ref", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			return offered(g.commit("dan", either(broken, "change", g.forMain()), nil))
		}},
		{"git: head released in another repository", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			return offered(g.commit("dan", "change\n\n"+verify.RefTrailer(either(broken, emptyTree, g.root), "refs/heads/main"), nil))
		}},
		{"git: two trailers", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			message := either(broken, g.boundTo("refs/heads/dev"), g.boundTo("refs/heads/main"))
			if broken {
				message += "\n" + verify.RefTrailer(g.root, "refs/heads/main")
			}
			return offered(g.commit("dan", message, nil))
		}},
		{"git: trailer that is not at the end", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			message := g.forMain()
			if broken {
				message += "\n\nand more"
			}
			return offered(g.commit("dan", message, nil))
		}},
		{"git: release to stable by a developer", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			head := g.commit(either(broken, "dan", "alice"), g.boundTo("refs/heads/stable"), nil)
			o := offered(head)
			o.commit = gitops.Commit{Revision: gitops.NewRevision("stable", head), FullRef: "refs/heads/stable"}
			return o
		}},
		{"git: approval of another ref", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", "change", nil)
			ref := either(broken, "refs/heads/dev", "refs/heads/main")
			g.state("erin", verify.ApprovalRef(head, "erin"), head, verify.ApprovalMessage(g.root, ref, g.root, head))
			return offered(head)
		}},
		{"git: approval of another repository", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", "change", nil)
			g.state("erin", verify.ApprovalRef(head, "erin"), head, verify.ApprovalMessage(either(broken, emptyTree, g.root), "refs/heads/main", g.root, head))
			return offered(head)
		}},
		{"git: tag under a trust file by somebody who may not release", gitops.RefUnbound, func(g *gitWorld, broken bool) offer {
			g.git("checkout", "-q", string(g.root))
			head := g.commit("dan", "change", nil)
			g.as(either(broken, "dan", "alice"), "tag", "-s", "-m", "release", "stable", string(head))
			return offer{commit: onTag("stable", head, g.tagObject("stable", head)), blamed: head, config: tagMode}
		}},
	})
}

// What may become of a trust file.
func TestGitTrustFile(t *testing.T) {
	change := func(by string, content func(g *gitWorld, broken bool) string, approvals func(broken bool) []string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			head := g.commit(by, g.forMain(), files{trustYAML: content(g, broken)})
			g.approve(head, g.root, approvals(broken)...)
			return offered(head)
		}
	}
	version2 := func(g *gitWorld, _ bool) string { return g.trust(2, "") }
	enough := func(bool) []string { return []string{"alice", "bob"} }
	runGitScenarios(t, true, []gitScenario{
		{"git: trust file changed by a developer alone", gitops.NotApproved, change("dan", version2, func(broken bool) []string {
			return either(broken, nil, []string{"alice", "bob"})
		})},
		{"git: trust file changed with one root of two", gitops.NotApproved, change("dan", version2, func(broken bool) []string {
			return either(broken, []string{"alice"}, []string{"alice", "carol"})
		})},
		{"git: trust file changed with a root and a developer", gitops.NotApproved, change("dan", version2, func(broken bool) []string {
			return either(broken, []string{"alice", "erin"}, []string{"alice", "bob"})
		})},
		{"git: trust file of the same version", gitops.TrustRollback, change("dan", func(g *gitWorld, broken bool) string {
			return g.trust(either(broken, 1, 2), "revoked: []\n")
		}, enough)},
		{"git: trust file that does not parse", gitops.TrustFileRefused, change("dan", func(g *gitWorld, broken bool) string {
			return g.trust(2, either(broken, "unknown: field\n", ""))
		}, enough)},
		{"git: trust file of another repository", gitops.TrustFileRefused, change("dan", func(g *gitWorld, broken bool) string {
			return g.trust(2, "introduction: "+string(either(broken, emptyTree, g.root))+"\n")
		}, enough)},
		{"git: one key in two principals", gitops.TrustFileRefused, change("dan", func(g *gitWorld, broken bool) string {
			if !broken {
				return g.trust(2, "")
			}
			return strings.ReplaceAll(g.trust(2, ""), strings.TrimSpace(g.public["bob.pub"]), strings.TrimSpace(g.public["alice.pub"]))
		}, enough)},
		{"git: trust file taken away by git rm", gitops.TrustFileMissing, func(g *gitWorld, broken bool) offer {
			if broken {
				g.git("rm", "-q", trustYAML)
			}
			head := g.commit("dan", g.forMain(), nil)
			g.approve(head, g.root, "alice", "bob")
			return offered(head)
		}},
		{"git: trust file moved by git mv", gitops.TrustFileMissing, func(g *gitWorld, broken bool) offer {
			if broken {
				g.git("mv", trustYAML, "trust.yaml")
			}
			head := g.commit("dan", g.forMain(), nil)
			g.approve(head, g.root, "alice", "bob")
			return offered(head)
		}},
		{"git: trust file as a symbolic link", gitops.TrustFileRefused, func(g *gitWorld, broken bool) offer {
			path := filepath.Join(g.dir, trustYAML)
			if broken {
				if err := os.Rename(path, path+".real"); err != nil {
					g.t.Fatal(err)
				}
				if err := os.Symlink("trust.yaml.real", path); err != nil {
					g.t.Fatal(err)
				}
				g.git("add", "-A")
			}
			head := g.commit("dan", g.forMain(), nil)
			g.approve(head, g.root, "alice", "bob")
			return offered(head)
		}},
		{"git: a file in the place of the trust file's directory", gitops.TrustFileRefused, func(g *gitWorld, broken bool) offer {
			if broken {
				g.git("rm", "-q", trustYAML)
			}
			head := g.commit("dan", g.forMain(), files{either(broken, ".edgeagent", "apps/x.yaml"): "x\n"})
			g.approve(head, g.root, "alice", "bob")
			return offered(head)
		}},
		{"git: rotation reverted by git revert", gitops.TrustRollback, func(g *gitWorld, broken bool) offer {
			next := g.commit("dan", g.forMain(), files{trustYAML: g.trust(2, "")})
			g.approve(next, g.root, "alice", "bob")
			if broken {
				g.as("dan", "revert", "--no-edit", "-S", "HEAD")
			} else {
				g.commit("dan", g.forMain(), nil)
			}
			g.approve(g.head(), next, "alice", "bob", "dan")
			return offered(g.head())
		}},
		{"git: new roots that only the old ones approved", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			next := strings.Replace(g.trust(2, ""), "[alice, bob, carol], threshold: 2", "[dan, erin], threshold: 2", 1)
			head := g.commit("dan", g.forMain(), files{trustYAML: next})
			g.approve(head, g.root, "alice", "bob")
			if !broken {
				g.approve(head, g.root, "erin")
			}
			return offered(head)
		}},
		{"git: new roots that only the new ones approved", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			next := strings.Replace(g.trust(2, ""), "[alice, bob, carol], threshold: 2", "[dan, erin], threshold: 2", 1)
			head := g.commit("dan", g.forMain(), files{trustYAML: next})
			g.approve(head, g.root, "erin", either(broken, "carol", "alice"))
			if !broken {
				g.approve(head, g.root, "bob")
			}
			return offered(head)
		}},
		{"git: commit by a key that the new trust file took out", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			next := either(broken, strings.Replace(g.trust(2, ""), "[dan, erin, gone]", "[erin, gone]", 1), g.trust(2, ""))
			rotation := g.commit("erin", g.forMain(), files{trustYAML: next})
			g.approve(rotation, g.root, "alice", "bob")
			return offered(g.commit("dan", g.forMain(), nil)).after(rotation)
		}},
		{"git: older trust file than this node has accepted", gitops.TrustRollback, func(g *gitWorld, broken bool) offer {
			return offered(g.commit("dan", g.forMain(), nil)).with(remembers(verify.Remembered{TrustVersion: either(broken, 7, 1)}))
		}},
		{"git: signer of the node's files where a trust file is", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			return offered(g.commit(either(broken, "lost", "dan"), g.forMain(), nil)).with(func(c *verify.Config) { c.Revoked = "" })
		}},
		{"git: key beyond the principal's time", gitops.KeyExpired, func(g *gitWorld, broken bool) offer {
			return offered(g.commit(either(broken, "gone", "erin"), g.forMain(), nil))
		}},
	})
}

// The first trust file of a repository that began without one.
func TestGitFirstTrustFile(t *testing.T) {
	rooted := func(count int) func(*gitWorld) func(*verify.Config) {
		return func(g *gitWorld) func(*verify.Config) {
			return func(c *verify.Config) { c.Roots, c.RootThreshold = filepath.Join(g.keys, "roots"), count }
		}
	}
	runGitScenarios(t, false, []gitScenario{
		{"git: first trust file where nobody may make one", gitops.TrustFileRefused, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", "change", files{trustYAML: g.trust(1, "")})
			g.approve(head, g.root, "alice", "bob")
			o := offered(head)
			if !broken {
				o.config = rooted(2)(g)
			}
			return o
		}},
		{"git: first trust file that one root of two approved", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", "change", files{trustYAML: g.trust(1, "")})
			g.approve(head, g.root, either(broken, []string{"alice"}, []string{"alice", "bob"})...)
			return offered(head).with(rooted(2)(g))
		}},
		{"git: first trust file whose own roots did not agree", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			trust := strings.Replace(g.trust(1, ""), "[alice, bob, carol], threshold: 2", "[alice, bob, carol], threshold: 3", 1)
			head := g.commit("dan", "change", files{trustYAML: trust})
			g.approve(head, g.root, either(broken, []string{"alice", "bob"}, []string{"alice", "bob", "carol"})...)
			return offered(head).with(rooted(2)(g))
		}},
	})
}

// Protected paths, and what counts as an approval.
func TestGitApprovals(t *testing.T) {
	protected := func(approve func(g *gitWorld, broken bool, head gitops.Hash)) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", g.forMain(), files{"rbac/admin.yaml": "c: 2\n"})
			approve(g, broken, head)
			return offered(head)
		}
	}
	moved := func(move func(g *gitWorld)) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			move(g)
			g.git("add", "-A")
			head := g.commit("dan", g.forMain(), nil)
			g.approve(head, g.root, either(broken, []string{"alice"}, []string{"alice", "bob"})...)
			return offered(head)
		}
	}
	runGitScenarios(t, true, []gitScenario{
		{"git: protected file changed without approval", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			g.approve(head, g.root, either(broken, nil, []string{"alice", "bob"})...)
		})},
		{"git: protected file moved away", gitops.NotApproved, moved(func(g *gitWorld) { g.git("mv", "rbac/admin.yaml", "apps/admin.yaml") })},
		{"git: file moved to a protected directory", gitops.NotApproved, moved(func(g *gitWorld) { g.git("mv", "apps/web.yaml", "rbac/web.yaml") })},
		{"git: protected file made executable", gitops.NotApproved, moved(func(g *gitWorld) {
			if err := os.Chmod(filepath.Join(g.dir, "rbac/admin.yaml"), 0o700); err != nil {
				g.t.Fatal(err)
			}
		})},
		{"git: protected directory replaced by a link", gitops.NotApproved, moved(func(g *gitWorld) {
			g.git("rm", "-q", "-r", "rbac")
			if err := os.Symlink("apps", filepath.Join(g.dir, "rbac")); err != nil {
				g.t.Fatal(err)
			}
		})},
		{"git: approval that is not signed", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			g.approve(head, g.root, "alice")
			if !broken {
				g.approve(head, g.root, "bob")
				return
			}
			tag := strings.TrimPrefix(verify.ApprovalRef(head, "bob"), "refs/")
			g.as("bob", "tag", "-a", "-m", verify.ApprovalMessage(g.root, "refs/heads/main", g.root, head), tag, string(head))
			g.move("refs/tags/"+tag, "refs/"+tag)
		})},
		{"git: approval that is the commit itself", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			g.approve(head, g.root, "alice")
			if broken {
				g.git("update-ref", verify.ApprovalRef(head, "bob"), string(head))
			} else {
				g.approve(head, g.root, "bob")
			}
		})},
		{"git: approval shown for another commit", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			of := either(broken, g.root, head)
			g.approve(of, g.root, "alice", "bob")
			if broken {
				g.move(verify.ApprovalRef(of, "alice"), verify.ApprovalRef(head, "alice"))
				g.move(verify.ApprovalRef(of, "bob"), verify.ApprovalRef(head, "bob"))
			}
		})},
		{"git: approval from another parent", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			g.approve(head, either(broken, "", g.root), "alice", "bob")
		})},
		{"git: one approval under two names", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			message := verify.ApprovalMessage(g.root, "refs/heads/main", g.root, head)
			for _, as := range []string{"alice", "bob"} {
				g.state(either(broken, "alice", as), verify.ApprovalRef(head, as), head, message)
			}
		})},
		{"git: approval by a stranger", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			g.approve(head, g.root, "alice")
			g.state(either(broken, "mallory", "bob"), verify.ApprovalRef(head, "bob"), head, verify.ApprovalMessage(g.root, "refs/heads/main", g.root, head))
		})},
		{"git: approval by a root whose key is revoked", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			g.approve(head, g.root, "alice", "bob")
			files{"revoked": g.public[either(broken, "bob.pub", "carol.pub")]}.writeTo(g.t, g.keys)
		})},
		{"git: approval with a line more", gitops.NotApproved, protected(func(g *gitWorld, broken bool, head gitops.Hash) {
			g.approve(head, g.root, "alice")
			g.state("bob", verify.ApprovalRef(head, "bob"), head, verify.ApprovalMessage(g.root, "refs/heads/main", g.root, head)+either(broken, "Note: maybe\n", ""))
		})},
		{"git: approval of the version before it was amended", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", g.forMain(), files{"rbac/admin.yaml": "c: 2\n"})
			g.approve(head, g.root, "alice", "bob")
			if broken {
				files{"rbac/admin.yaml": "c: evil\n"}.writeTo(g.t, g.dir)
				g.as("dan", "commit", "-q", "-a", "--amend", "--no-edit", "-S")
			}
			return offered(g.head())
		}},
		{"git: approval whose key has expired", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", g.forMain(), files{"apps/web.yaml": "a: 2\n"})
			o := offered(head)
			guarded := strings.Replace(g.trust(1, ""), "{paths: [rbac/], approvals: 2, by: [root]}", "{paths: [apps/], approvals: 2, by: [developer]}", 1)
			g.on("main", g.root)
			files{trustYAML: guarded}.writeTo(g.t, g.dir)
			g.git("add", "-A")
			g.as("", "commit", "-q", "--amend", "--no-gpg-sign", "-m", "the introduction")
			g.root = g.head()
			head = g.commit("dan", g.forMain(), files{"apps/web.yaml": "a: 2\n"})
			g.approve(head, g.root, either(broken, "gone", "erin"))
			o.commit, o.blamed = onMain(head), head
			return o
		}},
	})
}
