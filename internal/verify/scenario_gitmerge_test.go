// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// fork makes two lines from the introduction, and leaves the first checked out.
func (g *gitWorld) fork(ours, theirs files) (first, second gitops.Hash) {
	g.t.Helper()
	g.on("side", g.root)
	second = g.commit("erin", "on the side", theirs)
	g.on("main", g.root)
	return g.commit("dan", "on main\n\n"+g.forMain(), ours), second
}

// Merges by a forge's key, as a forge makes them with git.
func TestGitForgeMerges(t *testing.T) {
	ours, theirs := files{"apps/web.yaml": "ours\n"}, files{"clusters/n1/app.yaml": "theirs\n"}
	amended := func(change files) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			_, side := g.fork(ours, theirs)
			g.approve(side, g.root, "dan")
			head := g.merge("forge", g.forMain(), side)
			if broken {
				change.writeTo(g.t, g.dir)
				g.git("add", "-A")
				g.as("forge", "commit", "-q", "--amend", "--no-edit", "-S")
				head = g.head()
			}
			return offered(head)
		}
	}
	runGitScenarios(t, true, []gitScenario{
		{"git merge: side that nobody approved", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(ours, theirs)
			if !broken {
				g.approve(side, g.root, "dan")
			}
			return offered(g.merge("forge", g.forMain(), side))
		}},
		{"git merge: side approved before its last commit", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(ours, theirs)
			g.on("side", side)
			last := g.commit("erin", "and one more", files{"apps/more.yaml": "x\n"})
			g.approve(either(broken, side, last), either(broken, g.root, side), "dan")
			g.git("checkout", "-q", "main")
			return offered(g.merge("forge", g.forMain(), last))
		}},
		{"git merge: forge adds a file", gitops.MergerAuthored, amended(files{"apps/evil.yaml": "evil\n"})},
		{"git merge: forge changes a file", gitops.MergerAuthored, amended(files{"apps/web.yaml": "evil\n"})},
		{"git merge: forge takes one side only", gitops.MergerAuthored, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(ours, theirs)
			g.approve(side, g.root, "dan")
			if !broken {
				return offered(g.merge("forge", g.forMain(), side))
			}
			g.as("forge", "merge", "-q", "-s", "ours", "-S", "-m", g.forMain(), string(side))
			return offered(g.head())
		}},
		{"git merge: forge settles a conflict inside a file", gitops.MergerAuthored, func(g *gitWorld, broken bool) offer {
			g.on("main", g.root)
			long := strings.Repeat("line\n", 20)
			base := g.commit("dan", "a long file", files{"apps/web.yaml": long})
			g.on("side", base)
			side := g.commit("erin", "at the end", files{either(broken, "apps/web.yaml", "apps/other.yaml"): long + "theirs\n"})
			g.git("checkout", "-q", "main")
			g.commit("dan", "at the beginning\n\n"+g.forMain(), files{"apps/web.yaml": "ours\n" + long})
			g.approve(side, base, "dan")
			return offered(g.merge("forge", g.forMain(), side))
		}},
		{"git merge: octopus by a forge", gitops.MergerAuthored, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(ours, theirs)
			g.on("third", g.root)
			third := g.commit("erin", "third", files{"apps/third.yaml": "x\n"})
			g.approve(side, g.root, "dan")
			g.approve(third, g.root, "dan")
			g.git("checkout", "-q", "main")
			return offered(g.merge("forge", g.forMain(), either(broken, []gitops.Hash{side, third}, []gitops.Hash{side})...))
		}},
		{"git merge: criss-cross by a forge", gitops.MergerAuthored, func(g *gitWorld, broken bool) offer {
			first, side := g.fork(ours, theirs)
			a := g.merge("dan", "main takes the side\n\n"+g.forMain(), side)
			g.on("side", side)
			from := g.merge("erin", "the side takes main", first)
			b := g.commit("erin", "on", files{"apps/more.yaml": "x\n"})
			if !broken {
				g.on("side", side)
				from, b = side, g.commit("erin", "on", files{"apps/more.yaml": "x\n"})
			}
			g.approve(b, from, "dan")
			g.on("main", a)
			return offered(g.merge("forge", g.forMain(), b))
		}},
		{"git merge: squashed by a forge", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(ours, theirs)
			g.approve(side, g.root, "dan")
			g.git("merge", "-q", "--squash", string(side))
			return offered(g.commit(either(broken, "forge", "dan"), g.forMain(), nil))
		}},
		{"git merge: rebased by a forge", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			first, side := g.fork(ours, theirs)
			g.approve(side, g.root, "dan")
			g.git("checkout", "-q", string(side))
			g.as(either(broken, "forge", "dan"), "rebase", "-q", "-S", string(first))
			o := offered(g.head())
			g.approve(o.blamed, first, "erin")
			return o
		}},
	})
}

