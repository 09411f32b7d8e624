package storage

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	_ "github.com/ncruces/go-sqlite3/vfs/adiantum" // the encrypting file layer

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/internal/kv"
)

// KeySize is the size of the database key in bytes.
const KeySize = 32

// schemaVersion is kept in SQLite's user_version; a newer file is refused.
// Version 2 brought the word index, version 3 took payloads out of messages.
const schemaVersion = 3

// ErrKey is a file that the given key does not open.
var ErrKey = errors.New("not a database, or the key does not open it")

// Open opens the encrypted database file, creating it (mode 0600) when it is
// absent. key is the raw key, not a password: nothing is derived from it.
//
// Commits survive the death of the process at any instruction, and the loss
// of power (write-ahead log, synchronous FULL).
func Open(path string, key [KeySize]byte) (*DB, error) { return open(path, key, false) }

// OpenAlone is Open with one connection for reading and writing: half the
// memory, for who has very many databases open, but a read waits for the update
// that is running. Nothing then ever waits for a lock of the file, which takes
// its time by sleeping; on a fake clock that would be for ever.
func OpenAlone(path string, key [KeySize]byte) (*DB, error) { return open(path, key, true) }

func open(path string, key [KeySize]byte, alone bool) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "opening the database", err)
	}
	f.Close()
	b := &database{}
	if b.recent, err = lru.New[string, []byte](recentMost); err != nil {
		return nil, err
	}
	if b.w, err = connect(abs, key, false); err != nil {
		return nil, err
	}
	if alone {
		return &DB{backend: b, alone: true}, nil
	}
	if b.r, err = connect(abs, key, true); err != nil {
		b.w.close()
		return nil, err
	}
	return &DB{backend: b}, nil
}

// database is the SQLite back end: one connection writes, another, nil when it
// is alone, reads, so that a long read never holds up the roads.
type database struct {
	w, r *conn
	// recent are committed values that the writer is likely to read again:
	// ratchets, contacts, counters. Only the writer uses it.
	recent *lru.Cache[string, []byte]
}

const (
	// recentMost and recentValue bound what is kept in memory of the database.
	recentMost  = 4096
	recentValue = 2048
)

// conn is a connection with its prepared statements; mu guards them all.
type conn struct {
	mu               sync.Mutex
	db               *sqlite3.Conn
	get, put, del    *sqlite3.Stmt
	begin, end, undo *sqlite3.Stmt
	// ranges are by whether they go backwards and whether they read values.
	ranges [2][2]*sqlite3.Stmt
	// find, index and forget are those of the word index.
	find, index, forget *sqlite3.Stmt
	all                 []*sqlite3.Stmt
	closed              bool
}

func connect(path string, key [KeySize]byte, readOnly bool) (_ *conn, err error) {
	db, err := sqlite3.Open("file:" + uriPath(path) + "?vfs=adiantum")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "opening the database", err)
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	// The key goes in by pragma, never into the file name, and its error text
	// is not passed on.
	if db.Exec("PRAGMA hexkey='"+hex.EncodeToString(key[:])+"'") != nil {
		return nil, &fault.Error{Kind: fault.Denied, Op: "opening the database", Err: ErrKey}
	}
	if err = db.Exec("PRAGMA busy_timeout=10000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=memory; PRAGMA cache_size=-16384"); err != nil {
		if errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) {
			return nil, &fault.Error{Kind: fault.Denied, Op: "opening the database", Err: ErrKey}
		}
		return nil, fault.Wrap(fault.Internal, "opening the database", err)
	}
	// Plans do not depend on what is bound, or statements with a bound LIMIT would
	// be prepared anew at every use.
	if _, err = db.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true); err != nil {
		return nil, fault.Wrap(fault.Internal, "opening the database", err)
	}
	if err = fts5.Register(db); err != nil {
		return nil, fault.Wrap(fault.Internal, "opening the database", err)
	}
	if !readOnly {
		if err = migrate(db); err != nil {
			return nil, err
		}
	}
	c := &conn{db: db}
	for _, p := range []struct {
		stmt **sqlite3.Stmt
		sql  string
	}{
		{&c.get, "SELECT value FROM kv WHERE key = ?"},
		{&c.put, "INSERT INTO kv(key, value) VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value"},
		{&c.del, "DELETE FROM kv WHERE key = ?"},
		{&c.ranges[0][0], "SELECT key, NULL FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"},
		{&c.ranges[0][1], "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"},
		{&c.ranges[1][0], "SELECT key, NULL FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"},
		{&c.ranges[1][1], "SELECT key, value FROM kv WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?"},
		{&c.find, "SELECT rowid FROM search WHERE search MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"},
		{&c.index, "INSERT INTO search(rowid, words, place) VALUES(?, ?, ?)"},
		{&c.forget, "DELETE FROM search WHERE rowid = ?"},
		{&c.begin, "BEGIN"},
		{&c.end, "COMMIT"},
		{&c.undo, "ROLLBACK"},
	} {
		if *p.stmt, _, err = db.PrepareFlags(p.sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, fault.Wrap(fault.Internal, "opening the database", err)
		}
		c.all = append(c.all, *p.stmt)
	}
	return c, nil
}

