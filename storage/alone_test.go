package storage

import (
	"errors"
	"path/filepath"
	"testing"
)

// With one connection reads see what was committed, also after another opening.
func TestOpenAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "alone.db")
	var key [KeySize]byte
	db, err := OpenAlone(path, key)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	put := func(value string, fail error) func(tx *Tx) error {
		return func(tx *Tx) error { return errors.Join(tx.Put("name", []byte(value)), fail) }
	}
	if err := db.Update(put("first", nil)); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(put("second", failed)); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	look := func(db *DB) {
		t.Helper()
		err := db.View(func(tx *Tx) error {
			if v, _, err := tx.Get("name"); err != nil || string(v) != "first" {
				t.Errorf("%q, %v", v, err)
			}
			return tx.Put("name", []byte("dropped"))
		})
		if err != nil {
			t.Error(err)
		}
	}
	look(db)
	look(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.View(func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("reading what is closed: %v", err)
	}
	if db, err = Open(path, key); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	look(db)
}
