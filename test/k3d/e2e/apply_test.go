// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

func crdThenCustomResource(s *scene) {
	group := s.ns + ".example.com"
	s.write("app/a-widget.yaml", widget(group, s.ns, "one", 1))
	s.write("app/z-crd.yaml", widgetCRD(group))
	s.start()
	s.ready(s.push("a custom resource and its definition"))
	if got := s.widgetSize(group, "one"); got != 1 {
		s.t.Errorf("size = %d, want 1", got)
	}
	s.write("app/a-widget.yaml", widget(group, s.ns, "one", 2))
	s.ready(s.push("bigger"))
	if got := s.widgetSize(group, "one"); got != 2 {
		s.t.Errorf("size = %d, want 2", got)
	}
}

func namespaceOrder(s *scene) {
	fresh := s.ns + "-fresh"
	s.write("app/a.yaml", configMap(fresh, "inside", "1"))
	s.write("app/z.yaml", namespace(fresh))
	s.start()
	s.ready(s.push("an object before its namespace"))
	var order []string
	for _, w := range s.writes() {
		if w.Name == fresh || w.Name == "inside" {
			order = append(order, w.Name)
		}
	}
	if strings.Join(order, " ") != fresh+" inside" {
		s.t.Errorf("writes = %v, want the namespace first", order)
	}
}

func helmChart(s *scene) {
	s.write("app/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0}]\n")
	s.write("app/values.yaml", "colour: red\ndb: {size: 3}\n")
	s.write("app/templates/cm.yaml", `apiVersion: v1
kind: ConfigMap
metadata: {name: shop, namespace: {{ .Release.Namespace }}}
data: {value: "{{ .Values.colour }} {{ .Capabilities.KubeVersion.Version }}"}
`)
	s.write("app/templates/pre.yaml", `apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  namespace: {{ .Release.Namespace }}
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5"}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: job}]
`)
	s.write("app/charts/db/Chart.yaml", "apiVersion: v2\nname: db\nversion: 1.0.0\n")
	s.write("app/charts/db/values.yaml", "size: 1\n")
	s.write("app/charts/db/templates/cm.yaml", `apiVersion: v1
kind: ConfigMap
metadata: {name: db, namespace: {{ .Release.Namespace }}}
data: {value: "{{ .Values.size }}"}
`)
	s.write("edgeagent.yaml", `apiVersion: edgeagent.dev/v1alpha1
kind: Bundle
metadata: {name: shop}
spec:
  path: app
  targetNamespace: `+s.ns+`
  helm: {values: {colour: green}}
`)
	s.start()
	s.ready(s.push("a chart"))
	if got, want := s.configMap("shop"), "green "+s.serverVersion(); got != want {
		s.t.Errorf("shop = %q, want %q", got, want)
	}
	if got := s.configMap("db"); got != "3" {
		s.t.Errorf("db = %q, want 3: the parent's values reach the subchart", got)
	}
	var order []string
	for _, w := range s.writes() {
		if w.Name == "migrate" || w.Name == "shop" {
			order = append(order, w.Name)
		}
	}
	if len(order) < 2 || order[0] != "migrate" {
		s.t.Errorf("writes = %v, want the hook before the rest", order)
	}
	before := len(s.writes())
	s.sync()
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes at rest, want none: the hook ran already", n)
	}
}

func rejectedObject(s *scene) {
	s.write("app/a.yaml", configMap(s.ns, "a", "1"))
	s.start()
	good := s.push("good")
	s.ready(good)
	before := len(s.writes())
	s.write("app/a.yaml", configMap(s.ns, "a", "2"))
	s.write("app/b.yaml", strings.Replace(deployment(s.ns, "b", "web:1"), "matchLabels: {app: b}", "matchLabels: {app: other}", 1))
	head := s.push("the API server will not take b")
	st := s.sync()
	s.notReady(st, gitops.Rejected, head)
	if n := len(s.writes()) - before; n != 0 {
		s.t.Errorf("%d writes, want none: %v", n, s.writes()[before:])
	}
	if got := s.configMap("a"); got != "1" {
		s.t.Errorf("a = %q, want 1", got)
	}
	if st.Failed == nil || st.Failed.Revision.Hash() != head || !strings.Contains(st.Failed.Message, "Deployment") {
		s.t.Errorf("failed = %+v, want %s, naming the Deployment", st.Failed, head)
	}
	s.remove("app/b.yaml")
	s.ready(s.push("without b"))
}

