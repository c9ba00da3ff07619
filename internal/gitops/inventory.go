// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"slices"
)

// Item is one object that a source owns, with what the journal recorded when
// it was last applied.
type Item struct {
	Ref    ObjectRef `json:"ref"`
	Bundle string    `json:"bundle,omitempty"`
	// Digest is of the manifest that was applied last, "" when the object was
	// announced (union) and never applied.
	Digest string `json:"digest,omitempty"`
	// UID is the live object's, as the API server answered.
	UID string `json:"uid,omitempty"`
	// Fields is a hash of our managedFields entry after the apply. When the
	// live entry has another hash, a field of ours was changed: drift.
	Fields string `json:"fields,omitempty"`
	// PriorUID is the UID that the object had before the attempt that took it
	// in, "" when it did not exist. Undoing that attempt deletes only what did
	// not exist and releases the rest.
	PriorUID string `json:"priorUID,omitempty"`
	// Entered is the attempt that took the object in.
	Entered int64 `json:"entered,omitempty"`
	// Completed is the digest at which a Job or hook ran to its end: it is not
	// run again for that digest, and its disappearance is not drift.
	Completed string `json:"completed,omitempty"`
	// Hook marks a Helm hook. It is never drift-checked.
	Hook bool `json:"hook,omitempty"`
}

// Inventory is the set of objects that a source owns, sorted by identity.
type Inventory []Item

// Find returns the item of an object.
func (inv Inventory) Find(key ObjectKey) (Item, bool) {
	for _, item := range inv {
		if item.Ref.Key() == key {
			return item, true
		}
	}
	return Item{}, false
}

// Index is the inventory by identity, for many look-ups.
func (inv Inventory) Index() map[ObjectKey]Item {
	m := make(map[ObjectKey]Item, len(inv))
	for _, item := range inv {
		m[item.Ref.Key()] = item
	}
	return m
}

// Union is every object of inv and other. Where both have one, inv's item
// stays: what is recorded wins over what is announced.
func (inv Inventory) Union(other Inventory) Inventory {
	out := slices.Clone(inv)
	have := inv.Index()
	for _, item := range other {
		if _, ok := have[item.Ref.Key()]; !ok {
			out = append(out, item)
		}
	}
	return out.Sorted()
}

// Sorted is a copy ordered by identity.
func (inv Inventory) Sorted() Inventory {
	out := slices.Clone(inv)
	slices.SortFunc(out, func(a, b Item) int { return a.Ref.Compare(b.Ref) })
	return out
}
