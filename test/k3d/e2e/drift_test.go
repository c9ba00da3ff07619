// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func deletedObject(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("first"))
	s.deleteConfigMap("settings")
	// Nobody asks, and the interval is an hour: the deletion itself is seen.
	s.eventually("the deleted ConfigMap to come back", func() bool { return s.has("settings") })
	s.eventually("the repair to be counted", func() bool { return s.status().Drift.Corrected >= 1 })
}

func editedField(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("first"))
	s.patchConfigMap("settings", `{"data":{"value":"edited by hand"}}`)
	s.patchDeployment("web", `{"spec":{"replicas":3}}`)
	before := len(s.objectWrites())
	s.sync()
	if got := s.configMap("settings"); got != "1" {
		s.t.Errorf("settings = %q, want 1", got)
	}
	if d := s.deployment("web"); *d.Spec.Replicas != 1 {
		s.t.Errorf("replicas = %d, want 1", *d.Spec.Replicas)
	}
	if writes := s.objectWrites()[before:]; len(writes) != 2 {
		s.t.Errorf("writes = %v, want the two drifted objects only", writes)
	}
}

func foreignField(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("first"))
	s.patchConfigMap("settings", `{"data":{"theirs":"1"},"metadata":{"annotations":{"example.com/theirs":"1"}}}`)
	before := len(s.writes())
	s.sync()
	s.sync()
	if got := s.configMapData("settings")["theirs"]; got != "1" {
		s.t.Errorf("theirs = %q, want 1: a field of somebody else was removed", got)
	}
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes, want none: a field that is not ours is no drift", n)
	}
	s.write("app/app.yaml", join(configMap(s.ns, "settings", "2"), service(s.ns, "web"), deployment(s.ns, "web", "web:1")))
	s.ready(s.push("second"))
	if data := s.configMapData("settings"); data["theirs"] != "1" || data["value"] != "2" {
		s.t.Errorf("data = %v, want value 2 beside theirs 1", data)
	}
}

func notifyMode(s *scene) {
	s.source["drift"] = "notify"
	s.app("web:1")
	s.start()
	s.ready(s.push("first"))
	s.patchConfigMap("settings", `{"data":{"value":"edited by hand"}}`)
	before := len(s.writes())
	st := s.sync()
	if c := st.Condition(gitops.ConditionDrifted); c.Status != "True" {
		s.t.Errorf("Drifted = %+v, want True", c)
	}
	if len(st.Drift.Objects) != 1 || st.Drift.Objects[0].Name != "settings" {
		s.t.Errorf("drifted objects = %v, want settings", st.Drift.Objects)
	}
	if n := len(s.writes()) - before; n != 0 || s.configMap("settings") != "edited by hand" {
		s.t.Errorf("%d writes, settings = %q; want none and the edit kept", n, s.configMap("settings"))
	}
	if r := s.node.CLI("diff", s.name); r.Code != 3 || !strings.Contains(r.Stdout, "edited by hand") {
		s.t.Errorf("edgeagent diff: exit code %d, want 3 and the edit shown:\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}
