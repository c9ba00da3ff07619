// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// What a repository without a trust file can be made to show: the node's own
// files say who may sign.
func TestGitHistoryUnderTheNodesFiles(t *testing.T) {
	signed := func(by string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			return offered(g.commit(either(broken, by, "dan"), "change", files{"apps/web.yaml": "a: 2\n"}))
		}
	}
	middle := func(by string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			g.commit("dan", "before", nil)
			bad := g.commit(either(broken, by, "erin"), "in the middle", files{"apps/web.yaml": "a: 2\n"})
			return offered(g.commit("dan", "after", nil)).because(bad)
		}
	}
	side := func(by string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			g.on("side", g.root)
			bad := g.commit(either(broken, by, "erin"), "on the side", files{"clusters/n1/app.yaml": "b: 2\n"})
			g.on("main", g.root)
			accepted := g.commit("dan", "on main", files{"apps/web.yaml": "a: 2\n"})
			return offered(g.merge("dan", "merge", bad)).because(bad).after(accepted)
		}
	}
	runGitScenarios(t, false, []gitScenario{
		{"git: head committed without -S", gitops.Unsigned, signed("")},
		{"git: head signed by a stranger", gitops.UnknownSigner, signed("mallory")},
		{"git: head signed by a revoked key", gitops.KeyRevoked, signed("lost")},
		{"git: head signed by an expired key", gitops.KeyExpired, signed("gone")},
		{"git: unsigned commit in the middle", gitops.Unsigned, middle("")},
		{"git: stranger's commit in the middle", gitops.UnknownSigner, middle("mallory")},
		{"git: unsigned commit on the side of a merge", gitops.Unsigned, side("")},
		{"git: stranger's commit on the side of a merge", gitops.UnknownSigner, side("mallory")},
		{"git: revoked key on the side of a merge", gitops.KeyRevoked, side("lost")},
		{"git: merge commit that nobody signed", gitops.Unsigned, func(g *gitWorld, broken bool) offer {
			g.on("side", g.root)
			other := g.commit("erin", "on the side", nil)
			g.on("main", g.root)
			g.commit("dan", "on main", nil)
			return offered(g.merge(either(broken, "", "dan"), "merge", other))
		}},
		{"git: unsigned commit behind an octopus's third parent", gitops.Unsigned, func(g *gitWorld, broken bool) offer {
			g.on("one", g.root)
			one := g.commit("erin", "one", files{"apps/one.yaml": "1\n"})
			g.on("two", g.root)
			two := g.commit(either(broken, "", "erin"), "two", files{"apps/two.yaml": "2\n"})
			g.on("main", g.root)
			g.commit("dan", "on main", files{"apps/web.yaml": "a: 2\n"})
			return offered(g.merge("dan", "octopus", one, two)).because(two)
		}},
		{"git: unsigned orphan merged in", gitops.Unsigned, func(g *gitWorld, broken bool) offer {
			g.git("checkout", "-q", "--orphan", "alien")
			alien := g.commit(either(broken, "", "erin"), "another beginning", nil)
			g.on("main", g.root)
			g.as("dan", "merge", "-q", "-S", "--allow-unrelated-histories", "-m", "merge", string(alien))
			return offered(g.head()).because(alien)
		}},
		{"git: amended without -S", gitops.Unsigned, func(g *gitWorld, broken bool) offer {
			g.commit("dan", "change", files{"apps/web.yaml": "a: 2\n"})
			g.as("dan", "commit", "-q", "--amend", "--no-edit", signs(either(broken, "", "dan")))
			return offered(g.head())
		}},
		{"git: revert without -S", gitops.Unsigned, func(g *gitWorld, broken bool) offer {
			g.commit("dan", "change", files{"apps/web.yaml": "a: 2\n"})
			g.as("dan", "revert", "--no-edit", signs(either(broken, "", "dan")), "HEAD")
			return offered(g.head())
		}},
		{"git: signed commit picked by a stranger", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			g.on("side", g.root)
			picked := g.commit("dan", "change", files{"apps/web.yaml": "a: 2\n"})
			g.on("main", g.root)
			g.as(either(broken, "mallory", "erin"), "cherry-pick", "-S", "--allow-empty", string(picked))
			g.as(either(broken, "mallory", "erin"), "commit", "-q", "--amend", "-S", "-m", "picked")
			return offered(g.head())
		}},
		{"git: rebased by a stranger", gitops.UnknownSigner, func(g *gitWorld, broken bool) offer {
			g.on("side", g.root)
			g.commit("dan", "change", files{"apps/web.yaml": "a: 2\n"})
			g.on("main", g.root)
			onto := g.commit("dan", "on main", nil)
			g.git("checkout", "-q", "side")
			g.as(either(broken, "mallory", "erin"), "rebase", "-q", "-S", string(onto))
			return offered(g.head())
		}},
		{"git: commit encoded as Latin-1", gitops.MalformedCommit, func(g *gitWorld, broken bool) offer {
			encoding := either(broken, "ISO-8859-1", "UTF-8")
			g.as("dan", "-c", "i18n.commitEncoding="+encoding, "commit", "-q", "--allow-empty", "-S", "-m", "caf\xc3\xa9")
			return offered(g.head())
		}},
		{"git: shallow clone", gitops.Incomplete, func(g *gitWorld, broken bool) offer {
			first := g.commit("dan", "first", nil)
			head := g.commit("dan", "second", nil)
			if broken {
				g.remove(first)
			}
			return offered(head).because(first)
		}},
		{"git: key moved to the list of revoked keys by its fingerprint", gitops.KeyRevoked, func(g *gitWorld, broken bool) offer {
			o := offered(g.commit("dan", "change", nil))
			print := run(g.t.(*testing.T), "ssh-keygen", "-l", "-f", filepath.Join(g.keys, either(broken, "dan.pub", "erin.pub")))
			files{"revoked": fieldOf(print, 1) + "\n"}.writeTo(g.t, g.keys)
			return o
		}},
	})
}

