package storage

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
	storagepb "github.com/parley-im/parley/pb/storage"
)

// The families of keys. Numbers in keys are 8 bytes big-endian, so that keys
// sort as their numbers do.
const (
	familySeen      = "seen/"          // envelope hash → time
	familyDelivered = "app/"           // application message id → time
	familyMessage   = "message/"       // chat, 0, clock, id → chat.Message
	familyByID      = "message-id/"    // id → key of familyMessage
	familyClock     = "message-clock/" // clock, id → row in the word index or 0, chat
	familyRow       = "message-row/"   // row in the word index → id
	familyUnread    = "unread/"        // chat, 0, clock, id → whether it mentions us
	familyChat      = "chat/"          // chat id → chat.Chat
	familySummary   = "chat-summary/"  // chat id → summaryRecord
	familyContact   = "contact/"       // compressed key → contact.Contact
	familyEvent     = "event/"         // sequence number → Event
	familyOutbox    = "outbox/"        // sequence number → OutboxRecord
	familyRef       = "ref/"           // MVDS message id → MessageRef
	familyCounter   = "counter/"       // name → number
	familyMark      = "mark/"          // name → time
	familyCore      = "core/"          // name of a protocol core, its own keys
	familyWork      = "work/"          // what is to be done in slices → how far it is
	familyTopicKey  = "topic-key/"     // hash of a topic's name → symmetric key

	familyPayload       = "payload/"        // message id, name → bytes
	familyUnsent        = "unsent/"         // message id → Unsent
	familyReaction      = "reaction/"       // message id, compressed key, kind → any
	familyPin           = "pin/"            // chat, 0, message id → any
	familyPicture       = "picture/"        // compressed key, name → clock, bytes
	familyWaiting       = "waiting/"        // sequence number → waitingRecord
	familyWaitingTarget = "waiting-target/" // hash of target, sequence number → hash of the bytes
	familyActivity      = "activity/"       // id → activity.Entry
	familyActivityClock = "activity-clock/" // clock, id → kind
	familyActivityNew   = "activity-new/"   // clock, id → kind, of those that are unread
)

// The families of plain records, for [PutRecord] and its kin.
const (
	Drafts            Family = "draft/"             // chat id → Draft
	Groups            Family = "group/"             // chat id → group.Group
	GroupRequests     Family = "group-request/"     // invitation id → group.Invitation
	Communities       Family = "community/"         // 0x… compressed key → community.Community
	CommunityKeys     Family = "community-key/"     // 0x… compressed key → private key of one that we control
	CommunityRequests Family = "community-request/" // 0x… compressed key, /, 0x04… key → community.Request
	Devices           Family = "device/"            // installation id → what it is called
	Verifications     Family = "verification/"      // id → verification request
	ENSClaims         Family = "ens/"               // name or key → claim
	Settings          Family = "setting/"           // name → any
)

// Core is the part of the database that belongs to a protocol core: "session",
// "mvds", "segment".
func (tx *Tx) Core(name string) kv.Store { return kv.Sub(tx, familyCore+name+"/") }

// MarkSeen marks an envelope hash and reports whether it was new.
func (tx *Tx) MarkSeen(hash [32]byte, now time.Time) (bool, error) {
	return tx.mark(familySeen+string(hash[:]), now)
}

// Seen reports whether an envelope hash is marked.
func (tx *Tx) Seen(hash [32]byte) (bool, error) {
	_, ok, err := tx.Get(familySeen + string(hash[:]))
	return ok, err
}

// MarkDelivered marks an application message id and reports whether it was new.
func (tx *Tx) MarkDelivered(id message.ID, now time.Time) (bool, error) {
	return tx.mark(familyDelivered+string(id[:]), now)
}

func (tx *Tx) mark(k string, now time.Time) (bool, error) {
	if _, ok, err := tx.Get(k); ok || err != nil {
		return false, err
	}
	return true, tx.Put(k, number(uint64(now.Unix())))
}

