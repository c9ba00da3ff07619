// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edgeagent/edgeagent/test/k3d/cluster"
)

func TestAuditLogShowsWhoWroteWhat(t *testing.T) {
	path, err := shared.User("writer", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	kube := clientOf(t, path)
	maps := kube.CoreV1().ConfigMaps("default")
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "audited"}}
	since := time.Now()

	if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Fatal(err)
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "configmaps"},
	}}
	if _, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	mine := cluster.AuditFilter{Since: since, User: "writer"}
	if got := writes(t, mine); len(got) != 0 {
		t.Errorf("a dry run, a review and a read count as writes: %v", got)
	}

	if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err == nil {
		t.Fatal("the same object was created twice")
	}
	if err := maps.Delete(t.Context(), "audited", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	got := writes(t, mine)
	want := []struct {
		verb, name string
		code       int
	}{{"create", "audited", 201}, {"create", "audited", 409}, {"delete", "audited", 200}}
	if len(got) != len(want) {
		t.Fatalf("writes are %v, want %v", got, want)
	}
	for i, w := range want {
		e := got[i]
		// A create that failed names no object: the server had not made one.
		if e.Verb != w.verb || e.Code != w.code || e.Resource != "configmaps" || e.Namespace != "default" || e.User != "writer" {
			t.Errorf("write %d is %v (%+v), want %v", i, e, e, w)
		}
	}
	if got := writes(t, cluster.AuditFilter{Since: since, User: "writer", DryRun: true}); len(got) != 4 {
		t.Errorf("with dry runs: %v, want 4 writes", got)
	}
	if got := writes(t, cluster.AuditFilter{Since: since, User: "writer", Accepted: true}); len(got) != 2 {
		t.Errorf("accepted writes: %v, want 2", got)
	}
	for _, none := range []cluster.AuditFilter{
		{Since: since, User: "somebody"},
		{Since: since, User: "writer", UserAgent: "nobody/"},
		{Since: since, User: "writer", Namespace: "other"},
		{Since: since, User: "writer", Resource: "secrets"},
		{Since: time.Now(), User: "writer"},
	} {
		if got := writes(t, none); len(got) != 0 {
			t.Errorf("filter %+v lets %v through", none, got)
		}
	}
	if got := writes(t, cluster.AuditFilter{Since: since, User: "writer", UserAgent: got[0].UserAgent}); len(got) != 3 {
		t.Errorf("filtered by our own user agent: %v, want 3 writes", got)
	}
}

// A write must be in the log when the client has its answer. That it always is
// follows from the line that is written before the request runs.
func TestAuditLogMissesNoWriteThatWasAnswered(t *testing.T) {
	path, err := shared.User("burster", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	kube := clientOf(t, path)
	const burst = 50
	for i := range burst {
		createConfigMap(t, kube, "burst-"+strings.Repeat("x", i+1))
		if got := writes(t, cluster.AuditFilter{User: "burster"}); len(got) != i+1 {
			t.Fatalf("%d writes are logged after %d answers", len(got), i+1)
		}
	}
	log, err := os.ReadFile(filepath.Join(shared.Dir(), "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, `"username":"burster"`) && strings.Contains(line, `"stage":"RequestReceived"`) {
			before++
		}
	}
	if before != burst {
		t.Errorf("%d of %d writes were logged before they ran", before, burst)
	}
}

func TestRequestsListsReadsToo(t *testing.T) {
	path, err := shared.User("reader", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	if _, err := clientOf(t, path).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		got, err := shared.Requests(cluster.AuditFilter{Since: since, User: "reader"})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 1 && got[0].Verb == "list" && got[0].Resource == "secrets" {
			return ""
		}
		return "the list is not in the log"
	})
}

func writes(t *testing.T, filter cluster.AuditFilter) []cluster.AuditEvent {
	t.Helper()
	events, err := shared.Writes(filter)
	if err != nil {
		t.Fatal(err)
	}
	return events
}
