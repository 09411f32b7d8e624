package storage

import "fmt"

// TopicKey returns the symmetric key of a topic that was derived before, by the
// hash of the topic's name, and whether it is there. Deriving one takes tens of
// milliseconds, and a name may be a secret.
func (tx *Tx) TopicKey(name [32]byte) (key [32]byte, ok bool, err error) {
	k := familyTopicKey + string(name[:])
	raw, ok, err := tx.Get(k)
	if err != nil || !ok {
		return key, false, err
	}
	if len(raw) != len(key) {
		return key, false, fmt.Errorf("%w: topic key of %d bytes", ErrCorrupt, len(raw))
	}
	return [32]byte(raw), true, nil
}

// PutTopicKey keeps the symmetric key of a topic under the hash of its name.
func (tx *Tx) PutTopicKey(name, key [32]byte) error {
	return tx.Put(familyTopicKey+string(name[:]), key[:])
}
