// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// The inventory of a source is one table, and it is always the union: the last
// exact set, what every attempt since has announced, and what was recorded about
// them. Only three things take a row out: an attempt that reaches Pruned with an
// exact set, one that failed before it wrote anything (only rows that it brought
// itself), and Remove. A crash between any two calls therefore leaves at worst rows of objects that do not exist, never the
// reverse:
//
//	Begin │ write … │ Applied │ Healthy │ prune … │ Pruned
//	  crash before Begin: nothing was written
//	  crash, failure or supersession up to Pruned: announced rows are there
//	  crash after pruning, before Pruned: rows of deleted objects; the resumed
//	  attempt finds them gone and reaches Pruned

// Owned is everything that the source may own, by identity. Items that were
// announced and never recorded have no Digest.
func (j *Journal) Owned(ctx context.Context, source string) (gitops.Inventory, error) {
	var out gitops.Inventory
	err := j.read(ctx, "read the inventory of source "+source, func(ctx context.Context, q querier) error {
		rows, err := readInventory(ctx, q, source)
		for _, r := range rows {
			out = append(out, r.Item)
		}
		out = out.Sorted()
		return err
	})
	return out, err
}

// Record notes what was applied outside an attempt, e.g. after drift was
// repaired.
func (j *Journal) Record(ctx context.Context, source string, items []gitops.Item) error {
	doing := "record what was applied for source " + source
	return j.writeIf(ctx, doing, func(ctx context.Context, q querier) (bool, error) {
		have, err := readInventory(ctx, q, source)
		if err != nil {
			return false, err
		}
		for _, item := range items {
			old, ok := have[item.Ref.Key()]
			if !ok || old.merge(item).Item != old.Item {
				return true, nil
			}
		}
		return false, nil
	}, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO sources (name) VALUES (?) ON CONFLICT DO NOTHING", source); err != nil {
			return err
		}
		return recordItems(ctx, tx, source, 0, items)
	})
}

// inventoryRow is an item and the attempt that first announced it.
type inventoryRow struct {
	gitops.Item
	announced int64
}

// merge is the row after item was recorded. An item without a digest announces
// and never hides what is recorded. Who took the object in, and what was there
// before, stays unless the item says otherwise; so does that a Job is complete,
// for as long as its digest is the same.
func (r inventoryRow) merge(item gitops.Item) inventoryRow {
	if item.Digest == "" {
		return r
	}
	if item.Entered == 0 {
		item.Entered, item.PriorUID = r.Entered, r.PriorUID
	}
	if item.Completed == "" && r.Completed == item.Digest {
		item.Completed = r.Completed
	}
	return inventoryRow{Item: item, announced: r.announced}
}

// announce adds what an attempt may write, before it writes. An object that an
// attempt took in which then failed, and that this one wants too, is this one's
// from here on: it is this one that must be undone for it to go.
func announce(ctx context.Context, tx *sql.Tx, source string, attempt int64, items gitops.Inventory, target gitops.Manifests) error {
	have, err := readInventory(ctx, tx, source)
	if err != nil {
		return err
	}
	failed := map[int64]bool{}
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		failed[id] = true
		return err
	}, "SELECT id FROM attempts WHERE source = ? AND phase = ?", source, gitops.PhaseFailed)
	if err != nil {
		return err
	}
	wanted := make(map[gitops.ObjectKey]bool, len(target.Objects))
	for _, o := range target.Objects {
		wanted[o.Ref.Key()] = true
	}
	var rows []inventoryRow
	for _, item := range items {
		row, ok := have[item.Ref.Key()]
		switch {
		case !ok:
			item.Entered = attempt
			rows = append(rows, inventoryRow{Item: item, announced: attempt})
		case failed[row.Entered] && wanted[item.Ref.Key()]:
			if row.Digest == "" && row.PriorUID == "" {
				// The failed attempt may never have written it, and somebody else has
				// made it meanwhile: then it must be released, not deleted.
				row.PriorUID = item.PriorUID
			}
			row.Entered = attempt
			rows = append(rows, row)
		}
	}
	return writeRows(ctx, tx, source, rows)
}

// recordItems notes what was applied. Objects that nobody announced are taken
// in by the attempt.
func recordItems(ctx context.Context, tx *sql.Tx, source string, attempt int64, items []gitops.Item) error {
	if len(items) == 0 {
		return nil
	}
	have, err := readInventory(ctx, tx, source)
	if err != nil {
		return err
	}
	return writeRows(ctx, tx, source, changed(have, attempt, items))
}

// replaceInventory makes items the exact set.
func replaceInventory(ctx context.Context, tx *sql.Tx, source string, attempt int64, items gitops.Inventory) error {
	have, err := readInventory(ctx, tx, source)
	if err != nil {
		return err
	}
	drop, err := tx.PrepareContext(ctx, "DELETE FROM inventory WHERE source = ? AND grp = ? AND kind = ? AND namespace = ? AND name = ?")
	if err != nil {
		return err
	}
	defer drop.Close()
	keep := items.Index()
	for key := range have {
		if _, ok := keep[key]; ok {
			continue
		}
		if _, err := drop.ExecContext(ctx, source, key.Group, key.Kind, key.Namespace, key.Name); err != nil {
			return err
		}
	}
	return writeRows(ctx, tx, source, changed(have, attempt, items))
}

// changed is the rows that items make different. Only these are written.
func changed(have map[gitops.ObjectKey]inventoryRow, attempt int64, items []gitops.Item) []inventoryRow {
	var out []inventoryRow
	for _, item := range items {
		row, ok := have[item.Ref.Key()]
		if !ok {
			if item.Entered == 0 {
				item.Entered = attempt
			}
			out = append(out, inventoryRow{Item: item, announced: attempt})
			continue
		}
		if merged := row.merge(item); merged != row {
			out = append(out, merged)
		}
	}
	return out
}

// forgetAnnounced takes back what only this attempt announced, and nobody wrote.
func forgetAnnounced(ctx context.Context, tx *sql.Tx, source string, attempt int64) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM inventory WHERE source = ? AND announced = ? AND digest = ''", source, attempt)
	return err
}

func readInventory(ctx context.Context, q querier, source string) (map[gitops.ObjectKey]inventoryRow, error) {
	out := map[gitops.ObjectKey]inventoryRow{}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var r inventoryRow
		if err := rows.Scan(&r.Ref.Group, &r.Ref.Kind, &r.Ref.Namespace, &r.Ref.Name, &r.Ref.Version, &r.Bundle,
			&r.Digest, &r.UID, &r.Fields, &r.PriorUID, &r.Entered, &r.announced, &r.Completed, &r.Hook); err != nil {
			return err
		}
		out[r.Ref.Key()] = r
		return nil
	}, `SELECT grp, kind, namespace, name, version, bundle, digest, uid, fields, prior_uid, entered, announced,
		completed, hook FROM inventory WHERE source = ?`, source)
	return out, err
}

func writeRows(ctx context.Context, tx *sql.Tx, source string, rows []inventoryRow) error {
	if len(rows) == 0 {
		return nil
	}
	put, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO inventory
		(source, grp, kind, namespace, name, version, bundle, digest, uid, fields, prior_uid, entered, announced, completed, hook)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer put.Close()
	for _, r := range rows {
		if _, err := put.ExecContext(ctx, source, r.Ref.Group, r.Ref.Kind, r.Ref.Namespace, r.Ref.Name, r.Ref.Version,
			r.Bundle, r.Digest, r.UID, r.Fields, r.PriorUID, r.Entered, r.announced, r.Completed, r.Hook); err != nil {
			return err
		}
	}
	return nil
}
