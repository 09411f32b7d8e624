// Package storage is the account's one database: an ordered map of bytes with
// transactions, encrypted at rest by SQLite's Adiantum file layer, or in
// memory for tests and throw-away accounts.
//
// A transaction collects its writes in memory and hands them to the back end
// in one piece when its function returns nil; when it returns an error nothing
// has happened. A step inside that may fail alone is a [Tx.Try].
//
// What is kept where is named in this package's other files, a family of keys
// each: seen envelopes, messages, chats, contacts, events, the outbox.
//
// Messages are indexed in the transaction that writes them: by chat, by clock
// across chats, in the summaries that a list of chats shows, and by their words
// ([DB.Search]). Their payloads, pictures and recordings, are kept apart
// ([Tx.Payload]). What takes long, deleting a history or indexing what an older
// version wrote, is done in slices by [DB.Work] and goes on after a restart.
package storage

import (
	"errors"
	"fmt"
	"sync"

	"github.com/tidwall/btree"

	"github.com/parley-im/parley/internal/kv"
)

// ErrClosed is the answer of a store after Close.
var ErrClosed = fmt.Errorf("%w is closed", ErrIO)

// ErrIO marks errors of the database itself, as opposed to those of foreign
// bytes: the whole transaction must be given up.
var ErrIO = errors.New("database")

// backend keeps committed data. get and scan see only committed data.
type backend interface {
	// read runs f with a consistent view.
	read(f func(kv.Ranger) error) error
	// writer is the view that an Update reads through.
	writer() kv.Ranger
	// commit applies the changes durably and together.
	commit(c changes) error
	close() error
}

// changes are what a transaction did.
type changes struct {
	// writes are in the order of their keys.
	writes []write
	// texts are changes of the word index.
	texts map[int64]*text
}

// write is a put, or a deletion when value is nil.
type write struct {
	key   string
	value []byte
}

// DB is an account's database. It is safe for concurrent use; updates run one
// after the other.
type DB struct {
	update  sync.Mutex
	backend backend
	closed  bool
	// alone: reads wait for the running update, as there is one connection.
	alone bool
}

// Update runs f in a transaction: committed when f returns nil, without any
// trace when it returns an error or panics. The transaction must not be used
// after f returned, and f must not call Update or View of the same database.
func (db *DB) Update(f func(tx *Tx) error) error {
	db.update.Lock()
	defer db.update.Unlock()
	if db.closed {
		return ErrClosed
	}
	tx := newTx(db.backend.writer())
	if err := f(tx); err != nil {
		return err
	}
	if tx.writes.Len() == 0 {
		return nil
	}
	if err := db.backend.commit(changes{tx.list(), tx.texts}); err != nil {
		return fmt.Errorf("%w: committing: %w", ErrIO, err)
	}
	return nil
}

// View runs f with a consistent, read-only view of the committed data. It
// does not wait for updates. Writes of f are dropped.
func (db *DB) View(f func(tx *Tx) error) error {
	if db.alone {
		db.update.Lock()
		defer db.update.Unlock()
		if db.closed {
			return ErrClosed
		}
		return f(newTx(db.backend.writer()))
	}
	return db.backend.read(func(s kv.Ranger) error { return f(newTx(s)) })
}

// Close waits for the running update and closes the database.
func (db *DB) Close() error {
	db.update.Lock()
	defer db.update.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	return db.backend.close()
}

// Tx is a transaction. It is a kv.Store itself: what was written in it is seen
// by its reads.
type Tx struct {
	base   kv.Ranger
	writes *btree.Map[string, []byte]
	// texts are changes of the word index, by row; nil takes a row out.
	texts map[int64]*text
	// decoded remembers records that were read or written in this
	// transaction, decoded, by their keys.
	decoded map[string]any
}

var _ kv.Ranger = (*Tx)(nil)

func newTx(base kv.Ranger) *Tx {
	return &Tx{base: base, writes: btree.NewMap[string, []byte](0)}
}

// Try runs f in a transaction inside this one: kept when f returns nil,
// dropped alone when it returns an error, which Try returns.
func (tx *Tx) Try(f func(tx *Tx) error) error {
	inner := newTx(tx)
	if err := f(inner); err != nil {
		return err
	}
	inner.writes.Scan(func(key string, value []byte) bool {
		tx.writes.Set(key, value)
		delete(tx.decoded, key)
		return true
	})
	for k, v := range inner.decoded {
		tx.remember(k, v)
	}
	for row, t := range inner.texts {
		tx.index(row, t)
	}
	return nil
}

// remember keeps a decoded record for the rest of the transaction. Only plain
// values may be kept: they are handed out again and again.
func (tx *Tx) remember(k string, v any) {
	if tx.decoded == nil {
		tx.decoded = make(map[string]any)
	}
	tx.decoded[k] = v
}

// remembered returns a decoded record: this transaction's, else that of the
// one around it, unless it was written here by other means, else a fresh one.
func remembered[T any](tx *Tx, k string, decode func() (T, error)) (T, error) {
	for t := tx; t != nil; t, _ = t.base.(*Tx) {
		if v, ok := t.decoded[k]; ok {
			return v.(T), nil
		}
		if _, ok := t.writes.Get(k); ok {
			break
		}
	}
	v, err := decode()
	if err == nil {
		tx.remember(k, v)
	}
	return v, err
}

// Get implements kv.Store.
func (tx *Tx) Get(key string) ([]byte, bool, error) {
	if v, ok := tx.writes.Get(key); ok {
		return v, v != nil, nil
	}
	v, ok, err := tx.base.Get(key)
	if err != nil && !errors.Is(err, ErrIO) {
		err = fmt.Errorf("%w: %w", ErrIO, err)
	}
	return v, ok, err
}

// Put implements kv.Store.
func (tx *Tx) Put(key string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	tx.writes.Set(key, value)
	delete(tx.decoded, key)
	return nil
}

// Delete implements kv.Store.
func (tx *Tx) Delete(key string) error {
	tx.writes.Set(key, nil)
	delete(tx.decoded, key)
	return nil
}

func (tx *Tx) list() []write {
	all := make([]write, 0, tx.writes.Len())
	tx.writes.Scan(func(key string, value []byte) bool {
		all = append(all, write{key, value})
		return true
	})
	return all
}