func lateFailure(s *scene) {
	// On the first sync there is nothing healthy to protect, so nothing is
	// dry-run: the rejection shows while applying.
	s.write("app/a.yaml", configMap(s.ns, "a", "1"))
	s.write("app/b.yaml", strings.Replace(deployment(s.ns, "b", "web:1"), "matchLabels: {app: b}", "matchLabels: {app: other}", 1))
	s.write("app/c.yaml", service(s.ns, "z"))
	s.start()
	head := s.push("one of three cannot be")
	st := s.sync()
	if st.Ready() || st.Healthy != nil {
		s.fatalf("the revision is healthy although one object was rejected")
	}
	if !s.has("a") || !s.hasService("z") {
		s.t.Errorf("a is there: %v, z is there: %v; want both", s.has("a"), s.hasService("z"))
	}
	if st.Failed == nil || st.Failed.Revision.Hash() != head || st.Failed.Phase != gitops.PhaseFailed {
		s.t.Errorf("failed = %+v, want the attempt at %s", st.Failed, head)
	}
	if c := st.Condition(gitops.ConditionStalled); c.Status != "True" {
		s.t.Errorf("Stalled = %+v, want True: there is no healthy revision to go back to", c)
	}
	s.remove("app/b.yaml")
	s.ready(s.push("without it"))
}

func completedJob(s *scene) {
	s.write("app/job.yaml", job(s.ns, "once", "hello"))
	s.write("app/a.yaml", configMap(s.ns, "a", "1"))
	s.start()
	s.ready(s.push("a job"))
	s.eventually("the job's own TTL to delete it", func() bool { return !s.hasJob("once") })
	before := len(s.objectWrites())
	s.sync()
	if s.hasJob("once") || len(s.objectWrites()) != before {
		s.t.Errorf("the job ran again: %v", s.objectWrites()[before:])
	}
	s.write("app/a.yaml", configMap(s.ns, "a", "2"))
	s.ready(s.push("something else"))
	if s.hasJob("once") {
		s.t.Error("the job ran again for a change of something else")
	}
	s.write("app/job.yaml", job(s.ns, "once", "hello again"))
	s.ready(s.push("another job of that name"))
	created := 0
	for _, w := range s.objectWrites()[before:] {
		if w.Name == "once" {
			created++
		}
	}
	if created != 1 {
		s.t.Errorf("the changed job was written %d times, want once", created)
	}
}

func foreignOwner(s *scene) {
	s.createConfigMap("theirs", map[string]string{"helm.toolkit.fluxcd.io/name": "other"}, "untouched")
	s.write("app/a.yaml", configMap(s.ns, "theirs", "ours"))
	s.start()
	head := s.push("wants what another tool owns")
	st := s.sync()
	s.notReady(st, gitops.OwnedByOther, head)
	if got := s.configMap("theirs"); got != "untouched" {
		s.t.Errorf("theirs = %q, want untouched", got)
	}
	s.source["adopt"] = true
	s.writeConfig()
	s.eventually("adoption to take the object over", func() bool { return s.configMap("theirs") == "ours" })
}

func secondAgent(s *scene) {
	s.app("web:1")
	s.start()
	head := s.push("first")
	s.ready(head)
	// The same source on another node, against the same cluster.
	other := s.clone()
	other.start()
	other.sync()
	before := len(other.writes())
	st := other.sync()
	other.notReady(st, gitops.ForeignWriter, head)
	if n := len(other.writes()); n != before || n != 0 {
		s.t.Errorf("the second agent made %d writes, want none: %v", n, other.writes())
	}
	if !strings.Contains(st.Condition(gitops.ConditionStalled).Message, "edge") {
		s.t.Errorf("Stalled = %+v, want it to name the node that writes", st.Condition(gitops.ConditionStalled))
	}
	if st := s.sync(); !st.Ready() {
		s.fatalf("the first agent was disturbed")
	}
}
