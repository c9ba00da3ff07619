// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/reconcile"
)

// ours is the label of the source "s".
var ours = reconcile.SetID("s")

// TestPlanTable is one object in every state it can be in.
func TestPlanTable(t *testing.T) {
	m := manifest(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n")
	applied := gitops.Item{Ref: m.Ref, Bundle: "main", Digest: m.Digest, UID: "u", Fields: "f", Entered: 1}
	with := func(change func(*gitops.Item)) *gitops.Item { i := applied; change(&i); return &i }
	there := reconcile.LiveObject{UID: "u", PartOf: ours, Digest: m.Digest, Fields: "f"}
	now := func(change func(*reconcile.LiveObject)) *reconcile.LiveObject { l := there; change(&l); return &l }
	tests := map[string]struct {
		item   *gitops.Item
		live   *reconcile.LiveObject
		req    func(*gitops.PlanRequest)
		action gitops.Action // "" = not written
		reason gitops.Reason
		prior  string
		fails  gitops.Reason
	}{
		"new":                              {action: gitops.Created, reason: gitops.BecauseNew},
		"there, nobody's":                  {live: &reconcile.LiveObject{UID: "x"}, action: gitops.Configured, reason: "Adopted", prior: "x"},
		"there, another tool's":            {live: &reconcile.LiveObject{UID: "x", Owner: "Flux"}, fails: gitops.OwnedByOther},
		"there, another source's":          {live: &reconcile.LiveObject{UID: "x", PartOf: "other"}, fails: gitops.OwnedByOther},
		"there, another's, adopt":          {live: &reconcile.LiveObject{UID: "x", PartOf: "other"}, req: func(r *gitops.PlanRequest) { r.Adopt = true }, action: gitops.Configured, reason: "Adopted", prior: "x"},
		"there, ours, not in inventory":    {live: &there, action: gitops.Configured, reason: gitops.BecauseChanged, prior: "u"},
		"there, nobody's, drift is notify": {live: &reconcile.LiveObject{UID: "x"}, req: func(r *gitops.PlanRequest) { r.Drift = gitops.DriftNotify }, action: gitops.Configured, reason: "Adopted", prior: "x"},
		"announced, not written":           {item: with(func(i *gitops.Item) { i.Digest, i.UID, i.Fields = "", "", "" }), action: gitops.Created, reason: gitops.BecauseNew},
		"announced, adopted":               {item: with(func(i *gitops.Item) { i.Digest, i.UID, i.Fields, i.PriorUID = "", "", "", "x" }), live: &reconcile.LiveObject{UID: "x"}, action: gitops.Configured, reason: "Adopted", prior: "x"},
		"announced, then made by somebody": {item: with(func(i *gitops.Item) { i.Digest, i.UID, i.Fields = "", "", "" }), live: &reconcile.LiveObject{UID: "x"}, action: gitops.Configured, reason: "Adopted", prior: "x"},
		"announced, and written":           {item: with(func(i *gitops.Item) { i.Digest, i.UID, i.Fields = "", "", "" }), live: &there, action: gitops.Configured, reason: gitops.BecauseChanged},
		"gone, drift is off, rollback":     {item: &applied, req: func(r *gitops.PlanRequest) { r.Drift, r.Rollback = gitops.DriftOff, true }, action: gitops.Created, reason: gitops.BecauseDrift},
		"other digest, notify, rollback":   {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Digest = "new" }), req: func(r *gitops.PlanRequest) { r.Drift, r.Rollback = gitops.DriftNotify, true }, action: gitops.Configured, reason: gitops.BecauseDrift},
		"other digest, notify, rebuilt":    {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Digest = "new" }), req: func(r *gitops.PlanRequest) { r.Drift, r.ClusterRebuilt = gitops.DriftNotify, true }, action: gitops.Configured, reason: gitops.BecauseDrift},
		"other digest, marked, rollback": {item: &applied, live: now(func(l *reconcile.LiveObject) {
			l.Digest = "new"
			l.Annotations = map[string]string{"helm.toolkit.fluxcd.io/driftDetection": "disabled"}
		}), req: func(r *gitops.PlanRequest) { r.Rollback = true }, action: gitops.Configured, reason: gitops.BecauseDrift},
		"same":                  {item: &applied, live: &there},
		"changed":               {item: with(func(i *gitops.Item) { i.Digest = "old" }), live: &there, action: gitops.Configured, reason: gitops.BecauseChanged},
		"changed, drift is off": {item: with(func(i *gitops.Item) { i.Digest = "old" }), live: &there, req: func(r *gitops.PlanRequest) { r.Drift = gitops.DriftOff }, action: gitops.Configured, reason: gitops.BecauseChanged},
		"changed and gone":      {item: with(func(i *gitops.Item) { i.Digest = "old" }), action: gitops.Created, reason: gitops.BecauseNew},
		"gone":                  {item: &applied, action: gitops.Created, reason: gitops.BecauseDrift},
		"gone, drift is off":    {item: &applied, req: func(r *gitops.PlanRequest) { r.Drift = gitops.DriftOff }},
		"another UID":           {item: &applied, live: now(func(l *reconcile.LiveObject) { l.UID = "x" }), action: gitops.Configured, reason: gitops.BecauseDrift},
		"another digest":        {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Digest = "old" }), action: gitops.Configured, reason: gitops.BecauseDrift},
		"other fields":          {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Fields = "x" }), action: gitops.Configured, reason: gitops.BecauseDrift},
		"other fields, marked": {item: &applied, live: now(func(l *reconcile.LiveObject) {
			l.Fields = "x"
			l.Annotations = map[string]string{"helm.toolkit.fluxcd.io/driftDetection": "disabled"}
		})},
		"other fields, left alone": {item: &applied, live: now(func(l *reconcile.LiveObject) {
			l.Fields = "x"
			l.Annotations = map[string]string{"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}
		})},
		"no fields recorded":         {item: with(func(i *gitops.Item) { i.Fields = "" }), live: now(func(l *reconcile.LiveObject) { l.Fields = "x" })},
		"without our label":          {item: &applied, live: now(func(l *reconcile.LiveObject) { l.PartOf = "" }), action: gitops.Configured, reason: gitops.BecauseDrift},
		"with another's label":       {item: &applied, live: now(func(l *reconcile.LiveObject) { l.PartOf = "other" }), fails: gitops.OwnedByOther},
		"kubectl holds fields":       {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Kubectl, l.Foreign = true, true }), action: gitops.Configured, reason: "Adopted"},
		"others hold fields":         {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Foreign = true })},
		"others hold fields, strict": {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Foreign = true }), req: func(r *gitops.PlanRequest) { r.Drift = gitops.DriftStrict }, action: gitops.Configured, reason: "ForeignFields"},
		"on its way out":             {item: &applied, live: now(func(l *reconcile.LiveObject) { l.Terminating = true })},
		"changed, on its way out":    {item: with(func(i *gitops.Item) { i.Digest = "old" }), live: now(func(l *reconcile.LiveObject) { l.Terminating = true }), action: gitops.Created, reason: gitops.BecauseReplaced},
		"full pass":                  {item: &applied, live: &there, req: func(r *gitops.PlanRequest) { r.Full = true }, action: gitops.Configured, reason: gitops.BecauseDrift},
		"rebuilt cluster":            {item: &applied, req: func(r *gitops.PlanRequest) { r.ClusterRebuilt = true; r.Drift = gitops.DriftOff }, action: gitops.Created, reason: gitops.BecauseNew},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			req := gitops.PlanRequest{Source: "s", Want: gitops.Manifests{Objects: []gitops.Manifest{m}}, Guard: guard, Prune: true}
			live := map[gitops.ObjectKey]reconcile.LiveObject{}
			if test.item != nil {
				req.Owned = gitops.Inventory{*test.item}
			}
			if test.live != nil {
				live[m.Ref.Key()] = *test.live
			}
			if test.req != nil {
				test.req(&req)
			}
			plan, err := reconcile.PlanWith(req, live)
			if test.fails != "" {
				wantReason(t, err, test.fails)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.action == "" {
				if !plan.Empty() {
					t.Errorf("the plan writes %+v", plan.Apply)
				}
				return
			}
			if len(plan.Apply) != 1 || plan.Apply[0].Action != test.action || plan.Apply[0].Reason != test.reason {
				t.Fatalf("the plan writes %+v, want %s for %s", plan.Apply, test.action, test.reason)
			}
			if item, _ := plan.Inventory.Find(m.Ref.Key()); item.PriorUID != test.prior || len(plan.Inventory) != 1 {
				t.Errorf("the union is %+v, want prior UID %q", plan.Inventory, test.prior)
			}
			if got := plan.Apply[0].Item.PriorUID; got != test.prior {
				t.Errorf("prior UID is recorded as %q, want %q", got, test.prior)
			}
		})
	}
}

