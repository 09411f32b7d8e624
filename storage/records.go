package storage

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
)

// Family is a family of plain records: values that are stored as JSON under an
// id, and that this package knows nothing more about.
type Family string

// Record is a value with its id.
type Record[T any] struct {
	ID    string
	Value T
}

// PutRecord stores a record.
func PutRecord[T any](tx *Tx, f Family, id string, v T) error { return tx.putJSON(string(f)+id, v) }

// GetRecord returns a record and whether it is there.
func GetRecord[T any](tx *Tx, f Family, id string) (v T, ok bool, err error) {
	ok, err = tx.getJSON(string(f)+id, &v)
	return v, ok, err
}

// DeleteRecord deletes a record; it is no error when it is not there.
func DeleteRecord(tx *Tx, f Family, id string) error { return tx.Delete(string(f) + id) }

// Records returns all records of a family whose ids begin with a prefix,
// ordered by id.
func Records[T any](tx *Tx, f Family, prefix string) ([]Record[T], error) {
	var all []Record[T]
	err := tx.Scan(string(f)+prefix, func(k string, raw []byte) error {
		r := Record[T]{ID: k[len(f):]}
		if err := json.Unmarshal(raw, &r.Value); err != nil {
			return fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
		}
		all = append(all, r)
		return nil
	})
	return all, err
}

// Draft is what was begun and not sent.
type Draft struct {
	Text string `json:"text"`
	// ReplyTo is the id of the message it answers, empty for none.
	ReplyTo string    `json:"reply_to,omitempty"`
	Time    time.Time `json:"time"`
}

// PutDraft keeps the draft of a chat; one that says nothing is deleted.
func (tx *Tx) PutDraft(chat string, d Draft) error {
	if d.Text == "" && d.ReplyTo == "" {
		return tx.DeleteDraft(chat)
	}
	return PutRecord(tx, Drafts, chat, d)
}

// Draft returns the draft of a chat and whether there is one.
func (tx *Tx) Draft(chat string) (Draft, bool, error) { return GetRecord[Draft](tx, Drafts, chat) }

// DeleteDraft deletes the draft of a chat.
func (tx *Tx) DeleteDraft(chat string) error { return DeleteRecord(tx, Drafts, chat) }

func reactionKey(id message.ID, who key.Public, kind string) string {
	by := who.Compressed()
	return familyReaction + string(id[:]) + string(by[:]) + kind
}

// PutReaction stores somebody's reaction of a kind (an emoji) to a message. It
// is deleted with the message.
func PutReaction[T any](tx *Tx, id message.ID, who key.Public, kind string, v T) error {
	return tx.putJSON(reactionKey(id, who, kind), v)
}

// GetReaction returns a reaction and whether it is there.
func GetReaction[T any](tx *Tx, id message.ID, who key.Public, kind string) (v T, ok bool, err error) {
	ok, err = tx.getJSON(reactionKey(id, who, kind), &v)
	return v, ok, err
}

// DeleteReaction deletes a reaction; it is no error when it is not there.
func DeleteReaction(tx *Tx, id message.ID, who key.Public, kind string) error {
	return tx.Delete(reactionKey(id, who, kind))
}

// Reactions returns the reactions to a message, ordered by who made them.
func Reactions[T any](tx *Tx, id message.ID) ([]T, error) {
	return scanJSON[T](tx, familyReaction+string(id[:]))
}

// ReactionsTo returns the reactions to many messages, such as those of a page;
// messages without any are left out.
func ReactionsTo[T any](tx *Tx, ids []message.ID) (map[message.ID][]T, error) {
	all := make(map[message.ID][]T)
	for _, id := range ids {
		found, err := Reactions[T](tx, id)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			all[id] = found
		}
	}
	return all, nil
}

func pinKey(chat string, id message.ID) string { return familyPin + chat + "\x00" + string(id[:]) }

