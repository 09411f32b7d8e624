package storage

import (
	"encoding/hex"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

// The families of large messages on their way out.
const (
	familyTransfer     = "transfer/"      // hash of the payload → Transfer
	familyTransferPart = "transfer-part/" // envelope hash → hash of the payload
	familyTransferOf   = "transfer-of/"   // compressed key, message id → hash of the payload
)

// Transfer is a payload of ours that was cut into segments, and how far
// publishing them is.
type Transfer struct {
	// ID is the hash of the payload, which every segment names.
	ID [32]byte `json:"-"`
	// To is who it is sealed for, nobody for public messages.
	To key.Public `json:"to,omitzero"`
	// Refs are the application messages in it.
	Refs []message.ID `json:"refs,omitempty"`
	// Bytes is the payload's length.
	Bytes int `json:"bytes"`
	// Of is how many envelopes there are, Done how many of them are published.
	Of   int `json:"of"`
	Done int `json:"done"`
	// Apart tells that they are published on a shard for large messages.
	Apart bool `json:"apart,omitempty"`
	// Stored is how many of the envelopes store nodes are known to have.
	Stored int `json:"stored,omitempty"`
	// Local tells that it is self-addressed.
	Local bool `json:"local,omitempty"`
	// Refused is how often nobody took one of them there, although others
	// could be reached; Ordinary is where they go when that is too often.
	Refused  int      `json:"refused,omitempty"`
	Ordinary []string `json:"ordinary,omitempty"`
	// Began is when it was made, Ended when the last envelope was published.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended,omitzero"`
}

// PutTransfer stores a transfer, the newest one of its messages to its
// recipient.
func (tx *Tx) PutTransfer(t *Transfer) error {
	for _, id := range t.Refs {
		if err := tx.Put(transferOf(t.To, id), t.ID[:]); err != nil {
			return err
		}
	}
	return tx.UpdateTransfer(t)
}

// UpdateTransfer changes what is stored of a transfer.
func (tx *Tx) UpdateTransfer(t *Transfer) error {
	return tx.putJSON(familyTransfer+string(t.ID[:]), t)
}

func transferOf(to key.Public, id message.ID) string {
	peer := ""
	if !to.IsZero() {
		compressed := to.Compressed()
		peer = string(compressed[:])
	}
	return familyTransferOf + peer + string(id[:])
}

// Transfer returns a transfer by its id, nil when there is none.
func (tx *Tx) Transfer(id [32]byte) (*Transfer, error) {
	t := &Transfer{ID: id}
	ok, err := tx.getJSON(familyTransfer+string(id[:]), t)
	if err != nil || !ok {
		return nil, err
	}
	return t, nil
}

// LastTransfer returns the newest transfer of a message to somebody, nil when
// there is none.
func (tx *Tx) LastTransfer(to key.Public, id message.ID) (*Transfer, error) {
	v, ok, err := tx.Get(transferOf(to, id))
	if err != nil || !ok || len(v) != 32 {
		return nil, err
	}
	return tx.Transfer([32]byte(v))
}

// PutTransferPart notes that an envelope belongs to a transfer.
func (tx *Tx) PutTransferPart(envelope, transfer [32]byte) error {
	return tx.Put(familyTransferPart+string(envelope[:]), transfer[:])
}

// TransferOfPart returns the transfer that an envelope belongs to, nil when
// there is none.
func (tx *Tx) TransferOfPart(envelope [32]byte) (*Transfer, error) {
	v, ok, err := tx.Get(familyTransferPart + string(envelope[:]))
	if err != nil || !ok || len(v) != 32 {
		return nil, err
	}
	return tx.Transfer([32]byte(v))
}

// DeleteTransferPart forgets an envelope of a transfer.
func (tx *Tx) DeleteTransferPart(envelope [32]byte) error {
	return tx.Delete(familyTransferPart + string(envelope[:]))
}

// PurgeTransfers forgets the transfers that began before a time, with what
// leads to them, and returns those that were not done.
func (tx *Tx) PurgeTransfers(before time.Time) (undone []*Transfer, err error) {
	var old []*Transfer
	all, err := Records[Transfer](tx, familyTransfer, "")
	if err != nil {
		return nil, err
	}
	gone := make(map[string]bool)
	for _, r := range all {
		if !r.Value.Began.Before(before) || len(r.ID) != 32 {
			continue
		}
		t := r.Value
		copy(t.ID[:], r.ID)
		old = append(old, &t)
		gone[r.ID] = true
	}
	if len(old) == 0 {
		return nil, nil
	}
	var keys []string
	for _, family := range []string{familyTransferPart, familyTransferOf} {
		err := tx.Scan(family, func(k string, v []byte) error {
			if gone[string(v)] {
				keys = append(keys, k)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, t := range old {
		keys = append(keys, familyTransfer+string(t.ID[:]))
		if t.Ended.IsZero() {
			undone = append(undone, t)
		}
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return nil, err
		}
	}
	return undone, nil
}

// IDText is the id as it is shown.
func (t *Transfer) IDText() string { return "0x" + hex.EncodeToString(t.ID[:]) }