// Dates in commits are what their author likes.
func TestGitDates(t *testing.T) {
	dated := func(date, by string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			g.env = []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date}
			head := g.commit(either(broken, by, "dan"), "change", nil)
			if broken && by == "gone" && date < "2026" {
				// Git calls it good: it judges the key at the date in the commit.
				g.git("-c", "gpg.ssh.allowedSignersFile="+filepath.Join(g.keys, "allowed_signers"), "verify-commit", string(head))
			}
			return offered(head)
		}
	}
	at := func(build func(*gitWorld, bool) offer, clock time.Time) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer { return build(g, broken).with(clockAt(clock)) }
	}
	runGitScenarios(t, false, []gitScenario{
		{"git: expired key and a commit dated back", gitops.KeyExpired, dated("2023-05-05T12:00:00Z", "gone")},
		{"git: revoked key and a commit dated back", gitops.KeyRevoked, dated("2001-05-05T12:00:00Z", "lost")},
		{"git: revoked key and a commit dated ahead", gitops.KeyRevoked, dated("2039-05-05T12:00:00Z", "lost")},
		{"git: expired key and a commit dated ahead", gitops.KeyExpired, dated("2039-05-05T12:00:00Z", "gone")},
		{"git: revoked key, and the clock is five years back", gitops.KeyRevoked, at(dated("2026-05-05T12:00:00Z", "lost"), now.AddDate(-5, 0, 0))},
		{"git: revoked key, and the clock is in 1970", gitops.KeyRevoked, at(dated("2026-05-05T12:00:00Z", "lost"), time.Unix(60, 0))},
		{"git: revoked key, and the clock is in 2040", gitops.KeyRevoked, at(dated("2026-05-05T12:00:00Z", "lost"), now.AddDate(14, 0, 0))},
		{"git: expired key, and the clock is behind the time of the build", gitops.KeyExpired, func(g *gitWorld, broken bool) offer {
			o := offered(g.commit(either(broken, "gone", "dan"), "change", nil))
			return o.with(both(clockAt(time.Unix(60, 0)), func(c *verify.Config) { c.Floor = now }))
		}},
	})
}