// world draws a source, its inventory and a cluster that may have moved.
func world(t *rapid.T) (gitops.PlanRequest, map[gitops.ObjectKey]reconcile.LiveObject) {
	req := gitops.PlanRequest{
		Source: "s", Drift: gitops.DriftCorrect, Adopt: true, Prune: rapid.Bool().Draw(t, "prune"),
		Guard:      gitops.PruneGuard{MaxDeletes: rapid.IntRange(0, 6).Draw(t, "max"), MaxPercent: 25, Minimum: 5},
		AllowPrune: rapid.IntRange(0, 4).Draw(t, "allow"),
		Rollback:   rapid.Bool().Draw(t, "rollback"), Undone: map[int64]bool{2: true},
	}
	live := map[gitops.ObjectKey]reconcile.LiveObject{}
	for i := range 12 {
		kind := rapid.SampledFrom([]string{"ConfigMap", "PersistentVolumeClaim"}).Draw(t, "kind")
		ref := gitops.ObjectRef{Version: "v1", Kind: kind, Namespace: "shop", Name: fmt.Sprint("o", i)}
		yaml := fmt.Sprintf("apiVersion: v1\nkind: %s\nmetadata: {name: %s, namespace: shop}\ndata: {v: %d}\n", kind, ref.Name, rapid.IntRange(0, 1).Draw(t, "version"))
		digest := gitops.Digest([]byte(yaml))
		if rapid.Bool().Draw(t, "wanted") {
			req.Want.Objects = append(req.Want.Objects, gitops.Manifest{Ref: ref, YAML: []byte(yaml), Digest: digest, Bundle: "b"})
		}
		if rapid.Bool().Draw(t, "owned") {
			req.Owned = append(req.Owned, gitops.Item{
				Ref: ref, Bundle: "b", Entered: rapid.Int64Range(1, 2).Draw(t, "entered"),
				Digest: rapid.SampledFrom([]string{"", digest, "old"}).Draw(t, "digest"), UID: rapid.SampledFrom([]string{"", "u" + ref.Name}).Draw(t, "uid"),
				PriorUID: rapid.SampledFrom([]string{"", "u" + ref.Name}).Draw(t, "prior"), Fields: "f",
			})
		}
		if rapid.Bool().Draw(t, "there") {
			live[ref.Key()] = reconcile.LiveObject{
				UID: "u" + ref.Name, PartOf: rapid.SampledFrom([]string{ours, "", "other"}).Draw(t, "label"), Digest: digest,
				Fields: rapid.SampledFrom([]string{"f", "x"}).Draw(t, "fields"),
			}
		}
	}
	return req, live
}