// uriPath escapes what SQLite's file: names treat specially.
func uriPath(path string) string {
	var out []byte
	for _, b := range []byte(filepath.ToSlash(path)) {
		if b == '?' || b == '#' || b == '%' {
			out = fmt.Appendf(out, "%%%02x", b)
		} else {
			out = append(out, b)
		}
	}
	if runtime.GOOS == "windows" {
		return "/" + string(out)
	}
	return string(out)
}

func migrate(db *sqlite3.Conn) error {
	stmt, _, err := db.Prepare("PRAGMA user_version")
	if err != nil {
		return fault.Wrap(fault.Internal, "reading the database version", err)
	}
	stmt.Step()
	version := stmt.ColumnInt(0)
	if err := stmt.Close(); err != nil {
		return fault.Wrap(fault.Internal, "reading the database version", err)
	}
	switch {
	case version == schemaVersion:
		return nil
	case version > schemaVersion:
		return fault.New(fault.Conflict, "the database has version %d, this program reads up to %d", version, schemaVersion).
			WithHint("use the newer Parley that wrote it")
	}
	// Each version adds to the one before.
	statements := "BEGIN;"
	if version < 1 {
		statements += "CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
	}
	if version < 2 {
		statements += createSearch
	}
	// Messages that are there already are indexed and taken apart by Work.
	if version == 1 {
		statements += fmt.Sprintf("INSERT INTO kv VALUES(X'%x', X'');", workIndex)
	}
	if version == 1 || version == 2 {
		statements += fmt.Sprintf("INSERT INTO kv VALUES(X'%x', X'');", workDetach)
	}
	statements += fmt.Sprintf("PRAGMA user_version = %d; COMMIT", schemaVersion)
	if err = db.Exec(statements); err != nil {
		return fault.Wrap(fault.Internal, "creating the database", err)
	}
	return nil
}

func (c *conn) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, s := range c.all {
		s.Close()
	}
	return c.db.Close()
}

func (d *database) close() error {
	if d.r == nil {
		return d.w.close()
	}
	return errors.Join(d.r.close(), d.w.close())
}

func (d *database) writer() kv.Ranger { return cached{view{d.w}, d.recent} }

// cached is a view that looks into the recent values first.
type cached struct {
	view
	recent *lru.Cache[string, []byte]
}

func (c cached) Get(key string) ([]byte, bool, error) {
	if v, ok := c.recent.Get(key); ok {
		return v, true, nil
	}
	v, ok, err := c.view.Get(key)
	if ok && len(v) <= recentValue {
		c.recent.Add(key, v)
	}
	return v, ok, err
}

func (d *database) read(f func(kv.Ranger) error) error {
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	if d.r.closed {
		return ErrClosed
	}
	if err := d.r.begin.Exec(); err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	defer d.r.end.Exec()
	return f(view{d.r})
}

func (d *database) commit(done changes) (err error) {
	c := d.w
	if err := c.begin.Exec(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.undo.Exec()
		}
	}()
	for _, w := range done.writes {
		stmt := c.put
		if w.value == nil {
			stmt = c.del
		}
		if err := stmt.BindBlob(1, []byte(w.key)); err != nil {
			return err
		}
		if w.value != nil {
			if err := bindBlob(stmt, 2, w.value); err != nil {
				return err
			}
		}
		if err := stmt.Exec(); err != nil {
			return err
		}
	}
	for row, t := range done.texts {
		if err := c.setText(row, t); err != nil {
			return err
		}
	}
	if err := c.end.Exec(); err != nil {
		return err
	}
	for _, w := range done.writes {
		// What is written now and never read before is not worth keeping.
		if w.value == nil || len(w.value) > recentValue {
			d.recent.Remove(w.key)
		} else if d.recent.Contains(w.key) {
			d.recent.Add(w.key, w.value)
		}
	}
	return nil
}

// bindBlob binds an empty value as an empty blob, not as NULL.
func bindBlob(stmt *sqlite3.Stmt, param int, value []byte) error {
	if len(value) == 0 {
		return stmt.BindZeroBlob(param, 0)
	}
	return stmt.BindBlob(param, value)
}
