package stack

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// SendText sends a text to somebody. When it returns, the message, its sealed
// envelope and its event are on disk.
func (s *Stack) SendText(to key.Public, text, replyTo string) (sent *chat.Message, err error) {
	var answered *message.ID
	if replyTo != "" {
		id, err := message.ParseID(replyTo)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "reading the id of the message to reply to", err)
		}
		if _, err := s.Message(id); err != nil {
			return nil, err
		}
		answered = &id
	}
	err = s.update(func(t *step) error {
		c, err := t.Contact(to)
		if err != nil {
			return err
		}
		if c.Blocked {
			return actionError("sending", contact.ErrBlocked)
		}
		room, err := s.room(t, to)
		if err != nil {
			return err
		}
		draft := s.draft(t, c, text, chat.NextClock(room.LastClock, t.now))
		draft.ReplyTo = answered
		id, err := s.sendChat(t, draft, chat.TextMessage)
		if err != nil {
			return err
		}
		sent, _, err = t.Message(id)
		return err
	})
	return sent, err
}

func (s *Stack) draft(t *step, to contact.Contact, text string, clock uint64) chat.Draft {
	return chat.Draft{To: to.Key, Text: text, Clock: clock, Now: t.now, Profile: s.profile, Contact: to}
}

// sendChat builds a chat message to somebody, sends it and keeps it.
func (s *Stack) sendChat(t *step, draft chat.Draft, build func(chat.Draft) (*apppb.ChatMessage, error)) (message.ID, error) {
	m, err := build(draft)
	if err != nil {
		return message.ID{}, fault.Wrap(fault.Usage, "the message cannot be sent", err)
	}
	id, err := s.send(t, outgoing{kind: message.OneToOne, typ: apppb.ApplicationMetadataMessage_CHAT_MESSAGE, body: m, to: draft.To})
	if err != nil {
		return id, err
	}
	place := chat.Place{ID: m.ChatId, Kind: message.OneToOne, Peer: draft.To, Own: true}
	return id, s.keep(t, place, chat.New(id, s.identity.Public(), place.ID, m, chat.Pending))
}

// keep stores a message of a chat and tells the event stream.
func (s *Stack) keep(t *step, place chat.Place, m *chat.Message) error {
	room, ok, err := t.Chat(m.Chat)
	if err != nil {
		return err
	}
	if !ok {
		room = chat.Chat{ID: place.ID, Kind: place.Kind, Peer: place.Peer}
	}
	if room.Cleared(m.Clock) {
		return nil
	}
	if place.Own {
		room.Active = true
	} else if c, err := t.Contact(m.From); err != nil {
		return err
	} else if c.Local == contact.Sent {
		room.Active = true
	}
	if err := t.PutChat(room.Saw(m.Clock)); err != nil {
		return err
	}
	if err := t.PutMessage(m); err != nil {
		return err
	}
	return t.event(EventMessage, m)
}

// Messages returns the messages of a chat in order, or those of all chats,
// chat by chat, when id is empty.
func (s *Stack) Messages(id string) (all []*chat.Message, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		all, err = tx.Messages(id)
		return err
	})
	return all, err
}

// Message returns a message by its id.
func (s *Stack) Message(id message.ID) (m *chat.Message, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		var ok bool
		if m, ok, err = tx.Message(id); err == nil && !ok {
			err = fault.New(fault.NotFound, "there is no message %s", id)
		}
		return err
	})
	return m, err
}
