package storage

import (
	"errors"

	"github.com/parley-im/parley/internal/kv"
)

// view reads through a connection that its user holds alone.
type view struct{ c *conn }

func (v view) Get(key string) ([]byte, bool, error) {
	stmt := v.c.get
	defer stmt.Reset()
	if err := stmt.BindBlob(1, []byte(key)); err != nil {
		return nil, false, err
	}
	if !stmt.Step() {
		return nil, false, stmt.Err()
	}
	return stmt.ColumnBlob(0, []byte{}), true, nil
}

func (v view) Put(string, []byte) error { return errors.New("storage: put outside of a transaction") }
func (v view) Delete(string) error      { return errors.New("storage: delete outside of a transaction") }

// scanPage rows are read at a time, so that a visitor may read in between; and
// no more once they have scanBytes.
const (
	scanPage  = 128
	scanBytes = 1 << 20
)

// lastKey is greater than every key in use: families have names of letters.
const lastKey = "\xff\xff\xff\xff\xff\xff\xff\xff"

// Scan implements kv.Store.
func (v view) Scan(prefix string, visit func(string, []byte) error) error {
	return v.Range(kv.Prefix(prefix), visit)
}

// Range implements kv.Ranger.
func (v view) Range(r kv.Range, visit func(string, []byte) error) error {
	if r.To == "" {
		r.To = lastKey
	}
	limit := 8 // most scans end early
	if r.Expect > 0 {
		limit = min(r.Expect, scanPage)
	}
	for {
		page, more, err := v.page(r, limit)
		if err != nil {
			return err
		}
		for _, row := range page {
			if err := visit(row.key, row.value); err != nil {
				return stopIsNil(err)
			}
		}
		if !more {
			return nil
		}
		last := page[len(page)-1].key
		if r.Reverse {
			r.To = last
		} else {
			r.From = last + "\x00"
		}
		limit = scanPage
	}
}

// page reads the first rows of a range and tells whether there may be more.
func (v view) page(r kv.Range, limit int) (rows []write, more bool, err error) {
	which, values := 0, 1
	if r.Reverse {
		which = 1
	}
	if r.KeysOnly {
		values = 0
	}
	stmt := v.c.ranges[which][values]
	defer stmt.Reset()
	if err := errors.Join(bindBlob(stmt, 1, []byte(r.From)), bindBlob(stmt, 2, []byte(r.To)), stmt.BindInt(3, limit)); err != nil {
		return nil, false, err
	}
	size := 0
	for size < scanBytes && stmt.Step() {
		row := write{key: string(stmt.ColumnRawBlob(0))}
		if !r.KeysOnly {
			row.value = stmt.ColumnBlob(1, []byte{})
		}
		size += len(row.value)
		rows = append(rows, row)
	}
	return rows, len(rows) == limit || size >= scanBytes, stmt.Err()
}

func stopIsNil(err error) error {
	if errors.Is(err, kv.Stop) {
		return nil
	}
	return err
}
