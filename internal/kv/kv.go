// Package kv is the one storage interface the protocol cores see: an ordered
// map of bytes inside a transaction that somebody else began and will commit.
// The cores stay free of SQL, and a failed step is undone by whoever holds the
// transaction.
package kv

import (
	"errors"

	"github.com/tidwall/btree"
)

// Store is an ordered map from text to bytes. Values handed in are kept, and
// values handed out are shared: neither may be changed afterwards.
type Store interface {
	// Get returns the value and whether there is one.
	Get(key string) ([]byte, bool, error)
	Put(key string, value []byte) error
	// Delete is no error when the key is absent.
	Delete(key string) error
	// Scan calls visit for every key with the prefix, in byte order, until
	// visit returns an error; Stop ends the scan without being one. visit may
	// not write.
	Scan(prefix string, visit func(key string, value []byte) error) error
}

// Stop is what a visitor returns to end a scan early.
//
//lint:ignore ST1012 it is no error, like fs.SkipAll
var Stop = errors.New("stop")

// Sub is the part of a store whose keys begin with a prefix; the prefix is
// hidden from its user. Prefixes should end in "/".
func Sub(s Store, prefix string) Store { return sub{s, prefix} }

type sub struct {
	s      Store
	prefix string
}

func (p sub) Get(key string) ([]byte, bool, error) { return p.s.Get(p.prefix + key) }
func (p sub) Put(key string, value []byte) error   { return p.s.Put(p.prefix+key, value) }
func (p sub) Delete(key string) error              { return p.s.Delete(p.prefix + key) }
func (p sub) Scan(prefix string, visit func(string, []byte) error) error {
	return p.s.Scan(p.prefix+prefix, func(key string, value []byte) error {
		return visit(key[len(p.prefix):], value)
	})
}

// Memory is a Store in memory. Copy is cheap (copy on write), which makes it
// a transaction: work on a copy, keep it or drop it. It is not safe for
// concurrent use.
type Memory struct {
	m *btree.Map[string, []byte]
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{btree.NewMap[string, []byte](0)} }

// Copy returns an independent store with the same content.
func (m *Memory) Copy() *Memory { return &Memory{m.m.Copy()} }

// Get implements Store.
func (m *Memory) Get(key string) ([]byte, bool, error) {
	v, ok := m.m.Get(key)
	return v, ok, nil
}

// Put implements Store.
func (m *Memory) Put(key string, value []byte) error {
	m.m.Set(key, value)
	return nil
}

// Delete implements Store.
func (m *Memory) Delete(key string) error {
	m.m.Delete(key)
	return nil
}

// Scan implements Store.
func (m *Memory) Scan(prefix string, visit func(string, []byte) error) error {
	return m.Range(Prefix(prefix), visit)
}
