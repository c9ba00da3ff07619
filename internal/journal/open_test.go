// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/journal"
)

func TestTheSettingsThatDurabilityRestsOnAreInEffect(t *testing.T) {
	j := open(t, t.TempDir(), small)
	for pragma, want := range map[string]string{
		"journal_mode": "persist", "synchronous": "3", "foreign_keys": "1", "auto_vacuum": "2", "busy_timeout": "5000",
	} {
		var got string
		check(t, j.Query("PRAGMA "+pragma, &got))
		if got != want {
			t.Errorf("%s is %q, want %q", pragma, got, want)
		}
	}
	// Defensive: the schema cannot be edited by SQL; and "x" is never a string.
	if err := j.Exec("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = name"); err == nil {
		t.Error("the schema can be edited")
	}
	if err := j.Exec(`SELECT "nothing"`); err == nil {
		t.Error("a misspelt name is taken for a string")
	}
}

func TestTheStateDirectoryIsMadePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "state")
	converge(t, open(t, dir, small), manifests(revision("a"), "one=1"))
	for name, want := range map[string]os.FileMode{"": 0o700, "journal.db": 0o600, "journal.db-journal": 0o600, "journal.key": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%q has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}

// TestMain lets the test binary play another process.
func TestMain(m *testing.M) {
	switch os.Getenv("JOURNAL_TEST_ROLE") {
	case "holder":
		hold()
	case "crasher":
		crash()
	default:
		os.Exit(m.Run())
	}
}

// hold opens the journal, says so, and keeps it until its input ends.
func hold() {
	j, err := journal.Open(context.Background(), os.Getenv("JOURNAL_TEST_DIR"), small)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("open")
	io.Copy(io.Discard, os.Stdin)
	j.Close()
}

func TestASecondProcessIsRefusedAndToldWhoHasIt(t *testing.T) {
	dir := t.TempDir()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "JOURNAL_TEST_ROLE=holder", "JOURNAL_TEST_DIR="+dir)
	stdin, err := holder.StdinPipe()
	check(t, err)
	stdout, err := holder.StdoutPipe()
	check(t, err)
	check(t, holder.Start())
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if line != "open\n" {
		t.Fatalf("the holder says %q", line)
	}
	_, err = journal.Open(t.Context(), dir, small)
	wantReason(t, err, gitops.JournalLocked, fmt.Sprintf("process %d (%s", holder.Process.Pid, os.Args[0]), "since 20", "stop that process")
	check(t, stdin.Close())
	check(t, holder.Wait())
	open(t, dir, small)
	// A second opener in this process is refused too.
	_, err = journal.Open(t.Context(), dir, small)
	wantReason(t, err, gitops.JournalLocked, fmt.Sprintf("process %d", os.Getpid()))
}

func TestAnUnreadableNameOfTheHolderDoesNotHideTheLock(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, small)
	check(t, os.WriteFile(filepath.Join(dir, "lock"), []byte("?"), 0o600))
	_, err := journal.Open(t.Context(), dir, small)
	wantReason(t, err, gitops.JournalLocked, "another process")
}

func TestANewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	check(t, j.Exec("PRAGMA user_version = 999"))
	check(t, j.Close())
	before := must(os.ReadFile(filepath.Join(dir, "journal.db")))(t)
	for _, rebuild := range []bool{false, true} {
		_, err := journal.Open(t.Context(), dir, journal.Options{Ballast: -1, Rebuild: rebuild})
		wantReason(t, err, gitops.JournalFailed, "schema 999", "install")
	}
	if !bytes.Equal(before, must(os.ReadFile(filepath.Join(dir, "journal.db")))(t)) {
		t.Error("the database was changed")
	}
}

func TestADirectoryThatCannotBeWrittenIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	_, err := journal.Open(t.Context(), filepath.Join(file, "state"), small)
	wantReason(t, err, gitops.JournalFailed, file, "not writable")
}

// corrupt overwrites the pages after the first.
func corrupt(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "journal.db")
	text := must(os.ReadFile(path))(t)
	for i := 4096; i < len(text); i++ {
		text[i] = 0xff
	}
	check(t, os.WriteFile(path, text, 0o600))
}

