// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"os"
	"path/filepath"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// cutOff stops the Git server for good, stops the agent and takes the object
// store away: what is left is the journal and the API server.
func (s *scene) cutOff() {
	s.t.Helper()
	s.gitDown()
	s.stop()
	s.must(os.Rename(filepath.Join(s.node.StateDir(), "objects.db"), filepath.Join(s.dir, "objects.db.away")))
}

func rollbackOffline(s *scene) {
	s.app("web:1")
	s.start()
	one := s.push("one")
	s.ready(one)
	s.write("app/two.yaml", configMap(s.ns, "two", "1"))
	s.app("web:2")
	s.ready(s.push("two"))
	s.write("app/three.yaml", configMap(s.ns, "three", "1"))
	s.app("web:3")
	three := s.push("three")
	s.ready(three)
	s.cutOff()
	s.start()
	s.mustCLI("rollback", s.name, "--to", one.Short(), "--wait")
	st := s.settled(one)
	if s.deploymentImage("web") != "web:1" || s.has("two") || s.has("three") {
		s.t.Errorf("image = %s, two and three are there: %v %v; want web:1, false, false", s.deploymentImage("web"), s.has("two"), s.has("three"))
	}
	if st.Hold == nil || st.Hold.Revision.Hash() != one || st.Hold.HeldBack.Hash() != three {
		s.t.Errorf("hold = %+v, want %s with %s held back", st.Hold, one.Short(), three.Short())
	}
	// The hold outlives a restart.
	s.kill()
	s.start()
	s.sync()
	if st := s.status(); st.Hold == nil || s.deploymentImage("web") != "web:1" {
		s.t.Errorf("after a restart: hold = %+v, image = %s", st.Hold, s.deploymentImage("web"))
	}
	if c := s.status().Condition(gitops.ConditionVerified); c.Status != "True" {
		s.t.Errorf("Verified = %+v, want True: a rollback does not move accepted", c)
	}
}

func restartOffline(s *scene) {
	s.app("web:1")
	s.start()
	head := s.push("one")
	s.ready(head)
	s.cutOff()
	s.deleteConfigMap("settings")
	s.patchDeployment("web", `{"spec":{"replicas":2}}`)
	s.start()
	s.eventually("the repair", func() bool { return s.has("settings") && *s.deployment("web").Spec.Replicas == 1 })
	st := s.sync()
	if st.Applied.Revision.Hash() != head || st.Link.Failures == 0 {
		s.t.Errorf("applied = %+v, link = %+v; want %s and a link that fails", st.Applied, st.Link, head.Short())
	}
}

func datastoreWiped(s *scene) {
	s.write("app/ns.yaml", namespace(s.ns+"-own"))
	s.write("app/in.yaml", configMap(s.ns+"-own", "inside", "1"))
	s.write("app/web.yaml", deployment(s.ns+"-own", "web", "web:1"))
	s.start()
	head := s.push("with its namespace")
	s.ready(head)
	s.cutOff()
	s.must(s.cluster.WipeStorage(context.Background()))
	s.start()
	s.eventually("the cluster to be rebuilt from the journal", func() bool {
		return s.hasIn(s.ns+"-own", "inside") && s.deploymentIn(s.ns+"-own", "web").Status.AvailableReplicas == 1
	})
	if st := s.sync(); st.Healthy.Revision.Hash() != head || len(st.Problems) != 0 {
		s.t.Errorf("healthy = %+v, problems = %+v", st.Healthy, st.Problems)
	}
}
