package stack

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// audience is a chat as far as one needs it to say something there: who hears
// it, and how.
type audience struct {
	room chat.Chat
	// contact is the other of a 1:1 chat, group that of a private group.
	contact contact.Contact
	group   group.Group
	// channel is that of a community.
	channel communityChannel
}

// audience finds the chat of an id, or the reason why nothing can be said
// there.
func (s *Stack) audience(t *step, id string) (audience, error) {
	room, known, err := t.Chat(id)
	if err != nil {
		return audience{}, err
	}
	if peer, err := key.ParsePublic(id); err == nil && chat.OneToOneID(peer) == id {
		if !known {
			room = chat.NewOneToOne(peer)
		}
		c, err := t.Contact(peer)
		if err == nil && c.Blocked {
			err = actionError("sending", contact.ErrBlocked)
		}
		return audience{room: room, contact: c}, err
	}
	if k, uuid, err := community.SplitChannelID(id); err == nil {
		return s.channelAudience(t, room, k, uuid)
	}
	g, ok, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, id)
	switch {
	case err != nil:
		return audience{}, err
	case !ok:
		return audience{}, fault.New(fault.NotFound, "there is no chat %s", id).WithHint("see `parley chat list`")
	case !g.IsMember(s.Self()):
		return audience{}, fault.New(fault.Denied, "you are not a member of %q", g.Name)
	}
	return audience{room: room, group: g}, nil
}

// clock is that of the next message in the chat.
func (a audience) clock(t *step) uint64 {
	return chat.NextClock(max(a.room.LastClock, a.group.Clock()), t.now)
}

// place is where messages of ours to the chat belong.
func (a audience) place() chat.Place {
	return chat.Place{ID: a.room.ID, Kind: a.room.Kind, Peer: a.room.Peer, Own: true}
}

// draft begins a message.
func (s *Stack) draft(t *step, a audience) chat.Draft {
	return chat.Draft{
		Chat: a.room.ID, Kind: a.room.Kind, Clock: a.clock(t), Now: t.now, Profile: s.Profile(), Contact: a.contact,
	}
}

// address sends a message of a type to all who hear it.
func (s *Stack) address(t *step, a audience, typ message.Type, body []byte) (message.ID, error) {
	if a.room.Kind == message.Community {
		return s.addressChannel(t, a, typ, body)
	}
	m := outgoing{kind: a.room.Kind, typ: typ, body: body}
	if a.room.Kind == message.OneToOne {
		m.to = []key.Public{a.room.Peer}
	} else {
		m.to = a.group.Recipients(a.group, s.Self())
	}
	return s.send(t, m)
}

// utter sends a chat message and keeps it. In a private group it travels with
// the group's events, so that whoever hears it knows the group.
func (s *Stack) utter(t *step, a audience, m *apppb.ChatMessage) (*chat.Message, error) {
	typ := apppb.ApplicationMetadataMessage_CHAT_MESSAGE
	body, err := message.Encode(m)
	if a.room.Kind == message.PrivateGroup {
		typ = apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE
		body, err = a.group.Update().WithMessage(m).Encode()
	}
	if err != nil {
		return nil, err
	}
	id, err := s.address(t, a, typ, body)
	if err != nil {
		return nil, err
	}
	state := chat.Pending
	if a.room.Kind == message.PrivateGroup && len(a.group.Recipients(a.group, s.Self())) == 0 {
		state = chat.Sent // there is nobody else to hear it
	}
	sent := chat.New(id, s.Self(), a.room.ID, m, state)
	return sent, s.keep(t, a.place(), sent)
}