// PutPin stores that a message is pinned, or was and is no longer: that is up
// to the value. It is deleted with the message.
func PutPin[T any](tx *Tx, chat string, id message.ID, v T) error {
	return tx.putJSON(pinKey(chat, id), v)
}

// GetPin returns the pin of a message and whether there is one.
func GetPin[T any](tx *Tx, chat string, id message.ID) (v T, ok bool, err error) {
	ok, err = tx.getJSON(pinKey(chat, id), &v)
	return v, ok, err
}

// DeletePin deletes a pin; it is no error when it is not there.
func DeletePin(tx *Tx, chat string, id message.ID) error { return tx.Delete(pinKey(chat, id)) }

// Pins returns the pins of a chat whose messages are there, ordered by message
// id.
func Pins[T any](tx *Tx, chat string) ([]T, error) {
	var all []T
	prefix := familyPin + chat + "\x00"
	err := tx.Scan(prefix, func(k string, raw []byte) error {
		if len(k) != len(prefix)+message.IDSize {
			return nil // of a chat whose id begins with this one's
		}
		if _, ok, err := tx.visible(message.ID([]byte(k[len(prefix):]))); !ok || err != nil {
			return err
		}
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
		}
		all = append(all, v)
		return nil
	})
	return all, err
}

// Picture is somebody's profile picture.
type Picture struct {
	// Clock is that of the message that brought it, Data the encoded image,
	// empty for one that was taken away.
	Clock uint64
	Data  []byte
}

func pictureKey(who key.Public, name string) string {
	by := who.Compressed()
	return familyPicture + string(by[:]) + name
}

// PutPicture stores a profile picture; name tells its sizes apart.
func (tx *Tx) PutPicture(who key.Public, name string, p Picture) error {
	return tx.Put(pictureKey(who, name), append(number(p.Clock), p.Data...))
}

// Picture returns a profile picture and whether there is one.
func (tx *Tx) Picture(who key.Public, name string) (Picture, bool, error) {
	k := pictureKey(who, name)
	raw, ok, err := tx.Get(k)
	if err != nil || !ok {
		return Picture{}, false, err
	}
	p, err := decodePicture(k, raw)
	return p, true, err
}

func decodePicture(k string, raw []byte) (Picture, error) {
	if len(raw) < 8 {
		return Picture{}, fmt.Errorf("%w: picture %q", ErrCorrupt, k)
	}
	return Picture{binary.BigEndian.Uint64(raw), raw[8:]}, nil
}

// Pictures returns all pictures of somebody by name.
func (tx *Tx) Pictures(who key.Public) (map[string]Picture, error) {
	all := make(map[string]Picture)
	prefix := pictureKey(who, "")
	err := tx.Range(kv.Prefix(prefix), func(k string, raw []byte) error {
		p, err := decodePicture(k, raw)
		all[k[len(prefix):]] = p
		return err
	})
	return all, err
}

// DeletePicture deletes a picture; it is no error when it is not there.
func (tx *Tx) DeletePicture(who key.Public, name string) error {
	return tx.Delete(pictureKey(who, name))
}

// HasPicture tells whether there is a picture of somebody.
func (tx *Tx) HasPicture(who key.Public) (found bool, err error) {
	r := kv.Prefix(pictureKey(who, ""))
	r.KeysOnly = true
	err = tx.Range(r, func(string, []byte) error {
		found = true
		return kv.Stop
	})
	return found, err
}

// Pictured returns of whom there are pictures, by compressed key.
func (tx *Tx) Pictured() (map[[key.CompressedSize]byte]bool, error) {
	all := make(map[[key.CompressedSize]byte]bool)
	r := kv.Prefix(familyPicture)
	r.KeysOnly = true
	err := tx.Range(r, func(k string, _ []byte) error {
		if len(k) < len(familyPicture)+key.CompressedSize {
			return fmt.Errorf("%w: picture %q", ErrCorrupt, k)
		}
		all[[key.CompressedSize]byte([]byte(k[len(familyPicture):]))] = true
		return nil
	})
	return all, err
}