func TestACorruptJournalIsMovedAsideOnlyWhenAllowed(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"pages": corrupt,
		"header": func(t *testing.T, dir string) {
			check(t, os.WriteFile(filepath.Join(dir, "journal.db"), bytes.Repeat([]byte("x"), 9000), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir, small)
			converge(t, j, manifests(revision("a"), "one=1"))
			j.Die() // an unclean stop: the next start looks at every page
			damage(t, dir)
			damaged := must(os.ReadFile(filepath.Join(dir, "journal.db")))(t)

			_, err := journal.Open(t.Context(), dir, small)
			wantReason(t, err, gitops.JournalFailed, "corrupt", "rebuild")
			if !bytes.Equal(damaged, must(os.ReadFile(filepath.Join(dir, "journal.db")))(t)) {
				t.Fatal("the damaged journal was changed")
			}

			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			opts := journal.Options{Ballast: -1, Rebuild: true, Now: func() time.Time { return now }}
			j = open(t, dir, opts)
			aside := filepath.Join(dir, "journal.db.corrupt-20260102T030405Z")
			if j.Rebuilt() != aside || !bytes.Equal(damaged, must(os.ReadFile(aside))(t)) {
				t.Errorf("rebuilt from %q", j.Rebuilt())
			}
			// Left behind, its rollback journal would be played into the new file.
			if _, err := os.Stat(aside + "-journal"); err != nil {
				t.Error(err)
			}
			if got := owned(t, j); len(got) != 0 {
				t.Errorf("a rebuilt journal owns %v", got)
			}
			m := manifests(revision("b"), "one=1")
			converge(t, j, m)
			j.Die()
			// Once more within the same second; and a good journal is never moved.
			damage(t, dir)
			j = open(t, dir, opts)
			if j.Rebuilt() != aside+".1" {
				t.Errorf("rebuilt from %q", j.Rebuilt())
			}
			converge(t, j, m)
			check(t, j.Close())
			j = open(t, dir, opts)
			if j.Rebuilt() != "" || len(owned(t, j)) != 1 {
				t.Errorf("a good journal was rebuilt from %q", j.Rebuilt())
			}
		})
	}
}

func TestOnlyAnUncleanStopCostsACheckOfEveryPage(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	for i := range 30 {
		converge(t, j, manifests(revision("a"), fmt.Sprintf("one=%d %s", i, strings.Repeat("x", 3000))))
	}
	var page int // that starting does not read
	check(t, j.Query("SELECT max(pageno) FROM dbstat WHERE name = 'attempts' AND pagetype = 'leaf'", &page))
	check(t, j.Close())
	path := filepath.Join(dir, "journal.db")
	text := must(os.ReadFile(path))(t)
	copy(text[(page-1)*4096:], bytes.Repeat([]byte{0xff}, 4096))
	check(t, os.WriteFile(path, text, 0o600))

	j = open(t, dir, small) // after a clean stop
	check(t, j.SetNodeName(t.Context(), "store-1"))
	j.Die()
	_, err := journal.Open(t.Context(), dir, small)
	wantReason(t, err, gitops.JournalFailed, "corrupt")
}

func TestALostKeyIsNoticedAtTheStart(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"missing":   os.Remove,
		"replaced":  func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("k"), 32), 0o600) },
		"truncated": func(path string) error { return os.Truncate(path, 10) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir, small)
			converge(t, j, manifests(revision("a"), "one=1"))
			check(t, j.Close())
			check(t, lose(filepath.Join(dir, "journal.key")))
			_, err := journal.Open(t.Context(), dir, small)
			wantReason(t, err, gitops.JournalFailed, "journal.key", "restore")
			if _, err := os.Stat(filepath.Join(dir, "journal.key")); name == "missing" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a new key stands where the lost one belongs: %v", err)
			}
			if name == "truncated" {
				return
			}
			j = open(t, dir, journal.Options{Ballast: -1, Rebuild: true})
			if j.Rebuilt() == "" || len(owned(t, j)) != 0 {
				t.Errorf("rebuilt from %q", j.Rebuilt())
			}
			m := manifests(revision("b"), "one=1")
			converge(t, j, m)
			must(j.Manifests(t.Context(), "fleet", m.Digest))(t)
		})
	}
}

func TestAKeyThatSealedNothingMayBeReplaced(t *testing.T) {
	dir := t.TempDir()
	check(t, open(t, dir, small).Close())
	check(t, os.Remove(filepath.Join(dir, "journal.key")))
	j := open(t, dir, small)
	m := manifests(revision("a"), "one=1")
	converge(t, j, m)
	check(t, j.Close())
	must(open(t, dir, small).Manifests(t.Context(), "fleet", m.Digest))(t)
}
