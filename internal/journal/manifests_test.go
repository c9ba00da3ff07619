// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const canary = "canary-7b1d0c3e-secret"

func TestNoManifestIsOnTheDiskInTheClear(t *testing.T) {
	dir := memory(t)
	j := open(t, dir, small)
	m := manifests(revision("a"), "one="+canary)
	if !bytes.Contains(m.Bytes(), []byte(canary)) {
		t.Fatal("the canary is not in the manifests")
	}
	converge(t, j, m)
	j.Die() // the rollback journal is there, too
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	check(t, err)
	if len(files) < 4 {
		t.Errorf("only %v are there", files)
	}
	for _, f := range files {
		text := must(os.ReadFile(f))(t)
		for _, word := range []string{canary, "canary", "apiVersion: v1"} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s holds %q", f, word)
			}
		}
	}
	got := must(open(t, dir, small).Manifests(t.Context(), "fleet", m.Digest))(t)
	if !bytes.Equal(got.Bytes(), m.Bytes()) {
		t.Errorf("read back as %q", got.Bytes())
	}
}

func TestRevisionsShareTheObjectsThatTheyHaveInCommon(t *testing.T) {
	j := open(t, memory(t), small)
	converge(t, j, manifests(revision("a"), "one=1", "two=2", "three=3"))
	converge(t, j, manifests(revision("b"), "one=1", "two=2", "three=4"))
	converge(t, j, manifests(revision("a"), "one=1", "two=2", "three=3"))
	for table, want := range map[string]int{"objects": 4, "manifests": 2, "manifest_objects": 6} {
		var n int
		check(t, j.Query("SELECT count(*) FROM "+table, &n))
		if n != want {
			t.Errorf("%d rows in %s, want %d", n, table, want)
		}
	}
}

func TestHooksAndBundlesComeBackAsTheyWere(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1", "two=2")
	m.Bundles = []gitops.Bundle{{Name: "app", DependsOn: []string{"infra"}, Gate: gitops.GateWanted, Timeout: 9, Force: true, Drift: gitops.DriftNotify}}
	m.Objects[1].Wave = -5
	m.Objects[1].Hook = &gitops.Hook{Events: []string{"pre-install"}, DeletePolicy: []string{"hook-succeeded"}}
	begin(t, j, m)
	got := must(j.Manifests(t.Context(), "fleet", m.Digest))(t)
	if b := got.Bundles[0]; b.DependsOn[0] != "infra" || b.Gate != gitops.GateWanted || b.Timeout != 9 || !b.Force || b.Drift != gitops.DriftNotify {
		t.Errorf("bundle is %+v", b)
	}
	if o := got.Objects[1]; o.Wave != -5 || o.Hook == nil || o.Hook.Events[0] != "pre-install" || o.Ref != ref("two") || o.Bundle != "app" {
		t.Errorf("object is %+v", o)
	}
}

func TestAManifestThatIsNotItsDigestIsNotKept(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1", "two=2")
	m.Objects[1].YAML = []byte("something else\n")
	_, err := j.Begin(t.Context(), gitops.BeginRequest{Source: "fleet", Revision: m.Revision, Plan: plan(nil, m)})
	wantReason(t, err, gitops.InvalidManifest, "ConfigMap/default/two")
	if got := must(j.Attempts(t.Context(), "fleet", 0))(t); len(got) != 0 {
		t.Errorf("attempts are %+v", got)
	}
}

func TestDamagedManifestsAreNeverReturned(t *testing.T) {
	for name, damage := range map[string]string{
		"an object's bytes":     "UPDATE objects SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB)",
		"an object's version":   "UPDATE objects SET sealed = CAST(x'07' || substr(sealed, 2) AS BLOB)",
		"a short object":        "UPDATE objects SET sealed = x'01'",
		"a missing object":      "DELETE FROM objects WHERE id = 1",
		"a missing link":        "DELETE FROM manifest_objects",
		"the list":              "UPDATE manifests SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB)",
		"an object for another": "UPDATE objects SET sealed = (SELECT o.sealed FROM objects o WHERE o.id != objects.id)",
		"a list for another":    "UPDATE manifests SET sealed = (SELECT o.sealed FROM objects o LIMIT 1)",
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, memory(t), small)
			m := manifests(revision("a"), "one=1", "two=2")
			converge(t, j, m)
			check(t, j.Exec(damage))
			got, err := j.Manifests(t.Context(), "fleet", m.Digest)
			wantReason(t, err, gitops.JournalFailed, "from the journal")
			for _, o := range got.Objects {
				if o.YAML != nil && gitops.Digest(o.YAML) != o.Digest {
					t.Errorf("%s came back as %q", o.Ref, o.YAML)
				}
			}
		})
	}
}

// Every object of the first is in the second, so that only the name under which
// the list was sealed tells them apart.
func TestAListUnderAnothersNameIsNotTaken(t *testing.T) {
	j := open(t, memory(t), small)
	less, more := manifests(revision("a"), "one=1"), manifests(revision("b"), "one=1", "two=2")
	converge(t, j, less)
	converge(t, j, more)
	check(t, j.Exec("UPDATE manifests SET sealed = (SELECT m.sealed FROM manifests m WHERE m.digest = ?) WHERE digest = ?", less.Digest, more.Digest))
	_, err := j.Manifests(t.Context(), "fleet", more.Digest)
	wantReason(t, err, gitops.JournalFailed, "does not open")
}

func TestWhatIsReadHasTheDigestThatItIsKeptUnder(t *testing.T) {
	j := open(t, memory(t), small)
	m := manifests(revision("a"), "one=1")
	converge(t, j, m)
	check(t, j.Exec("UPDATE objects SET sealed = ?", j.Seal([]byte("kind: Other\n"), m.Objects[0].Digest)))
	_, err := j.Manifests(t.Context(), "fleet", m.Digest)
	wantReason(t, err, gitops.JournalFailed, "not what its digest says")
}

func TestManifestsThatWereNeverKeptAreNotFound(t *testing.T) {
	j := open(t, memory(t), small)
	_, err := j.Manifests(t.Context(), "fleet", "sha256:none")
	wantReason(t, err, gitops.NotFoundHere, "does not keep them", "history")
}
