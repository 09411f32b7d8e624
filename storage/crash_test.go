package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/parley-im/parley/app/chat"
)

// When the word index fails, the message is not stored either, and the database
// works on when the index is back.
func TestIndexFails(t *testing.T) {
	t.Parallel()
	db, err := Open(filepath.Join(t.TempDir(), "a.db"), [KeySize]byte{1})
	must(t, err)
	defer db.Close()
	one, two := textMessage(t, "a", 1, 1, 1, "one"), textMessage(t, "a", 2, 1, 1, "two")
	must(t, db.Update(func(tx *Tx) error { return tx.PutMessage(one) }))
	raw := db.backend.(*database).w.db
	must(t, raw.Exec("ALTER TABLE search RENAME TO elsewhere"))
	if err := db.Update(func(tx *Tx) error { return tx.PutMessage(two) }); !errors.Is(err, ErrIO) {
		t.Errorf("without an index: %v", err)
	}
	must(t, raw.Exec("ALTER TABLE elsewhere RENAME TO search"))
	check := func(texts int, unread int, last string) {
		t.Helper()
		must(t, db.Update(func(tx *Tx) error {
			all, err := tx.Messages("a")
			equal(t, "messages", len(all), texts)
			s, err2 := tx.Summary("a")
			equal(t, "summary", []any{s.Unread, s.Last.Text}, []any{unread, last})
			must(t, err2)
			return err
		}))
		equal(t, "rows", rowsOf(t, db.backend.(*database)), texts)
	}
	check(1, 1, "one")
	must(t, db.Update(func(tx *Tx) error { return tx.PutMessage(two) }))
	check(2, 2, "two")
}

// Wherever the log of writes is cut off, as by a loss of power (files grow by
// the blocks that are encrypted), what is opened
// again is the state after some transaction: messages, indexes and summary.
func TestCutLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := Open(path, [KeySize]byte{1})
	must(t, err)
	defer db.Close()
	const messages = 30
	must(t, db.Update(func(tx *Tx) error { return tx.PutChat(chat.Chat{ID: "a", Active: true}) }))
	for i := range messages {
		must(t, db.Update(func(tx *Tx) error {
			return tx.PutMessage(textMessage(t, "a", uint64(i)+1, 1, 1, fmt.Sprint("word number", i)))
		}))
	}
	file, err := os.ReadFile(path)
	must(t, err)
	log, err := os.ReadFile(path + "-wal")
	must(t, err)
	rng := rand.New(rand.NewPCG(3, 3))
	seen := map[int]bool{}
	for range 12 {
		cut := filepath.Join(t.TempDir(), "cut.db")
		must(t, os.WriteFile(cut, file, 0o600))
		must(t, os.WriteFile(cut+"-wal", log[:rng.IntN(len(log)/4096+1)*4096], 0o600))
		db, err := Open(cut, [KeySize]byte{1})
		must(t, err)
		must(t, db.View(func(tx *Tx) error {
			all, err := tx.Messages("a")
			must(t, err)
			n := len(all)
			seen[n] = true
			for _, family := range []string{familyByID, familyClock, familyRow, familyUnread} {
				equal(t, fmt.Sprintf("%s of %d messages", family, n), len(keysOf(t, tx, family)), n)
			}
			s, err := tx.Summary("a")
			equal(t, "unread", s.Unread, n)
			if n > 0 {
				equal(t, "last", s.Last.ID, all[n-1].ID)
			}
			return err
		}))
		f, err := db.Search(Query{Text: "word", Limit: MaxPage})
		must(t, err)
		n := rowsOf(t, db.backend.(*database))
		if len(f.Messages) != n || !seen[n] {
			t.Errorf("%d found, %d rows", len(f.Messages), n)
		}
		must(t, db.Close())
	}
	if len(seen) < 3 {
		t.Errorf("the cuts made no difference: %v", seen)
	}
}

func keysOf(t *testing.T, tx *Tx, prefix string) (keys []string) {
	t.Helper()
	must(t, tx.Scan(prefix, func(k string, _ []byte) error { keys = append(keys, k); return nil }))
	return keys
}
