package storage

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

// Unsent is a message of ours that failed, as it was signed: who tries again
// sends the same bytes, and whoever had them after all knows them by their id.
// It is kept as long as the message is there and has failed.
type Unsent struct {
	// Type is that of the application message.
	Type uint32 `json:"type"`
	// Raw are the signed bytes, Timestamp that of the reliability layer, in
	// seconds.
	Raw       []byte `json:"raw"`
	Timestamp int64  `json:"timestamp"`
	// To are those who have not acknowledged it, nobody in particular in a
	// community.
	To []key.Public `json:"to"`
}

func unsentKey(id message.ID) string { return familyUnsent + string(id[:]) }

// PutUnsent keeps the signed bytes of a message that failed.
func (tx *Tx) PutUnsent(id message.ID, u Unsent) error { return tx.putJSON(unsentKey(id), u) }

// Unsent returns the signed bytes of a message that failed, and whether they
// are kept.
func (tx *Tx) Unsent(id message.ID) (u Unsent, ok bool, err error) {
	ok, err = tx.getJSON(unsentKey(id), &u)
	return u, ok, err
}

// DeleteUnsent forgets them; it is no error when they are not there.
func (tx *Tx) DeleteUnsent(id message.ID) error { return tx.Delete(unsentKey(id)) }
