// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// app is a workload as people write one.
func (s *scene) app(image string) {
	s.write("app/app.yaml", join(configMap(s.ns, "settings", "1"), service(s.ns, "web"), deployment(s.ns, "web", image)))
}

func firstSync(s *scene) {
	s.app("web:1")
	head := s.push("first")
	s.start()
	s.ready(head)
	if got := s.configMap("settings"); got != "1" {
		s.t.Errorf("settings = %q, want 1", got)
	}
	if d := s.deployment("web"); d.Status.AvailableReplicas != 1 {
		s.t.Errorf("web has %d available replicas, want 1", d.Status.AvailableReplicas)
	}
	st := s.status()
	if st.Verified.Signer != "dev@example.com" {
		s.t.Errorf("signer = %q, want dev@example.com", st.Verified.Signer)
	}
	if len(st.Bundles) != 1 || st.Bundles[0].Objects.Current != 3 {
		s.t.Errorf("bundles = %+v, want one with 3 current objects", st.Bundles)
	}
	s.onlyAttempt(head, gitops.CauseUpdate, gitops.PhasePruned)
	writes := len(s.writes())
	s.sync()
	s.sync()
	if again := len(s.writes()); again != writes {
		s.t.Errorf("two cycles at rest made %d writes, want 0", again-writes)
	}
}

func oneObjectChanged(s *scene) {
	s.write("app/all.yaml", configMaps(s.ns, "cm", 20))
	s.start()
	s.ready(s.push("twenty"))
	before := len(s.objectWrites())
	s.write("app/all.yaml", strings.Replace(configMaps(s.ns, "cm", 20), `cm-007, namespace: `+s.ns+`}`+"\n"+`data: {value: "1"}`, `cm-007, namespace: `+s.ns+`}`+"\n"+`data: {value: "2"}`, 1))
	s.ready(s.push("one of twenty"))
	writes := s.objectWrites()[before:]
	if len(writes) != 1 || writes[0].Name != "cm-007" {
		s.t.Errorf("writes = %v, want one of cm-007", writes)
	}
	if got := s.configMap("cm-007"); got != "2" {
		s.t.Errorf("cm-007 = %q, want 2", got)
	}
}

func objectRemoved(s *scene) {
	s.write("app/a.yaml", configMap(s.ns, "a", "1"))
	s.write("app/b.yaml", configMap(s.ns, "b", "1"))
	s.start()
	s.ready(s.push("a and b"))
	s.remove("app/b.yaml")
	s.ready(s.push("without b"))
	if s.has("b") {
		s.t.Error("b is still there")
	}
	if !s.has("a") {
		s.t.Error("a is gone")
	}
}

func pruneGuard(s *scene) {
	s.write("app/keep.yaml", configMaps(s.ns, "keep", 10))
	s.write("app/many.yaml", configMaps(s.ns, "many", 10))
	s.start()
	s.ready(s.push("twenty"))
	s.remove("app/many.yaml")
	head := s.push("ten fewer")
	st := s.sync()
	if st.Healthy.Revision.Hash() != head {
		s.fatalf("the revision is not healthy while its deletions wait")
	}
	if c := st.Condition(gitops.ConditionPrunePending); c.Status != "True" || c.Reason != gitops.PrunePending {
		s.t.Errorf("PrunePending = %+v, want True", c)
	}
	if len(st.Pending) != 10 || !s.has("many-003") {
		s.t.Errorf("pending = %v, many-003 is there: %v; want ten pending and all there", st.Pending, s.has("many-003"))
	}
	s.sync("--allow-prune=9")
	if !s.has("many-003") {
		s.t.Error("ten deletions went through with a consent for nine")
	}
	st = s.sync("--allow-prune=10")
	if s.has("many-003") || len(st.Pending) != 0 {
		s.t.Errorf("many-003 is there: %v, pending = %v; want it gone after the consent", s.has("many-003"), st.Pending)
	}
	if !s.has("keep-003") {
		s.t.Error("keep-003 is gone")
	}
	st = s.sync()
	if !st.Ready() {
		s.fatalf("not ready after the deletions")
	}
}

func emptyRender(s *scene) {
	s.app("web:1")
	good := s.push("good")
	s.start()
	s.ready(good)
	before := len(s.writes())
	s.remove("app/app.yaml")
	s.write("app/README.md", "nothing to apply\n")
	head := s.push("everything removed")
	st := s.sync()
	s.notReady(st, gitops.EmptyRender, head)
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes, want none: %v", n, s.writes()[before:])
	}
	if st.Applied.Revision.Hash() != good || !s.has("settings") {
		s.fatalf("the cluster did not stay at %s", good.Short())
	}
}

