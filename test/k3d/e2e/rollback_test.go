// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func brokenImage(s *scene) {
	s.app("web:1")
	s.start()
	good := s.push("good")
	s.ready(good)
	s.write("app/app.yaml", join(configMap(s.ns, "settings", "2"), service(s.ns, "web"), deployment(s.ns, "web", "broken:2")))
	s.write("app/new.yaml", configMap(s.ns, "new", "1"))
	head := s.push("broken")
	st := s.sync()
	s.eventually("the rollback", func() bool {
		st = s.status()
		return st.Applied.Revision.Hash() == good && st.Phase == gitops.StageWaiting && s.deployment("web").Status.AvailableReplicas == 1
	})
	if st.Failed == nil || st.Failed.Revision.Hash() != head || st.Failed.Reason != gitops.CrashLoop {
		s.t.Errorf("failed = %+v, want %s for CrashLoop", st.Failed, head)
	}
	if got := s.configMap("settings"); got != "1" || s.deploymentImage("web") != "web:1" || s.has("new") {
		s.t.Errorf("settings = %q, image = %s, new is there: %v; want 1, web:1, false", got, s.deploymentImage("web"), s.has("new"))
	}
	if c := st.Condition(gitops.ConditionReady); c.Status != "False" || c.Reason != gitops.CrashLoop {
		s.t.Errorf("Ready = %+v, want False for CrashLoop", c)
	}
	h := s.history()
	if len(h) != 3 || h[0].Cause != gitops.CauseRollback || h[0].Phase != gitops.PhasePruned || h[0].Undoes != h[1].ID || h[1].Phase != gitops.PhaseFailed {
		s.t.Errorf("history = %+v, want a rollback that undoes a failed attempt", h)
	}
}

func failedRevision(s *scene) {
	s.app("web:1")
	s.start()
	good := s.push("good")
	s.ready(good)
	s.app("broken:2")
	s.push("broken")
	s.sync()
	s.settled(good)
	before, attempts := len(s.writes()), len(s.history())
	s.sync()
	s.sync()
	if n := len(s.writes()) - before; n != 0 || len(s.history()) != attempts {
		s.t.Errorf("%d writes and %d new attempts, want none: a failed revision is not retried", n, len(s.history())-attempts)
	}
	// Another commit that renders to the same is the same failure.
	s.write("docs/README.md", "words\n")
	s.push("nothing that matters")
	s.sync()
	if n := len(s.writes()) - before; n != 0 || len(s.history()) != attempts {
		s.t.Errorf("%d writes and %d new attempts for the same render, want none", n, len(s.history())-attempts)
	}
	// A person may insist.
	s.mustCLI("retry", s.name)
	s.eventually("the retry to fail again", func() bool {
		h := s.history()
		return len(h) > attempts && h[0].Cause == gitops.CauseRollback && h[0].Phase == gitops.PhasePruned
	})
	s.app("web:3")
	s.ready(s.push("fixed"))
}

// crashWhileWaiting kills the agent when a broken revision is applied and not
// yet found out: the resumed attempt must not take the breakage for old.
func crashWhileWaiting(s *scene) {
	s.app("web:1")
	s.start()
	good := s.push("good")
	s.ready(good)
	s.app("slow-3600")
	s.health("timeout", "20s")
	s.writeConfig()
	head := s.push("never becomes ready")
	s.mustCLI("sync", s.name)
	s.eventually("the wait for health", func() bool { return s.status().Phase == gitops.StageChecking })
	s.kill()
	s.start()
	st := s.settled(good)
	if st.Failed == nil || st.Failed.Revision.Hash() != head || st.Failed.Reason != gitops.HealthTimeout || st.Failed.Resumes == 0 {
		s.t.Errorf("failed = %+v, want %s for HealthTimeout after a resume", st.Failed, head)
	}
	if s.deploymentImage("web") != "web:1" {
		s.t.Errorf("image = %s, want web:1", s.deploymentImage("web"))
	}
}

func newerCommitCancels(s *scene) {
	s.app("web:1")
	s.health("timeout", "10m")
	s.start()
	s.ready(s.push("good"))
	s.app("slow-3600")
	s.push("takes an hour")
	s.mustCLI("sync", s.name)
	s.eventually("the wait for health", func() bool { return s.status().Phase == gitops.StageChecking })
	s.app("web:2")
	fix := s.push("a fix")
	s.ready(fix)
	h := s.history()
	if len(h) != 3 || h[1].Reason != gitops.Superseded || h[0].Revision.Hash() != fix {
		s.t.Errorf("history = %+v, want the slow attempt superseded by the fix", h)
	}
	if st := s.status(); st.Failed != nil {
		s.t.Errorf("failed = %+v, want no black mark for a superseded revision", st.Failed)
	}
}