// Merges by people, who may write what they like and answer for it.
func TestGitMergesByPeople(t *testing.T) {
	without := func(g *gitWorld) string {
		return strings.Replace(g.trust(2, ""), "[dan, erin, gone]", "[dan, gone]", 1)
	}
	runGitScenarios(t, true, []gitScenario{
		{"git merge: branch of somebody who lost the role since", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			g.on("side", g.root)
			side := g.commit("erin", "on the side", files{"clusters/n1/app.yaml": "b: 2\n"})
			g.on("main", g.root)
			rotation := g.commit("dan", g.forMain(), files{trustYAML: either(broken, without(g), g.trust(2, ""))})
			g.approve(rotation, g.root, "alice", "bob")
			return offered(g.merge("dan", g.forMain(), side)).because(side).after(rotation)
		}},
		{"git merge: rotation merged by its side", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			g.on("side", g.root)
			rotation := g.commit("dan", g.forMain(), files{trustYAML: either(broken, without(g), g.trust(2, ""))})
			g.approve(rotation, g.root, "alice", "bob")
			g.on("main", g.root)
			g.commit("dan", g.forMain(), nil)
			merge := g.merge("dan", g.forMain(), rotation)
			g.approve(merge, g.root, "alice", "bob")
			head := g.commit("erin", g.forMain(), nil)
			return offered(head)
		}},
		{"git merge: evil merge below a protected path", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(files{"apps/web.yaml": "ours\n"}, files{"clusters/n1/app.yaml": "theirs\n"})
			g.merge("dan", g.forMain(), side)
			files{either(broken, "rbac/admin.yaml", "apps/more.yaml"): "c: 2\n"}.writeTo(g.t, g.dir)
			g.git("add", "-A")
			g.as("dan", "commit", "-q", "--amend", "--no-edit", "-S")
			return offered(g.head())
		}},
		{"git merge: protected change on the side that nobody approved", gitops.NotApproved, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(files{"apps/web.yaml": "ours\n"}, files{"rbac/admin.yaml": "c: 2\n"})
			g.approve(side, g.root, either(broken, []string{"alice"}, []string{"alice", "bob"})...)
			return offered(g.merge("dan", g.forMain(), side)).because(side)
		}},
		{"git merge: older trust file chosen in a merge", gitops.TrustRollback, func(g *gitWorld, broken bool) offer {
			g.on("side", g.root)
			side := g.commit("erin", "on the side", nil)
			g.on("main", g.root)
			rotation := g.commit("dan", g.forMain(), files{trustYAML: g.trust(2, "")})
			g.approve(rotation, g.root, "alice", "bob")
			g.merge("dan", g.forMain(), side)
			if broken {
				g.git("checkout", "-q", string(g.root), "--", trustYAML)
				g.as("dan", "commit", "-q", "--amend", "--no-edit", "-S")
			}
			g.approve(g.head(), rotation, "alice", "bob")
			return offered(g.head())
		}},
		{"git merge: signed tag merged, and the merge is not signed", gitops.Unsigned, func(g *gitWorld, broken bool) offer {
			_, side := g.fork(files{"apps/web.yaml": "ours\n"}, files{"clusters/n1/app.yaml": "theirs\n"})
			g.as("erin", "tag", "-s", "-m", "release", "v1", string(side))
			g.as("dan", "merge", "-q", "--no-ff", signs(either(broken, "", "dan")), "-m", g.forMain(), "v1")
			return offered(g.head())
		}},
	})
}

