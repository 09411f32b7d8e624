package stack

import (
	"sync"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// derivedKeys are the keys of topics that the simulated people use, derived
// once for all tests: a topic.Keys cannot be shared, since channels of one
// bubble must not be seen in another.
var derivedKeys struct {
	sync.Mutex
	byName map[string][topic.KeySize]byte
}

func derivedKey(name string) [topic.KeySize]byte {
	derivedKeys.Lock()
	defer derivedKeys.Unlock()
	k, ok := derivedKeys.byName[name]
	if !ok {
		if derivedKeys.byName == nil {
			derivedKeys.byName = make(map[string][topic.KeySize]byte)
		}
		k = topic.Key(name)
		derivedKeys.byName[name] = k
	}
	return k
}

// usualPeople is how many identities of the list most tests get along with.
const usualPeople = 3

// keysKept returns a database in which the keys are kept that a person needs to
// talk to the usual people, as after a start.
func keysKept(t testing.TB, self key.Private) *storage.DB {
	t.Helper()
	db := storage.NewMemory()
	names := []string{topic.ContactCodeName(self.Public())}
	for i := range byte(usualPeople) {
		other := identity(t, i)
		secret, err := self.ECDH(other.Public())
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, topic.ContactCodeName(other.Public()), topic.NegotiatedName(secret))
	}
	err := db.Update(func(tx *storage.Tx) error {
		for _, name := range names {
			if err := tx.PutTopicKey(key.Keccak256([]byte(name)), derivedKey(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}