func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req, live := world(t)
		plan, err := reconcile.PlanWith(req, live)
		if err != nil {
			t.Fatal(err)
		}
		owned, union := req.Owned.Index(), plan.Inventory.Index()
		deletions := 0
		for _, c := range plan.Prune {
			key := c.Ref.Key()
			item, isOwned := owned[key]
			if _, wanted := req.Want.Find(key); wanted || !isOwned {
				t.Fatalf("%s is wanted (%v) or not owned (%v), and pruned", c.Ref, wanted, !isOwned)
			}
			if c.Action != gitops.Deleted {
				continue
			}
			if live[key].PartOf != ours {
				t.Fatalf("%s is not labelled as ours, and deleted", c.Ref)
			}
			undone := req.Rollback && req.Undone[item.Entered]
			if undone && (item.PriorUID != "" || c.Ref.Kind == "PersistentVolumeClaim") {
				t.Fatalf("the rollback deletes %s, which was there before or is precious", c.Ref)
			}
			if !undone {
				if deletions++; !req.Prune {
					t.Fatalf("%s is deleted without prune", c.Ref)
				}
				if c.Ref.Kind == "PersistentVolumeClaim" && req.AllowPrune == 0 {
					t.Fatalf("%s is deleted without confirmation", c.Ref)
				}
			}
		}
		if deletions > max(req.Guard.MaxDeletes, req.AllowPrune) {
			t.Fatalf("%d deletions with a limit of %d and %d confirmed", deletions, req.Guard.MaxDeletes, req.AllowPrune)
		}
		for _, item := range req.Owned {
			if _, ok := union[item.Ref.Key()]; !ok {
				t.Fatalf("%s is owned, and not in the union", item.Ref)
			}
		}
		for _, c := range plan.Apply {
			item, ok := union[c.Ref.Key()]
			if !ok {
				t.Fatalf("%s is written, and not in the union", c.Ref)
			}
			if _, before := owned[c.Ref.Key()]; !before && item.PriorUID != live[c.Ref.Key()].UID {
				t.Fatalf("%s enters with prior UID %q, and %q is there", c.Ref, item.PriorUID, live[c.Ref.Key()].UID)
			}
		}
		settles(t, req, live, plan)
	})
}

// settles carries a plan out in the model: the next plan writes nothing.
func settles(t *rapid.T, req gitops.PlanRequest, live map[gitops.ObjectKey]reconcile.LiveObject, plan gitops.Plan) {
	next := map[gitops.ObjectKey]gitops.Item{}
	for _, item := range plan.Inventory {
		next[item.Ref.Key()] = item
	}
	for _, c := range plan.Apply {
		item := c.Item
		item.UID, item.Fields = "u"+c.Ref.Name, "applied"
		next[c.Ref.Key()] = item
		live[c.Ref.Key()] = reconcile.LiveObject{UID: item.UID, PartOf: ours, Digest: item.Digest, Fields: item.Fields}
	}
	for _, c := range plan.Prune {
		delete(next, c.Ref.Key())
		if c.Action == gitops.Deleted {
			delete(live, c.Ref.Key())
		}
	}
	req.Owned = nil
	for _, item := range next {
		req.Owned = append(req.Owned, item)
	}
	req.Owned = req.Owned.Sorted()
	req.AllowPrune = 0
	again, err := reconcile.PlanWith(req, live)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Apply) > 0 {
		t.Fatalf("the second plan writes %+v", again.Apply)
	}
	for _, c := range again.Prune {
		for _, p := range plan.Prune {
			if c.Ref.Key() == p.Ref.Key() {
				t.Fatalf("%s is pruned twice", c.Ref)
			}
		}
	}
}
