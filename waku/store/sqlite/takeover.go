package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// Archives were one database, with this user_version, before they were cut
// into slices.
const wholeVersion = 1

// wholeSuffix is what such a database is called until its entries are taken
// over.
const wholeSuffix = ".old"

const wholeRowsSQL = `SELECT m.timestamp, m.hash, t.pubsub_topic, t.content_topic, m.message
	FROM messages m JOIN topics t ON t.id = m.topic ORDER BY m.timestamp, m.hash`

// setAside renames a database of the earlier layout at path.
func setAside(path string) (err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return nil
	}
	db, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READWRITE)
	if err != nil {
		return err
	}
	c := &conn{db: db, stmts: make(map[string]*sqlite3.Stmt)}
	version, err := c.number(`PRAGMA user_version`)
	if err == nil && version != wholeVersion && (version != 0 || info.Size() > 0) {
		err = fmt.Errorf("%w: %s has version %d, a file has version %d", store.ErrSchema, path, version, wholeVersion)
	}
	if err == nil {
		err = db.Exec(`PRAGMA journal_mode = DELETE`) // all is in one file then
	}
	switch err = errors.Join(err, c.close()); {
	case err != nil:
		return err
	case version == 0: // made, and never written to
		return os.Remove(path)
	}
	return os.Rename(path, path+wholeSuffix)
}

// takeOver inserts the entries of the database set aside, if there is one,
// and removes it. Cut short, it begins again the next time.
func (a *Archive) takeOver() error {
	path := a.dir + wholeSuffix
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := sqlite3.OpenFlags(path, sqlite3.OPEN_READWRITE)
	if err != nil {
		return err
	}
	if err := errors.Join(a.takeRows(db), db.Close()); err != nil {
		return fmt.Errorf("taking over %s: %w", path, err)
	}
	return os.Remove(path)
}

func (a *Archive) takeRows(db *sqlite3.Conn) error {
	st, _, err := db.Prepare(wholeRowsSQL)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	var rows []row
	err = each(st, func() error {
		r := row{name: topic{st.ColumnText(2), st.ColumnText(3)}, message: st.ColumnBlob(4, nil)}
		h, err := message.HashFromBytes(st.ColumnRawBlob(1))
		if err != nil {
			return err
		}
		r.record = record{timestamp: st.ColumnInt64(0), hash: h, size: uint32(len(r.message))}
		if rows = append(rows, r); len(rows) < maxGroup {
			return nil
		}
		err = a.write(rows)
		rows = rows[:0]
		return err
	})
	if err != nil {
		return err
	}
	return a.write(rows)
}
