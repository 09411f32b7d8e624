package storage

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
)

// writeFirstVersion writes a database as version 1 of the schema had it: no
// word index, and messages without any other.
func writeFirstVersion(t *testing.T, path string, all []*chat.Message) {
	t.Helper()
	db, err := sqlite3.Open("file:" + uriPath(path) + "?vfs=adiantum")
	must(t, err)
	defer db.Close()
	must(t, db.Exec(fmt.Sprintf("PRAGMA hexkey='%x'", [KeySize]byte{1})))
	must(t, db.Exec(`PRAGMA journal_mode=WAL; BEGIN;
		CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
		PRAGMA user_version = 1; COMMIT`))
	stmt, _, err := db.Prepare("INSERT INTO kv VALUES(?, ?)")
	must(t, err)
	defer stmt.Close()
	put := func(k string, v []byte) {
		must(t, stmt.BindBlob(1, []byte(k)))
		must(t, stmt.BindBlob(2, v))
		must(t, stmt.Exec())
	}
	for _, m := range all {
		raw, err := json.Marshal(m)
		must(t, err)
		k := familyMessage + m.Chat + "\x00" + string(number(m.Clock)) + string(m.ID[:])
		put(k, raw)
		put(familyByID+string(m.ID[:]), []byte(k))
	}
	for _, id := range []string{"a", "b"} {
		raw, err := json.Marshal(chat.Chat{ID: id, Kind: message.PublicChat, Active: true, LastClock: 1000})
		must(t, err)
		put(familyChat+id, raw)
	}
}

// A database of the first version is read at once and indexed in slices, over
// restarts, while its messages change and new ones come.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	var all []*chat.Message
	for i := range 60 {
		all = append(all, textMessage(t, []string{"a", "b"}[i%2], uint64(i)+1, 1, 1, fmt.Sprint("old number", i)))
	}
	writeFirstVersion(t, path, all)
	open := func() *DB {
		db, err := Open(path, [KeySize]byte{1})
		must(t, err)
		return db
	}
	db := open()
	must(t, db.View(func(tx *Tx) error {
		got, err := tx.Messages("a")
		equal(t, "messages at once", len(got), 30)
		p, err2 := tx.Page(PageQuery{Chat: "b", Limit: 30})
		equal(t, "page at once", len(p.Messages), 30)
		must(t, err2)
		return err
	}))
	must(t, db.Update(func(tx *Tx) error {
		must(t, tx.PutMessage(textMessage(t, "a", 100, 1, 1, "new")))
		changed := *all[58] // of chat a, not indexed yet
		changed.Text = "changed"
		must(t, tx.PutMessage(&changed))
		must(t, tx.DeleteMessage(all[56].ID))
		must(t, tx.DeleteMessage(all[1].ID))
		return nil
	}))
	slices := 0
	for more := true; more; slices++ {
		var err error
		more, err = db.work(7)
		must(t, err)
		if slices%3 == 1 { // a restart in between
			must(t, db.Close())
			db = open()
		}
		if slices == 2 {
			must(t, db.Update(func(tx *Tx) error {
				again := *all[0] // indexed already
				again.Text = "changed"
				must(t, tx.PutMessage(&again))
				return tx.DeleteMessage(all[2].ID)
			}))
		}
	}
	defer func() { db.Close() }()
	if slices < 8 {
		t.Errorf("all was indexed in %d slices", slices)
	}
	f, err := db.Search(Query{Text: "number", Limit: 100})
	must(t, err)
	equal(t, "found", len(f.Messages), 60-3-2)
	equal(t, "changed", len(found(t, db, Query{Text: "changed"})), 2)
	equal(t, "rows", rowsOf(t, db.backend.(*database)), 60-3+1)
	must(t, db.View(func(tx *Tx) error {
		p, err := tx.Page(PageQuery{Limit: 100})
		equal(t, "of all chats", len(p.Messages), 60-3+1)
		s, err2 := tx.Summary("a")
		equal(t, "a", []any{s.Last.Text, s.Unread}, []any{"new", 1})
		b, err3 := tx.Summary("b")
		equal(t, "b", []any{b.Last.ID, b.Unread}, []any{all[59].ID, 0})
		must(t, err2)
		must(t, err3)
		return err
	}))
	if more, err := db.Work(); more || err != nil {
		t.Errorf("there is more to do: %v, %v", more, err)
	}
}

// Clearing a large chat and reading a chat of much that is unread cost a slice
// at a time, go on after a restart, and are seen at once.
func TestClearInSlices(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := Open(path, [KeySize]byte{1})
	must(t, err)
	const messages = inlineMost + 100
	must(t, db.Update(func(tx *Tx) error {
		for _, id := range []string{"a", "b"} {
			must(t, tx.PutChat(chat.Chat{ID: id, Active: true, LastClock: messages}))
			for i := range messages {
				must(t, tx.PutMessageAs(textMessage(t, id, uint64(i)+1, id[0], 1, "word"), Notice{Unread: true, Mention: i%2 == 0}))
			}
		}
		return nil
	}))
	counts := func(id string) (unread, mentions int) {
		must(t, db.View(func(tx *Tx) error {
			c, _, err := tx.Chat(id)
			s, err2 := tx.Summary(id)
			must(t, err2)
			equal(t, "counts", []int{c.UnreadCount, c.MentionCount}, []int{s.Unread, s.Mentions})
			unread, mentions = s.Unread, s.Mentions
			return err
		}))
		return unread, mentions
	}
	left := func(prefix string) (n int) {
		must(t, db.View(func(tx *Tx) error {
			return tx.Range(kv.Prefix(prefix), func(string, []byte) error { n++; return nil })
		}))
		return n
	}
	must(t, db.Update(func(tx *Tx) error {
		must(t, errOf(tx.MarkRead("b", messages-3)))
		return errOf(tx.ClearHistory("a"))
	}))
	for id, want := range map[string][2]int{"a": {0, 0}, "b": {3, 1}} {
		if unread, mentions := counts(id); unread != want[0] || mentions != want[1] {
			t.Errorf("%s: %d unread, %d mentions", id, unread, mentions)
		}
	}
	if n := left(familyUnread); n != 2*messages-2*inlineMost {
		t.Errorf("%d marks are left after the first slice", n)
	}
	equal(t, "found", len(found(t, db, Query{Text: "word", Chat: "a"})), 0)
	must(t, db.View(func(tx *Tx) error {
		p, err := tx.Page(PageQuery{Chat: "a"})
		equal(t, "page", len(p.Messages), 0)
		return err
	}))
	for n, more := messages, true; more; {
		must(t, db.Close())
		db, err = Open(path, [KeySize]byte{1})
		must(t, err)
		more, err = db.work(100)
		must(t, err)
		now := left(familyMessage + "a\x00")
		if n-now > 100 {
			t.Errorf("a slice of %d", n-now)
		}
		n = now
	}
	defer func() { db.Close() }()
	equal(t, "left", []int{left(familyMessage + "a\x00"), left(familyMessage + "b\x00"), left(familyUnread), left(familyWork), rowsOf(t, db.backend.(*database))}, []int{0, messages, 3, 0, messages})
	if _, ok, err := func() (m *chat.Message, ok bool, err error) {
		err = db.View(func(tx *Tx) error { m, ok, err = tx.Message(message.ID{0, 1, 'a'}); return err })
		return m, ok, err
	}(); ok || err != nil {
		t.Errorf("a cleared message is there: %v, %v", ok, err)
	}
}

func errOf[T any](_ T, err error) error { return err }