// PurgeMarks forgets the marks of envelopes and application messages that were
// made before a time.
func (tx *Tx) PurgeMarks(before time.Time) (int, error) {
	var old []string
	for _, family := range []string{familySeen, familyDelivered} {
		err := tx.Scan(family, func(k string, v []byte) error {
			if len(v) == 8 && binary.BigEndian.Uint64(v) < uint64(before.Unix()) {
				old = append(old, k)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	for _, k := range old {
		if err := tx.Delete(k); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// next returns 1, 2, 3 … per counter.
func (tx *Tx) next(counter string) (uint64, error) {
	v, _, err := tx.Get(familyCounter + counter)
	if err != nil {
		return 0, err
	}
	n := uint64(1)
	if len(v) == 8 {
		n = binary.BigEndian.Uint64(v) + 1
	}
	return n, tx.Put(familyCounter+counter, number(n))
}

func (tx *Tx) getJSON(k string, v any) (bool, error) {
	raw, ok, err := tx.Get(k)
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
	}
	return true, nil
}

func (tx *Tx) putJSON(k string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put(k, raw)
}

// contactRecord is a contact without its key, which is that of the record:
// parsing a key costs more than everything else in it.
type contactRecord struct {
	contact.Contact
	Key *struct{} `json:"key,omitempty"`
}

// Contact returns what is known of a key; an unknown one is a new contact with
// that key and nothing else.
func (tx *Tx) Contact(pub key.Public) (contact.Contact, error) {
	k := familyContact + string(pub.Bytes())
	c, err := remembered(tx, k, func() (contact.Contact, error) {
		var r contactRecord
		_, err := tx.getJSON(k, &r)
		return r.Contact, err
	})
	c.Key = pub
	return c, err
}

// PutContact stores a contact.
func (tx *Tx) PutContact(c contact.Contact) error {
	k := familyContact + string(c.Key.Bytes())
	if err := tx.putJSON(k, contactRecord{Contact: c}); err != nil {
		return err
	}
	tx.remember(k, c)
	return nil
}

// Contacts returns all contacts, ordered by key.
func (tx *Tx) Contacts() ([]contact.Contact, error) {
	var all []contact.Contact
	err := tx.Scan(familyContact, func(k string, raw []byte) error {
		pub, err := key.PublicFromBytes([]byte(k[len(familyContact):]))
		if err != nil {
			return fmt.Errorf("%w: contact: %w", ErrCorrupt, err)
		}
		var r contactRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("%w: contact: %w", ErrCorrupt, err)
		}
		r.Contact.Key = pub
		all = append(all, r.Contact)
		return nil
	})
	return all, err
}

// Event is an entry of the durable event stream.
type Event struct {
	// Seq counts from 1 without gaps.
	Seq  uint64          `json:"seq"`
	Time time.Time       `json:"time"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// AppendEvent adds an event to the stream.
func (tx *Tx) AppendEvent(kind string, now time.Time, data any) (Event, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Event{}, err
	}
	seq, err := tx.next("event")
	if err != nil {
		return Event{}, err
	}
	e := Event{Seq: seq, Time: now.UTC(), Type: kind, Data: raw}
	return e, tx.putJSON(familyEvent+string(number(seq)), e)
}

// Events returns at most limit events with sequence numbers above since.
func (tx *Tx) Events(since uint64, limit int) ([]Event, error) {
	var all []Event
	for seq := since + 1; len(all) < limit; seq++ {
		var e Event
		ok, err := tx.getJSON(familyEvent+string(number(seq)), &e)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		all = append(all, e)
	}
	return all, nil
}

// LastEvent returns the newest sequence number, 0 when there is none.
func (tx *Tx) LastEvent() (uint64, error) {
	v, _, err := tx.Get(familyCounter + "event")
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

// PutOutbox adds a record to the end of the outbox.
func (tx *Tx) PutOutbox(r *storagepb.OutboxRecord) error {
	n, err := tx.next("outbox")
	if err != nil {
		return err
	}
	return tx.UpdateOutbox(n, r)
}

// UpdateOutbox replaces record n.
func (tx *Tx) UpdateOutbox(n uint64, r *storagepb.OutboxRecord) error {
	raw, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	return tx.Put(familyOutbox+string(number(n)), raw)
}

// InOutbox reports whether record n is there.
func (tx *Tx) InOutbox(n uint64) (bool, error) {
	_, ok, err := tx.Get(familyOutbox + string(number(n)))
	return ok, err
}

// DeleteOutbox removes record n.
func (tx *Tx) DeleteOutbox(n uint64) error {
	return tx.Delete(familyOutbox + string(number(n)))
}

// Outbox visits the records in the order they were added, until visit returns
// an error (kv.Stop is none).
func (tx *Tx) Outbox(visit func(n uint64, r *storagepb.OutboxRecord) error) error {
	return tx.Scan(familyOutbox, func(k string, raw []byte) error {
		r := new(storagepb.OutboxRecord)
		if err := proto.Unmarshal(raw, r); err != nil {
			return fmt.Errorf("%w: outbox: %w", ErrCorrupt, err)
		}
		return visit(binary.BigEndian.Uint64([]byte(k[len(familyOutbox):])), r)
	})
}

// PutRef notes which application message an MVDS message carries.
func (tx *Tx) PutRef(mvds [32]byte, r *storagepb.MessageRef) error {
	raw, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	return tx.Put(familyRef+string(mvds[:]), raw)
}

// Ref returns the application message that an MVDS message carries.
func (tx *Tx) Ref(mvds [32]byte) (*storagepb.MessageRef, bool, error) {
	raw, ok, err := tx.Get(familyRef + string(mvds[:]))
	if err != nil || !ok {
		return nil, false, err
	}
	r := new(storagepb.MessageRef)
	if err := proto.Unmarshal(raw, r); err != nil {
		return nil, false, fmt.Errorf("%w: ref: %w", ErrCorrupt, err)
	}
	return r, true, nil
}

// DeleteRef forgets an MVDS message.
func (tx *Tx) DeleteRef(mvds [32]byte) error { return tx.Delete(familyRef + string(mvds[:])) }

// Mark returns the time noted under a name, the zero time when there is none.
func (tx *Tx) Mark(name string) (time.Time, error) {
	v, ok, err := tx.Get(familyMark + name)
	if err != nil || !ok || len(v) != 8 {
		return time.Time{}, err
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(v))), nil
}

// SetMark notes a time under a name.
func (tx *Tx) SetMark(name string, at time.Time) error {
	return tx.Put(familyMark+name, number(uint64(at.UnixNano())))
}

// DeleteMark forgets the time noted under a name.
func (tx *Tx) DeleteMark(name string) error { return tx.Delete(familyMark + name) }

// Marks returns the names with a prefix under which a time is noted, ordered.
func (tx *Tx) Marks(prefix string) (names []string, err error) {
	err = tx.Scan(familyMark+prefix, func(k string, _ []byte) error {
		names = append(names, k[len(familyMark):])
		return nil
	})
	return names, err
}

// ErrCorrupt is a record that does not decode: the file was changed by
// something else, or a program with a fault wrote it.
var ErrCorrupt = fmt.Errorf("%w: a record does not decode", ErrIO)
