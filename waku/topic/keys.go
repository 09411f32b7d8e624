package topic

import (
	"container/list"
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"
	"sync"
)

const (
	// KeySize is the size of a symmetric topic key in bytes.
	KeySize = 32

	// keyIterations is 65356, not 65536: the constant of deployed clients and
	// of 56/STATUS-COMMUNITIES.
	keyIterations = 65356

	// DefaultKeys is the number of keys that the zero value of Keys keeps.
	DefaultKeys = 4096
)

// Key derives the symmetric key of a name: PBKDF2-HMAC-SHA256 over the name,
// without salt, 65356 iterations. It takes tens of milliseconds on purpose;
// use a Keys where names come back.
func Key(name string) [KeySize]byte {
	b, err := pbkdf2.Key(sha256.New, name, nil, keyIterations, KeySize)
	if err != nil {
		// The parameters are constants; only a FIPS-only build refuses them.
		panic(fmt.Sprintf("topic: key derivation is not available: %v", err))
	}
	return [KeySize]byte(b)
}

// Keys derives keys once and remembers those used last. It is safe for
// concurrent use: callers that ask for one name at the same time wait for one
// derivation. The zero value is ready and keeps DefaultKeys keys.
type Keys struct {
	limit  int
	derive func(string) [KeySize]byte // Key, unless a test counts

	mu      sync.Mutex
	entries map[string]*list.Element // of *entry
	recent  list.List                // front: used last
}

type entry struct {
	name  string
	ready chan struct{} // closed when key is set
	key   [KeySize]byte
}

// NewKeys returns a cache of at most limit keys; a limit below 1 means
// DefaultKeys.
func NewKeys(limit int) *Keys { return &Keys{limit: limit} }

// Key returns the key of a name, as the function Key does.
func (k *Keys) Key(name string) [KeySize]byte {
	e, mine := k.lookup(name)
	if mine {
		if k.derive != nil {
			e.key = k.derive(name)
		} else {
			e.key = Key(name)
		}
		close(e.ready)
	}
	<-e.ready
	return e.key
}

// lookup returns the entry of a name and whether the caller must fill it. An
// entry that is dropped while it is being filled still serves its waiters.
func (k *Keys) lookup(name string) (e *entry, mine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if at, ok := k.entries[name]; ok {
		k.recent.MoveToFront(at)
		return at.Value.(*entry), false
	}
	if k.entries == nil {
		k.entries = make(map[string]*list.Element)
	}
	limit := k.limit
	if limit < 1 {
		limit = DefaultKeys
	}
	for len(k.entries) >= limit {
		oldest := k.recent.Back()
		delete(k.entries, k.recent.Remove(oldest).(*entry).name)
	}
	e = &entry{name: name, ready: make(chan struct{})}
	k.entries[name] = k.recent.PushFront(e)
	return e, true
}
