package storage

import (
	"sync"

	"github.com/parley-im/parley/internal/kv"
)

// NewMemory returns an empty database that lives in memory.
func NewMemory() *DB { return &DB{backend: &memory{data: kv.NewMemory()}} }

// Clone returns an independent database in memory with the same content, as a
// restart from disk at this moment would find it. It is for databases made by
// NewMemory.
func (db *DB) Clone() *DB {
	m := db.backend.(*memory)
	m.mu.Lock()
	defer m.mu.Unlock()
	return &DB{backend: &memory{data: m.data.Copy()}}
}

type memory struct {
	mu   sync.Mutex
	data *kv.Memory
	// closed refuses reads, as of a file.
	closed bool
}

func (m *memory) read(f func(kv.Ranger) error) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	snapshot := m.data.Copy()
	m.mu.Unlock()
	return f(snapshot)
}

func (m *memory) writer() kv.Ranger { return m.data }

// commit keeps no word index: search reads the messages.
func (m *memory) commit(done changes) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range done.writes {
		if w.value == nil {
			m.data.Delete(w.key)
		} else {
			m.data.Put(w.key, w.value)
		}
	}
	return nil
}

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