func unhealthyBefore(s *scene) {
	s.write("app/camera.yaml", deployment(s.ns, "camera", "flaky-2"))
	s.write("app/a.yaml", configMap(s.ns, "a", "1"))
	s.start()
	s.ready(s.push("a camera"))
	s.eventually("the camera to be unplugged", func() bool {
		d := s.deployment("camera")
		return d.Status.AvailableReplicas == 0
	})
	s.write("app/a.yaml", configMap(s.ns, "a", "2"))
	head := s.push("something else")
	st := s.sync()
	if st.Healthy.Revision.Hash() != head || s.configMap("a") != "2" {
		s.fatalf("an object that was unhealthy before blocked an update that does not touch it")
	}
	for _, a := range s.history() {
		if a.Cause == gitops.CauseRollback {
			s.t.Errorf("history has a rollback: %+v", a)
		}
	}
}

func holdReleased(s *scene) {
	s.app("web:1")
	s.start()
	one := s.push("one")
	s.ready(one)
	s.app("web:2")
	two := s.push("two")
	s.ready(two)
	s.mustCLI("rollback", s.name, "--wait")
	s.settled(one)
	st := s.sync()
	if st.Hold == nil || st.Hold.HeldBack.Hash() != two || st.Condition(gitops.ConditionHeld).Status != "True" {
		s.t.Errorf("hold = %+v, want one that keeps %s back", st.Hold, two.Short())
	}
	if s.deploymentImage("web") != "web:1" {
		s.t.Errorf("image = %s, want web:1: polling the same head must not end the hold", s.deploymentImage("web"))
	}
	s.app("web:3")
	three := s.push("three")
	s.ready(three)
	if st := s.status(); st.Hold != nil || s.deploymentImage("web") != "web:3" {
		s.t.Errorf("hold = %+v, image = %s; want none, web:3", st.Hold, s.deploymentImage("web"))
	}
	// A pin outlasts newer commits, and resume ends it.
	s.mustCLI("rollback", s.name, "--to", two.Short(), "--pin", "--wait")
	s.settled(two)
	s.app("web:4")
	four := s.push("four")
	s.sync()
	if s.deploymentImage("web") != "web:2" {
		s.t.Errorf("image = %s, want web:2: the source is pinned", s.deploymentImage("web"))
	}
	s.mustCLI("resume", s.name)
	s.ready(four)
}

func pullErrorDuringUpdate(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("good"))
	s.app("slow-4")
	head := s.push("takes a while")
	s.mustCLI("sync", s.name)
	s.eventually("the wait for health", func() bool { return s.status().Phase == gitops.StageChecking })
	s.gitDown()
	s.mustCLI("sync", s.name) // polls in the middle of the wait, and fails
	s.eventually("the update to become healthy", func() bool {
		st := s.status()
		return st.Healthy.Revision.Hash() == head
	})
	st := s.sync()
	if st.Link.Reason != gitops.Unreachable || st.Link.Failures == 0 {
		s.t.Errorf("link = %+v, want Unreachable", st.Link)
	}
	if s.deploymentImage("web") != "slow-4" || len(s.history()) != 2 {
		s.t.Errorf("image = %s, history = %+v; want the update kept", s.deploymentImage("web"), s.history())
	}
}

func gitServerDown(s *scene) {
	s.app("web:1")
	s.source["interval"] = "5s"
	s.start()
	head := s.push("good")
	s.ready(head)
	s.gitDown()
	for range 5 {
		s.sync()
	}
	st := s.status()
	if st.Link.Failures < 5 || st.Link.Reason != gitops.Unreachable || st.Condition(gitops.ConditionSourceReachable).Status != "False" {
		s.t.Errorf("link = %+v, want at least five failures for Unreachable", st.Link)
	}
	if !strings.Contains(st.Link.Message, "refused") {
		s.t.Errorf("message = %q, want it to say that the connection was refused", st.Link.Message)
	}
	// Repair goes on without Git.
	s.deleteConfigMap("settings")
	s.eventually("the repair while Git is away", func() bool { return s.has("settings") })
	s.app("web:2")
	head = s.pushLocal("made while the server is down")
	s.gitUp()
	s.ready(head)
	if st := s.status(); st.Link.Failures != 0 {
		s.t.Errorf("failures = %d after a success, want 0", st.Link.Failures)
	}
}
