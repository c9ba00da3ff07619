// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Whatever a history looks like, doing what refusals say releases it in the end:
// every commit that is to be approved is named once, and what is to be taken back
// is gone once somebody took it back, or the roots sealed it.
func TestRemediesOfTheWayHelp(t *testing.T) {
	told := map[string]int{}
	for seed := range uint64(400) {
		g := rand.New(rand.NewPCG(seed, 4))
		c := randomCourse(t, g)
		since := -1
		if n := g.IntN(len(c.ids)); g.IntN(2) == 0 && c.descends(c.head(), c.ids[n]) {
			since = n
		}
		if err := c.follow(since, told); err != nil {
			t.Errorf("history %d since %d: %v", seed, since, err)
		}
	}
	t.Log(told)
	if told["approve"] < 20 || told["take back"] < 5 {
		t.Errorf("hardly anything was refused: %v", told)
	}
}

// randomCourse is a history of branches and merges, whose commits make a few
// things again and again.
func randomCourse(t *testing.T, g *rand.Rand) *course {
	wants := []string{"", "one", "two", "three"}
	c := newCourse(newInband(t), made{"alice", wants[g.IntN(len(wants))], nil})
	for range 2 + g.IntN(9) {
		m := made{by: []string{"dan", "dan", "erin", "alice"}[g.IntN(4)]}
		parents := []gitops.Hash{c.head()}
		if g.IntN(3) == 0 {
			parents[0] = c.ids[g.IntN(len(c.ids))]
		}
		if other := c.ids[g.IntN(len(c.ids))]; g.IntN(3) == 0 && other != parents[0] {
			parents = append(parents, other)
		}
		m.want = c.wants[parents[g.IntN(len(parents))]]
		if g.IntN(3) == 0 {
			m.want = wants[g.IntN(len(wants))]
		}
		if g.IntN(3) == 0 {
			m.approved = []string{"bob"}
		}
		c.add(m, parents...)
	}
	return c
}

// follow does what refusals say, until nothing is refused, and counts them.
func (c *course) follow(since int, told map[string]int) error {
	done := map[string]bool{}
	for {
		err := c.release(c.plan(since), nil)
		if err == nil {
			return nil
		}
		id, remedy := c.refused(err), "take back"
		if strings.Contains(err.Error(), "have it approved") {
			remedy = "approve"
		} else if done[remedy+string(id)] {
			remedy = "seal"
		}
		if done[remedy+string(id)] {
			return fmt.Errorf("to %s did not help: %w", remedy, err)
		}
		done[remedy+string(id)] = true
		told[remedy]++
		switch remedy {
		case "approve":
			c.approve("carol", id, c.parents[id][0])
		case "take back":
			c.takeBack(since, err)
		case "seal":
			id = c.head()
			for _, name := range []string{"alice", "bob"} {
				c.state(name, verify.SealRef(id, name), id, gitops.CommitObject, verify.SealMessage(c.root, id, now))
			}
		}
	}
}

// takeBack adds a commit that makes what was made before, if there is one that
// has something else refused, or nothing.
func (c *course) takeBack(since int, before error) {
	head := c.head()
	for _, want := range []string{"", "one", "two", "three"} {
		back := c.add(made{"dan", want, nil}, head)
		if err := c.release(c.plan(since), nil); err == nil || c.refused(err) != back && c.refused(err) != c.refused(before) {
			return
		}
		c.ids = c.ids[:len(c.ids)-1]
	}
}

func (c *course) descends(id, from gitops.Hash) bool {
	return id == from || slices.ContainsFunc(c.parents[id], func(p gitops.Hash) bool { return c.descends(p, from) })
}
