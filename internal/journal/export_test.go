// SPDX-License-Identifier: Apache-2.0

package journal

// MaxSlot is how large a slot may be, and SlotRoom what lists of revoked keys
// leave free of it.
const (
	MaxSlot  = maxSlot
	SlotRoom = slotRoom
)

// WithVFS opens the database on another SQLite file system.
func (o Options) WithVFS(name string) Options {
	o.vfs = name
	return o
}

// WithHook is called before ("commit") and after ("committed") each commit.
func (o Options) WithHook(hook func(point string)) Options {
	o.hook = hook
	return o
}

// Die leaves the journal as a killed process would: nothing more is written,
// and the kernel gives the lock up.
func (j *Journal) Die() {
	j.turn <- struct{}{}
	defer j.giveUp()
	j.closed = true
	if j.db != nil {
		j.db.Close()
	}
	j.lock.Close()
}

// Query reads one value of the database.
func (j *Journal) Query(query string, to any) error {
	j.turn <- struct{}{}
	defer j.giveUp()
	return j.db.QueryRow(query).Scan(to)
}

// Exec changes the database behind the journal's back.
func (j *Journal) Exec(query string, args ...any) error {
	j.turn <- struct{}{}
	defer j.giveUp()
	_, err := j.db.Exec(query, args...)
	return err
}

// Seal makes a row of the database.
func (j *Journal) Seal(plain []byte, name string) []byte { return j.vault.seal(plain, name) }
