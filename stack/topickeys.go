package stack

import (
	"runtime"
	"sync"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// keyring holds the symmetric keys of the topics that are listened to. Deriving
// one takes tens of milliseconds, too long for a start with thousands of them,
// so they are kept in the database.
type keyring struct {
	mu   sync.RWMutex
	keys map[string][topic.KeySize]byte
}

func (r *keyring) get(name string) (k [topic.KeySize]byte, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok = r.keys[name]
	return k, ok
}

// topicKey returns the symmetric key of a topic's name.
func (s *Stack) topicKey(name string) [topic.KeySize]byte {
	if k, ok := s.ring.get(name); ok {
		return k
	}
	return s.keys.Key(name)
}

// loadKeys puts the keys of these names, and no others, on the ring: from the
// database those that were derived before, and into it those that were not.
func (s *Stack) loadKeys(names []string) error {
	keys := make(map[string][topic.KeySize]byte, len(names))
	var missing []string
	err := s.db.View(func(tx *storage.Tx) error {
		for _, name := range names {
			k, ok := s.ring.get(name)
			if !ok {
				var err error
				if k, ok, err = tx.TopicKey(key.Keccak256([]byte(name))); err != nil {
					return err
				}
			}
			if ok {
				keys[name] = k
			} else {
				missing = append(missing, name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		derived := s.derive(missing)
		err := s.db.Update(func(tx *storage.Tx) error {
			for i, name := range missing {
				keys[name] = derived[i]
				if err := tx.PutTopicKey(key.Keccak256([]byte(name)), derived[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	s.ring.keys = keys
	return nil
}

// derive derives the keys of names, as many at a time as there are processors.
func (s *Stack) derive(names []string) [][topic.KeySize]byte {
	keys := make([][topic.KeySize]byte, len(names))
	workers := min(runtime.GOMAXPROCS(0), len(names))
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(names); i += workers {
				keys[i] = s.keys.Key(names[i])
			}
		})
	}
	group.Wait()
	return keys
}