// What the roots say beside the commits.
func TestGitPublishedStatements(t *testing.T) {
	seal := func(g *gitWorld, commit gitops.Hash, names ...string) {
		for _, name := range names {
			g.state(name, verify.SealRef(commit, name), commit, verify.SealMessage(g.root, commit, now.Add(-time.Hour)))
		}
	}
	two, one := []string{"alice", "bob"}, []string{"alice"}
	revoked := func(list func(g *gitWorld, broken bool) string, names func(broken bool) []string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", g.forMain(), nil)
			g.published(list(g, broken), names(broken)...)
			return offered(head)
		}
	}
	dans := func(g *gitWorld, broken bool) string { return g.public[either(broken, "dan.pub", "erin.pub")] }
	runGitScenarios(t, true, []gitScenario{
		{"git: key that the roots revoked", gitops.KeyRevoked, revoked(dans, func(bool) []string { return two })},
		{"git: key that two roots revoked, not one", gitops.KeyRevoked, revoked(
			func(g *gitWorld, _ bool) string { return g.public["dan.pub"] },
			func(broken bool) []string { return either(broken, two, one) })},
		{"git: key that two roots revoked, not a root and a developer", gitops.KeyRevoked, revoked(
			func(g *gitWorld, _ bool) string { return g.public["dan.pub"] },
			func(broken bool) []string { return either(broken, two, []string{"alice", "erin"}) })},
		{"git: revocation that cannot be read", gitops.TrustMissing, func(g *gitWorld, broken bool) offer {
			head := g.commit("dan", g.forMain(), nil)
			g.published(either(broken, "no key\n", "# none\n"), two...)
			return offered(head).because("")
		}},
		{"git: key that was revoked and is no longer shown as such", gitops.KeyRevoked, func(g *gitWorld, broken bool) offer {
			line := strings.TrimSpace(g.public[either(broken, "dan.pub", "erin.pub")])
			return offered(g.commit("dan", g.forMain(), nil)).with(remembers(verify.Remembered{Revoked: []string{line}}))
		}},
		{"git: key that the offered trust file revokes", gitops.KeyRevoked, func(g *gitWorld, broken bool) offer {
			bad := g.commit("dan", "change", nil)
			line := strings.TrimSpace(g.public[either(broken, "dan.pub", "gone.pub")])
			head := g.commit("erin", g.forMain(), files{trustYAML: g.trust(2, "revoked: [\""+line+"\"]\n")})
			g.approve(head, bad, two...)
			return offered(head).because(bad)
		}},
		{"git: expired key below a seal of one root", gitops.KeyExpired, func(g *gitWorld, broken bool) offer {
			old := g.commit("gone", "when the key was good", nil)
			seal(g, old, either(broken, one, two)...)
			return offered(g.commit("dan", g.forMain(), nil)).because(old)
		}},
		{"git: revoked key above the sealed commit", gitops.KeyRevoked, func(g *gitWorld, broken bool) offer {
			below := g.commit("erin", "below", nil)
			bad := g.commit("dan", "by a stolen key", nil)
			seal(g, either(broken, below, bad), two...)
			g.published(g.public["dan.pub"], two...)
			return offered(g.commit("erin", g.forMain(), nil)).because(bad)
		}},
		{"git: seal of another repository", gitops.KeyExpired, func(g *gitWorld, broken bool) offer {
			old := g.commit("gone", "when the key was good", nil)
			for _, name := range two {
				g.state(name, verify.SealRef(old, name), old, verify.SealMessage(either(broken, emptyTree, g.root), old, now))
			}
			return offered(g.commit("dan", g.forMain(), nil)).because(old)
		}},
		{"git: head on top of what a stolen key made and the node accepted", gitops.KeyRevoked, func(g *gitWorld, broken bool) offer {
			g.commit("erin", g.forMain(), nil)
			bad := g.commit("dan", g.forMain(), files{"apps/web.yaml": "evil\n"})
			g.published(g.public["dan.pub"], two...)
			if !broken {
				g.git("reset", "-q", "--hard", "HEAD~1")
			}
			return offered(g.commit("erin", g.forMain(), nil)).because(bad).after(bad)
		}},
		{"git: clock eleven years beyond a seal", gitops.ClockUntrusted, func(g *gitWorld, broken bool) offer {
			old := g.commit("erin", g.forMain(), nil)
			seal(g, old, two...)
			head := g.commit("dan", g.forMain(), nil)
			ahead := now.AddDate(either(broken, 11, 9), 0, 0)
			return offered(head).with(both(clockAt(ahead), func(c *verify.Config) { c.Floor = now.AddDate(-1, 0, 0) }))
		}},
	})
}
