package storage

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/internal/kv"
)

func TestClosed(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error { return tx.Put("a", nil) }))
		must(t, db.Close())
		must(t, db.Close())
		called := func(*Tx) error { t.Error("called"); return nil }
		if err := db.Update(called); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrIO) {
			t.Errorf("update: %v", err)
		}
		if err := db.View(called); !errors.Is(err, ErrClosed) {
			t.Errorf("view: %v", err)
		}
	})
}

// Closing waits for who reads.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error { return tx.Put("a", []byte("1")) }))
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for {
					err := db.View(func(tx *Tx) error {
						v, ok, err := tx.Get("a")
						if err != nil || !ok || string(v) != "1" {
							t.Errorf("%q, %v, %v", v, ok, err)
						}
						return nil
					})
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		must(t, db.Close())
		group.Wait()
	})
}

// A file of a later version is refused and not touched.
func TestLaterSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := Open(path, [KeySize]byte{1})
	must(t, err)
	must(t, db.Update(func(tx *Tx) error { return tx.Put("a", []byte("1")) }))
	must(t, db.Close())
	version := func(n int) {
		c, err := sqlite3.Open("file:" + uriPath(path) + "?vfs=adiantum")
		must(t, err)
		defer c.Close()
		key := [KeySize]byte{1}
		must(t, c.Exec(fmt.Sprintf("PRAGMA hexkey='%x'", key)))
		must(t, c.Exec(fmt.Sprintf("PRAGMA user_version = %d", n)))
	}
	version(schemaVersion + 1)
	_, err = Open(path, [KeySize]byte{1})
	if fault.KindOf(err) != fault.Conflict || err == nil || fault.HintOf(err) == "" {
		t.Fatalf("a later version: %v", err)
	}
	version(schemaVersion)
	db, err = Open(path, [KeySize]byte{1})
	must(t, err)
	defer db.Close()
	if got := content(t, db, ""); !slices.Equal(got, []string{"a=1"}) {
		t.Error(got)
	}
}

// broken is a back end whose reads fail.
type broken struct{ backend }

var errBroken = errors.New("broken disk")

func (broken) Get(string) ([]byte, bool, error)                 { return nil, false, errBroken }
func (broken) Scan(string, func(string, []byte) error) error    { return errBroken }
func (broken) Put(string, []byte) error                         { return nil }
func (broken) Delete(string) error                              { return nil }
func (broken) Range(kv.Range, func(string, []byte) error) error { return errBroken }
func (b broken) writer() kv.Ranger                              { return b }
func (b broken) read(f func(kv.Ranger) error) error             { return f(b) }
func (broken) commit(changes) error                             { return errBroken }

// Errors of the database are told from those of whoever uses it, in nested
// transactions too: the first give up the whole transaction, the others only
// the step.
func TestDatabaseErrors(t *testing.T) {
	t.Parallel()
	db := &DB{backend: broken{}}
	for name, f := range map[string]func(tx *Tx) error{
		"get":         func(tx *Tx) error { _, _, err := tx.Get("a"); return err },
		"scan":        func(tx *Tx) error { return tx.Scan("a", func(string, []byte) error { return nil }) },
		"nested get":  func(tx *Tx) error { return tx.Try(func(tx *Tx) error { _, _, err := tx.Get("a"); return err }) },
		"nested scan": func(tx *Tx) error { return tx.Try(func(tx *Tx) error { return tx.Scan("", nil) }) },
		"core":        func(tx *Tx) error { return tx.Core("x").Scan("", nil) },
		"commit":      func(tx *Tx) error { return tx.Put("a", nil) },
	} {
		if err := db.Update(f); !errors.Is(err, ErrIO) || !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mine := errors.New("mine")
	good := NewMemory()
	must(t, good.Update(func(tx *Tx) error { return tx.Put("a", nil) }))
	err := good.Update(func(tx *Tx) error {
		return tx.Try(func(tx *Tx) error { return tx.Scan("", func(string, []byte) error { return mine }) })
	})
	if !errors.Is(err, mine) || errors.Is(err, ErrIO) {
		t.Errorf("a visitor's error became %v", err)
	}
}