// What a host can do to a ref.
func TestGitRefsThatAHostMoves(t *testing.T) {
	runGitScenarios(t, false, []gitScenario{
		{"git: reset --hard to an older commit", gitops.RolledBack, func(g *gitWorld, broken bool) offer {
			g.commit("dan", "one", nil)
			accepted := g.commit("dan", "two", nil)
			if broken {
				g.git("reset", "-q", "--hard", "HEAD~1")
			}
			return offered(g.head()).after(accepted)
		}},
		{"git: reset --hard to the introduction", gitops.RolledBack, func(g *gitWorld, broken bool) offer {
			accepted := g.commit("dan", "one", nil)
			if broken {
				g.git("reset", "-q", "--hard", string(g.root))
			}
			return offered(g.head()).after(accepted)
		}},
		{"git: mirror that is behind", gitops.RolledBack, func(g *gitWorld, broken bool) offer {
			mirror := filepath.Join(g.t.TempDir(), "mirror")
			g.commit("dan", "one", nil)
			g.git("clone", "-q", "--mirror", g.dir, mirror)
			accepted := g.commit("dan", "two", nil)
			if !broken {
				g.git("--git-dir", mirror, "fetch", "-q")
			}
			return offered(gitops.Hash(g.git("--git-dir", mirror, "rev-parse", "main"))).after(accepted)
		}},
		{"git: force-push of an amended commit", gitops.Fork, func(g *gitWorld, broken bool) offer {
			accepted := g.commit("dan", "one", files{"apps/web.yaml": "a: 2\n"})
			if broken {
				g.as("dan", "commit", "-q", "--amend", "-S", "-m", "another one")
			}
			return offered(g.head()).after(accepted)
		}},
		{"git: force-push of a rebased branch", gitops.Fork, func(g *gitWorld, broken bool) offer {
			accepted := g.commit("dan", "one", files{"apps/web.yaml": "a: 2\n"})
			if broken {
				g.on("other", g.root)
				onto := g.commit("erin", "below it", files{"apps/one.yaml": "1\n"})
				g.git("checkout", "-q", "main")
				g.as("dan", "rebase", "-q", "-S", string(onto))
			}
			return offered(g.head()).after(accepted)
		}},
		{"git: orphan branch in the place of main", gitops.Fork, func(g *gitWorld, broken bool) offer {
			accepted := g.commit("dan", "one", nil)
			if broken {
				g.git("checkout", "-q", "--orphan", "fresh")
			}
			return offered(g.commit("dan", "two", nil)).after(accepted)
		}},
		{"git: unrelated root on a new node", gitops.NotDescendant, func(g *gitWorld, broken bool) offer {
			if broken {
				g.git("checkout", "-q", "--orphan", "fresh")
			}
			return offered(g.commit("dan", "one", nil))
		}},
		{"git: branch from below the introduction", gitops.NotDescendant, func(g *gitWorld, broken bool) offer {
			start := g.commit("dan", "the real introduction", nil)
			if broken {
				g.on("old", g.root)
			}
			return offered(g.commit("dan", "one", nil)).with(func(c *verify.Config) { c.Introduction = string(start) })
		}},
		{"git: too much at once", gitops.TooManyCommits, func(g *gitWorld, broken bool) offer {
			g.commit("dan", "one", nil)
			g.commit("dan", "two", nil)
			return offered(g.commit("dan", "three", nil)).with(func(c *verify.Config) { c.MaxCommits = either(broken, 2, 3) })
		}},
		{"git: dev that nobody merged, in mode head", gitops.Fork, func(g *gitWorld, broken bool) offer {
			accepted := g.commit("dan", "on main", nil)
			if broken {
				g.on("dev", g.root)
			}
			return offered(g.commit("dan", "next", nil)).after(accepted).with(func(c *verify.Config) { c.Mode = verify.ModeHead })
		}},
	})
}

func TestGitTags(t *testing.T) {
	release := func(by string, args ...string) func(*gitWorld, bool) offer {
		return func(g *gitWorld, broken bool) offer {
			head := g.commit("", "release", nil)
			if broken {
				return g.tagged(head, by, args...)
			}
			return g.tagged(head, "dan", "-s", "-m", "release")
		}
	}
	runGitScenarios(t, false, []gitScenario{
		{"git tag: lightweight", gitops.Unsigned, release("dan")},
		{"git tag: annotated and not signed", gitops.Unsigned, release("dan", "-a", "-m", "release")},
		{"git tag: signed by a stranger", gitops.UnknownSigner, release("mallory", "-s", "-m", "release")},
		{"git tag: signed by a revoked key", gitops.KeyRevoked, release("lost", "-s", "-m", "release")},
		{"git tag: signed by an expired key", gitops.KeyExpired, release("gone", "-s", "-m", "release")},
		{"git tag: shown under another name", gitops.RefMismatch, func(g *gitWorld, broken bool) offer {
			o := g.tagged(g.commit("", "release", nil), "dan", "-s", "-m", "release")
			if broken {
				g.move("refs/tags/v1", "refs/tags/v2")
				o.commit = onTag("v2", o.blamed, g.tagObject("v2", o.blamed))
			}
			return o
		}},
		{"git tag: of another commit than is shown", gitops.RefMismatch, func(g *gitWorld, broken bool) offer {
			tagged := g.commit("", "release", nil)
			o := g.tagged(tagged, "dan", "-s", "-m", "release")
			if broken {
				next := g.commit("", "not released", nil)
				o.commit, o.blamed = onTag("v1", next, o.commit.Tag), next
			}
			return o
		}},
		{"git tag: of a tag", gitops.RefMismatch, func(g *gitWorld, broken bool) offer {
			head := g.commit("", "release", nil)
			o := g.tagged(head, "dan", "-s", "-m", "release")
			if broken {
				g.as("dan", "tag", "-f", "-s", "-m", "nested", "v1", string(o.commit.Tag))
				o.commit = onTag("v1", head, g.tagObject("v1", head))
			}
			return o
		}},
		{"git tag: older release after a newer one", gitops.RolledBack, func(g *gitWorld, broken bool) offer {
			old := g.commit("", "release", nil)
			accepted := g.commit("", "newer release", nil)
			return g.tagged(either(broken, old, accepted), "dan", "-s", "-m", "release").after(accepted)
		}},
	})
}
