package storage

import (
	"errors"
	"testing"
)

// A topic's key is found by the hash of its name, and by nothing else; one of
// another size is damage and not a key.
func TestTopicKeys(t *testing.T) {
	t.Parallel()
	db := NewMemory()
	name, other, key := [32]byte{1}, [32]byte{2}, [32]byte{3, 4, 5}
	err := db.Update(func(tx *Tx) error { return tx.PutTopicKey(name, key) })
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *Tx) error {
		if got, ok, err := tx.TopicKey(name); err != nil || !ok || got != key {
			t.Errorf("%x, %v, %v", got, ok, err)
		}
		if got, ok, err := tx.TopicKey(other); err != nil || ok || got != ([32]byte{}) {
			t.Errorf("%x, %v, %v", got, ok, err)
		}
		if err := tx.Put(familyTopicKey+string(other[:]), key[:31]); err != nil {
			return err
		}
		if _, ok, err := tx.TopicKey(other); !errors.Is(err, ErrCorrupt) || ok {
			t.Errorf("31 bytes: %v, %v", ok, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
