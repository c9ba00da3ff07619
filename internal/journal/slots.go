// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Losing the journal must not begin trust anew: whoever could make a node
// forget would have it accept what it refused before. So what trust rests on is
// also in two files beside the journal, written in turn: a cut while one is
// written leaves the other.

const (
	// maxSlot bounds what is read of a slot. A larger one would be taken for a
	// damaged one, and trust for lost, so none is written.
	maxSlot = 8 << 20
	// slotRoom is left free by lists of revoked keys. Such a list may come as
	// large as its roots like. What is accepted next must fit beside it, and so
	// must a heartbeat with its statement, an object of up to 1 MiB, in base64:
	// else whoever stole a heartbeat's key could keep a node from learning.
	slotRoom = 2 << 20
)

var slotNames = [2]string{"trust.0", "trust.1"}

// slot is what is kept of the whole journal.
type slot struct {
	Sequence int64  `json:"sequence"`
	Node     string `json:"node,omitempty"`
	// Lost are the rows of meta that say that trust was lost: a second loss must
	// not be taken for a beginning.
	Lost    []string              `json:"lost,omitempty"`
	Sources map[string]slotSource `json:"sources"`
}

type slotSource struct {
	Accepted     *gitops.At     `json:"accepted,omitempty"`
	Hold         *gitops.Hold   `json:"hold,omitempty"`
	Introduction gitops.Hash    `json:"introduction,omitempty"`
	Learned      gitops.Learned `json:"learned,omitzero"`
}

// slots is what is known of the two files.
type slots struct {
	dir   string
	there bool // one of the files exists, readable or not
	best  *slot
	next  int // which is written next
}

// readSlots finds the newest slot that is whole.
func readSlots(dir string) slots {
	s := slots{dir: dir}
	for i, name := range slotNames {
		text, err := readBounded(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		s.there = true
		if one := parseSlot(text); err == nil && one != nil && (s.best == nil || one.Sequence > s.best.Sequence) {
			s.best, s.next = one, 1-i
		}
	}
	return s
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSlot))
}

// parseSlot reads a slot, nil when it is not whole: its last line is the digest
// of all before.
func parseSlot(text []byte) *slot {
	end := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
	if string(text[end:]) != slotSum(text[:end]) {
		return nil
	}
	var one slot
	if json.Unmarshal(text[:end], &one) != nil {
		return nil
	}
	return &one
}

func slotSum(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:]) + "\n"
}

// slotTooLarge says that a change was not made: the slots could not hold it.
type slotTooLarge struct{ size, most int }

func (e *slotTooLarge) Error() string {
	return fmt.Sprintf("what trust rests on would take %d bytes in the files beside the journal, and %d are the most: nothing was changed", e.size, e.most)
}

// nextSlot is what the older slot is to be written over with, no text when
// nothing of it has changed. What leaves less than room of it is refused: that
// is asked before a commit, which leaves the journal and the slots as they were.
func (j *Journal) nextSlot(ctx context.Context, q querier, room int) (now *slot, text []byte, err error) {
	if now, err = snapshot(ctx, q); err != nil {
		return nil, nil, err
	}
	if best := j.slots.best; best != nil {
		now.Sequence = best.Sequence
		same, err := json.Marshal(best)
		text, err2 := json.Marshal(now)
		if err == nil && err2 == nil && bytes.Equal(same, text) {
			return now, nil, nil
		}
	}
	now.Sequence++
	if text, err = json.MarshalIndent(now, "", " "); err != nil {
		return nil, nil, err
	}
	text = append(text, '\n')
	text = append(text, slotSum(text)...)
	if most := maxSlot - room; len(text) > most {
		return nil, nil, &slotTooLarge{size: len(text), most: most}
	}
	return now, text, nil
}

// saveSlot writes what trust rests on when that has changed. It follows a
// commit, which it does not take back: where the file cannot be written, the
// next commit tries again.
func (j *Journal) saveSlot(now *slot, text []byte) {
	if text == nil || writeSlot(filepath.Join(j.slots.dir, slotNames[j.slots.next]), text) != nil {
		return
	}
	j.slots.best, j.slots.next, j.slots.there = now, 1-j.slots.next, true
}

