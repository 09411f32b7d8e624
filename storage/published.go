package storage

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
)

// The families of what is known of envelopes beside those that are for us.
const (
	familyPublished = "published/" // time to ask, envelope hash → Published
	familyForeign   = "foreign/"   // envelope hash → time
)

// Published is an envelope of ours that peers have taken, until store nodes are
// known to have it.
type Published struct {
	Hash [32]byte `json:"-"`
	// Due is when store nodes are asked next.
	Due time.Time `json:"-"`
	// At is when it was published, Asked how often store nodes were asked
	// since.
	At    time.Time `json:"at"`
	Asked int       `json:"asked,omitempty"`
	// PubsubTopic is where it was published.
	PubsubTopic string `json:"pubsub_topic"`
	// Refs are the application messages that depend on it.
	Refs []message.ID `json:"refs,omitempty"`
	// Transfer is the hash of the payload that it is a segment of, empty for
	// none.
	Transfer []byte `json:"transfer,omitempty"`
}

func (p *Published) key() string {
	return familyPublished + string(number(uint64(p.Due.UnixNano()))) + string(p.Hash[:])
}

// PutPublished notes an envelope.
func (tx *Tx) PutPublished(p *Published) error { return tx.putJSON(p.key(), p) }

// DeletePublished forgets one, as it was read.
func (tx *Tx) DeletePublished(p *Published) error { return tx.Delete(p.key()) }

// Published visits the envelopes by the time when they are due, until visit
// returns an error (kv.Stop is none).
func (tx *Tx) Published(visit func(p *Published) error) error {
	return tx.Scan(familyPublished, func(k string, raw []byte) error {
		p := new(Published)
		name := k[len(familyPublished):]
		if len(name) != 8+32 {
			return fmt.Errorf("%w: record %q", ErrCorrupt, k)
		}
		if err := json.Unmarshal(raw, p); err != nil {
			return fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
		}
		p.Due = time.Unix(0, int64(binary.BigEndian.Uint64([]byte(name[:8]))))
		copy(p.Hash[:], name[8:])
		return visit(p)
	})
}

// MarkForeign notes that an envelope was looked at and is not for us.
func (tx *Tx) MarkForeign(hash [32]byte, now time.Time) error {
	return tx.Put(familyForeign+string(hash[:]), number(uint64(now.Unix())))
}

// Foreign reports whether an envelope is noted as not for us.
func (tx *Tx) Foreign(hash [32]byte) (bool, error) {
	_, ok, err := tx.Get(familyForeign + string(hash[:]))
	return ok, err
}

// PurgeForeign forgets the envelopes that were noted as not for us before a
// time.
func (tx *Tx) PurgeForeign(before time.Time) (int, error) {
	var old []string
	err := tx.Range(kv.Prefix(familyForeign), func(k string, v []byte) error {
		if len(v) == 8 && binary.BigEndian.Uint64(v) < uint64(before.Unix()) {
			old = append(old, k)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, k := range old {
		if err := tx.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}