func commitForAnotherNode(s *scene) {
	s.source["path"] = "clusters/${node.name}"
	s.write("clusters/edge/a.yaml", configMap(s.ns, "a", "1"))
	s.write("clusters/other/a.yaml", configMap(s.ns, "b", "1"))
	s.start()
	s.ready(s.push("two nodes"))
	before := len(s.writes())
	s.write("clusters/other/a.yaml", configMap(s.ns, "b", "2"))
	head := s.push("for the other node")
	st := s.sync()
	if !st.Ready() || st.Verified.Revision.Hash() != head || st.Healthy.Revision.Hash() != head {
		s.fatalf("accepted and healthy did not move to %s", head.Short())
	}
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes, want none: %v", n, s.writes()[before:])
	}
	if len(s.history()) != 1 {
		s.t.Errorf("history = %v, want one attempt", s.history())
	}
}

func perNodePathAndLabels(s *scene) {
	s.source["path"] = "sites/${node.labels.site}/${node.name}"
	s.node.Config["node"] = map[string]any{"name": "edge", "labels": map[string]string{"site": "berlin", "ring": "canary"}, "variables": map[string]string{"CITY": "Berlin"}}
	s.write("sites/berlin/edge/edgeagent.yaml", `apiVersion: edgeagent.dev/v1alpha1
kind: Bundle
metadata: {name: canary-only}
spec:
  path: ../../../bundles/canary
  targets: {matchLabels: {ring: canary}}
  substitute: {COLOUR: yellow}
---
apiVersion: edgeagent.dev/v1alpha1
kind: Bundle
metadata: {name: stable-only}
spec:
  path: ../../../bundles/stable
  targets: {matchExpressions: [{key: ring, operator: In, values: [stable]}]}
---
apiVersion: edgeagent.dev/v1alpha1
kind: Bundle
metadata: {name: everybody}
spec:
  path: ../../../bundles/everybody
  dependsOn: [canary-only]
`)
	s.write("bundles/canary/a.yaml", configMap(s.ns, "canary", "${COLOUR} ${CITY} ${MISSING:=none}"))
	s.write("bundles/stable/a.yaml", configMap(s.ns, "stable", "1"))
	s.write("bundles/everybody/a.yaml", configMap(s.ns, "everybody", "1"))
	s.start()
	s.ready(s.push("by site and ring"))
	if got := s.configMap("canary"); got != "yellow Berlin none" {
		s.t.Errorf("canary = %q, want %q", got, "yellow Berlin none")
	}
	if s.has("stable") || !s.has("everybody") {
		s.t.Errorf("stable is there: %v, everybody is there: %v; want false, true", s.has("stable"), s.has("everybody"))
	}
}

func twoSources(s *scene) {
	s.write("one/a.yaml", configMap(s.ns, "one", "1"))
	s.write("two/a.yaml", configMap(s.ns, "two", "1"))
	s.source["path"] = "one"
	second := s.copySource(s.name + "-2")
	second["path"] = "two"
	head := s.push("two paths")
	s.start()
	s.ready(head)
	s.eventually("the second source", func() bool { return s.statusOf(s.name + "-2").Ready() })
	// What leaves one source must not take anything of the other along, and an
	// object of one is not the other's to claim.
	s.write("two/b.yaml", configMap(s.ns, "one", "stolen"))
	s.push("the second wants an object of the first")
	s.sync()
	s.syncSource(s.name + "-2")
	if got := s.configMap("one"); got != "1" {
		s.t.Errorf("one = %q, want 1: the second source took it over", got)
	}
	if c := s.statusOf(s.name + "-2").Condition(gitops.ConditionReady); c.Status != "False" || c.Reason != gitops.OwnedByOther {
		s.t.Errorf("Ready of the second source = %+v, want False for OwnedByOther", c)
	}
	s.remove("two/b.yaml")
	s.write("two/a.yaml", configMap(s.ns, "three", "1"))
	head = s.push("the second changes its mind")
	s.ready(head)
	s.syncSource(s.name + "-2")
	if s.has("two") || !s.has("three") || !s.has("one") {
		s.t.Errorf("one, two, three are there: %v %v %v; want true, false, true", s.has("one"), s.has("two"), s.has("three"))
	}
}

func sourceRemoved(s *scene) {
	s.app("web:1")
	s.start()
	s.ready(s.push("first"))
	s.dropSources()
	s.writeConfig() // the running agent sees the change by itself
	s.eventually("the source to leave the status", func() bool { return !strings.Contains(s.mustCLI("status", "-o", "json"), `"name":"`+s.name+`"`) })
	s.eventually("the ownership labels to go", func() bool { return len(s.labels("settings")) == 0 })
	if !s.has("settings") || s.deployment("web").Status.AvailableReplicas != 1 {
		s.t.Error("the objects of the removed source are gone, want them orphaned")
	}
	if s.hasParent() {
		s.t.Error("the ApplySet's parent is still there")
	}
}
