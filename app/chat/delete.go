package chat

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Deleted says who deleted a message. What else is left of it is its id, chat,
// author, clock and state.
type Deleted struct {
	// By is who deleted it for everyone, zero if nobody did; Clock and ID are
	// those of their deletion. Of several the oldest counts.
	By    key.Public `json:"by,omitzero"`
	Clock uint64     `json:"clock,omitempty"`
	ID    message.ID `json:"id,omitzero"`
	// ForMe tells that it was deleted on our own devices.
	ForMe bool `json:"for_me,omitempty"`
	// Album is that of a deleted image: those of its images that arrive later
	// are deleted too.
	Album string `json:"album,omitempty"`
}

// merge returns what holds after both deletions, in whatever order.
func (d Deleted) merge(o Deleted) Deleted {
	first := d
	if first.By.IsZero() || !o.By.IsZero() && o.compare(d) < 0 {
		first = o
	}
	first.ForMe = d.ForMe || o.ForMe
	first.Album = d.Album
	return first
}

func (d Deleted) compare(o Deleted) int {
	by, others := d.By.Bytes(), o.By.Bytes()
	return cmp.Or(cmp.Compare(d.Clock, o.Clock), bytes.Compare(d.ID[:], o.ID[:]), bytes.Compare(by, others))
}

// ValidateDelete says why a deletion is to be dropped, and which message it is
// for if it is not. Deployed clients do not look at its clock; here it may be
// missing but not be ahead of the time, since it moves the chat's.
func ValidateDelete(d *apppb.DeleteMessage, in contact.Incoming) (message.ID, error) {
	if d.GetClock() != 0 {
		if err := message.CheckClock(d.GetClock(), in.WakuTime); err != nil {
			return message.ID{}, err
		}
	}
	if _, err := CheckAddress(d); err != nil {
		return message.ID{}, err
	}
	return Target(d)
}

// ValidateDeleteForMe says why a deletion by another device of ours is to be
// dropped, and which message it is for if it is not. That the device is ours
// has been checked.
func ValidateDeleteForMe(d *apppb.SyncDeleteForMeMessage) (message.ID, error) { return Target(d) }

// Delete deletes the message for everyone, at the request of its author or a
// moderator, and returns what is left, which is m itself if nothing changes.
// The caller does the same to the other images of an album; see DeleteWith.
func (m *Message) Delete(d *apppb.DeleteMessage, by Change) (*Message, error) {
	if by.Chat != m.Chat {
		return m, ErrOtherChat
	}
	if by.Author != m.From && !by.Moderator {
		return m, fmt.Errorf("deleting: %w", ErrNotAuthor)
	}
	return m.without(Deleted{By: by.Author, Clock: d.GetClock(), ID: by.ID}), nil
}

// DeleteForMe deletes the message on our own devices and returns what is left,
// which is m itself if nothing changes. The caller does the same to the other
// images of an album.
func (m *Message) DeleteForMe() *Message { return m.without(Deleted{ForMe: true}) }

// DeleteWith deletes an image as another one of its album was deleted: one that
// was there already, or one that arrives late. It returns what is left, which
// is m itself if nothing changes.
func (m *Message) DeleteWith(sibling *Message) *Message {
	if sibling.Deleted == nil || !m.SameAlbum(sibling) {
		return m
	}
	return m.without(*sibling.Deleted)
}

// SameAlbum tells whether two messages are images that were sent together:
// somebody else's images with the same album id are not.
func (m *Message) SameAlbum(o *Message) bool {
	album := m.AlbumID()
	return album != "" && album == o.AlbumID() && m.Chat == o.Chat && m.From == o.From
}

// AlbumID returns the album that the message is or was an image of, empty for
// none.
func (m *Message) AlbumID() string {
	switch {
	case m.Deleted != nil:
		return m.Deleted.Album
	case m.Image != nil:
		return m.Image.AlbumID
	}
	return ""
}

// without returns what is left of a message after a deletion.
func (m *Message) without(d Deleted) *Message {
	d.Album = m.AlbumID()
	if m.Deleted != nil {
		if d = m.Deleted.merge(d); d == *m.Deleted {
			return m
		}
	}
	return &Message{ID: m.ID, Chat: m.Chat, From: m.From, Clock: m.Clock, State: m.State, Deleted: &d}
}

// deletable are the content types that people delete for everyone (deployed
// clients).
var deletable = map[string]bool{"text": true, "emoji": true, "sticker": true, "image": true, "audio": true, "bridge": true}

// DeleteMessage builds the deletion of a message for everyone, of ours or, as a
// moderator, of somebody else's. Of an album any image stands for all. What the
// draft says besides chat and clock does not count.
func DeleteMessage(m *Message, self key.Public, moderator bool, d Draft) (*apppb.DeleteMessage, error) {
	typ, err := d.address(m)
	if err != nil {
		return nil, fmt.Errorf("composing a deletion: %w", err)
	}
	if m.From != self && (!moderator || d.Kind == message.OneToOne) {
		return nil, fmt.Errorf("composing a deletion: %w", ErrNotAuthor)
	}
	if !deletable[m.ContentType] {
		return nil, fmt.Errorf("composing a deletion: %w: %s", ErrNotDeletable, m.ContentType)
	}
	out := &apppb.DeleteMessage{Clock: d.Clock, ChatId: d.Chat, MessageId: m.ID.String(), MessageType: typ}
	if m.From != self {
		out.DeletedBy = self.Hex()
	}
	if err := message.CheckClock(out.Clock, d.sent().WakuTime); err != nil {
		return nil, fmt.Errorf("composing a deletion: %w", err)
	}
	return out, nil
}

// DeleteForMeMessage builds what tells our other devices that a message was
// deleted here.
func DeleteForMeMessage(m *Message, clock uint64) *apppb.SyncDeleteForMeMessage {
	return &apppb.SyncDeleteForMeMessage{Clock: clock, MessageId: m.ID.String()}
}