// writeSlot writes over the older slot, and is done when the disk has it.
func writeSlot(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// snapshot is what the journal holds now of what trust rests on.
func snapshot(ctx context.Context, q querier) (*slot, error) {
	node, err := readMeta(ctx, q, "node")
	if err != nil {
		return nil, err
	}
	now := &slot{Node: node, Sources: map[string]slotSource{}}
	if err := each(ctx, q, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		now.Lost = append(now.Lost, name)
		return err
	}, "SELECT name FROM meta WHERE name = ?1 OR name LIKE ?1 || '/%' ORDER BY name", trustLost); err != nil {
		return nil, err
	}
	return now, each(ctx, q, func(rows *sql.Rows) error {
		var name string
		var one slotSource
		var learned *gitops.Learned
		if err := rows.Scan(&name, asJSON(&one.Accepted), asJSON(&one.Hold), &one.Introduction, asJSON(&learned)); err != nil {
			return err
		}
		if learned != nil {
			one.Learned = *learned
		}
		now.Sources[name] = one
		return nil
	}, "SELECT name, accepted, hold, introduction, learned FROM sources LEFT JOIN trust ON source = name")
}

// The rows of meta that say that trust was lost: for every source of which
// nothing was accepted yet, or for one.
const trustLost = "trust-lost"

// recover gives a new journal what the slots hold. Where there was one before,
// and neither slot can be read, trust is lost until root says where it goes on.
func (j *Journal) recover(ctx context.Context, tx *sql.Tx) error {
	if j.slots.best == nil {
		if j.slots.there || j.rebuilt != "" {
			return setMeta(ctx, tx, trustLost, "1")
		}
		return nil
	}
	if node := j.slots.best.Node; node != "" {
		if err := setMeta(ctx, tx, "node", node); err != nil {
			return err
		}
	}
	for _, row := range j.slots.best.Lost {
		if err := setMeta(ctx, tx, row, "1"); err != nil {
			return err
		}
	}
	for name, one := range j.slots.best.Sources {
		row := sourceRow{Accepted: one.Accepted, Hold: one.Hold, Introduction: one.Introduction}
		if err := writeSource(ctx, tx, name, row); err != nil {
			return err
		}
		if err := learn(ctx, tx, name, one.Learned); err != nil {
			return err
		}
	}
	return nil
}

// LoseTrust records that a source had a state that this journal does not know:
// the cluster holds its objects.
func (j *Journal) LoseTrust(ctx context.Context, source string) error {
	doing := "record that the trust state of source " + source + " is lost"
	return j.writeIf(ctx, doing, func(ctx context.Context, q querier) (bool, error) {
		lost, err := isLost(ctx, q, source)
		return !lost, err
	}, func(ctx context.Context, tx *sql.Tx) error { return setMeta(ctx, tx, trustLost+"/"+source, "1") })
}

// isLost reports whether the state of a source was lost and not found again.
func isLost(ctx context.Context, q querier, source string) (lost bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM meta WHERE name IN (?1, ?1 || '/' || ?2))
		AND NOT EXISTS (SELECT 1 FROM sources WHERE name = ?2 AND accepted IS NOT NULL)`, trustLost, source).Scan(&lost)
	return lost, err
}

// foundTrust takes back that trust was lost, once something was accepted.
func foundTrust(ctx context.Context, tx *sql.Tx, source string) error {
	if err := setFound(ctx, tx, source); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM meta WHERE name = ? AND NOT EXISTS
		(SELECT 1 FROM sources WHERE accepted IS NULL)`, trustLost)
	return err
}

// setFound takes it back for a source that was said to have lost its own.
func setFound(ctx context.Context, tx *sql.Tx, source string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM meta WHERE name = ?", trustLost+"/"+source)
	return err
}
