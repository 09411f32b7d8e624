package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/waku/store"
)

// wholeSchema is that of archives in one file, version 1.
const wholeSchema = `
PRAGMA journal_mode = WAL;
CREATE TABLE topics (
	id            INTEGER PRIMARY KEY,
	pubsub_topic  TEXT NOT NULL,
	content_topic TEXT NOT NULL,
	UNIQUE (content_topic, pubsub_topic)
) STRICT;
CREATE TABLE messages (
	timestamp INTEGER NOT NULL,
	hash      BLOB NOT NULL,
	topic     INTEGER NOT NULL REFERENCES topics (id),
	message   BLOB NOT NULL,
	PRIMARY KEY (timestamp, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_topic ON messages (topic, timestamp, hash);
CREATE INDEX messages_by_hash ON messages (hash);
PRAGMA user_version = 1;`

// wholeArchive writes an archive in one file.
func wholeArchive(t *testing.T, path string, entries []store.Entry) {
	t.Helper()
	db, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Exec(wholeSchema); err != nil {
		t.Fatal(err)
	}
	c := &conn{db: db, stmts: make(map[string]*sqlite3.Stmt)}
	defer func() { _ = c.close() }()
	err = c.within(func() error {
		for _, e := range entries {
			id, err := (&slice{topics: make(map[topic]uint32)}).number(c, topic{e.PubsubTopic, e.Message.ContentTopic})
			if err != nil {
				return err
			}
			st, err := c.prepare(`INSERT INTO messages VALUES (?1, ?2, ?3, ?4)`)
			if err != nil {
				return err
			}
			raw, err := proto.Marshal(e.Message)
			if err := errors.Join(err, st.BindInt64(1, e.Message.GetTimestamp()), st.BindBlob(2, e.Hash[:]),
				st.BindInt64(3, int64(id)), st.BindBlob(4, raw), st.Exec()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTakeOver: an archive of the earlier layout is taken over whole, also
// when that was cut short before.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	entries := dayEntries(5, 440) // more than a commit
	for i := range 20 {
		entries = append(entries, store.NewEntry(fmt.Sprintf("/other/%d", i%3), entries[i].Message))
	}
	for name, prepare := range map[string]func(t *testing.T, path string){
		"whole": func(*testing.T, string) {},
		"renamed": func(t *testing.T, path string) {
			if err := os.Rename(path, path+wholeSuffix); err != nil {
				t.Fatal(err)
			}
		},
		"cut short": func(t *testing.T, path string) {
			if err := os.Rename(path, path+wholeSuffix); err != nil {
				t.Fatal(err)
			}
			// The first half was there when the process ended.
			if err := os.Rename(path+wholeSuffix, path+".later"); err != nil {
				t.Fatal(err)
			}
			a := openTest(t, path)
			keep(t, a, entries[:len(entries)/2]...)
			if err := errors.Join(a.Close(), os.Rename(path+".later", path+wholeSuffix)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			wholeArchive(t, path, entries)
			prepare(t, path)
			for range 2 {
				a := openTest(t, path)
				holdsAll(t, a, entries)
				if st, err := a.Stats(t.Context()); err != nil || st.Messages != int64(len(entries)) {
					t.Fatalf("%d messages, want %d, %v", st.Messages, len(entries), err)
				}
				if err := a.Close(); err != nil {
					t.Fatal(err)
				}
			}
			left, err := filepath.Glob(path + "*")
			if err != nil || len(left) != 2 { // the directory and its lock
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestTakeOverFails on a file of a later version, which stays as it is, and
// goes on where a file was made and never written to.
func TestTakeOverFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	execFile(t, path, `PRAGMA user_version = 2`)
	if _, err := Open(path); !errors.Is(err, store.ErrSchema) {
		t.Fatalf("later version: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		t.Fatalf("%v, %v", info, err)
	}
	empty := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	keep(t, openTest(t, empty), dayEntries(1, 3)...)
}
