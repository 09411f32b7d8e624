package stack

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// handler handles one application message in the transaction of its envelope.
// An error drops the message and whatever the handler did.
type handler func(t *step, in incoming) error

// handler returns the handler of a type, nil for types not handled yet. A new
// message type gets its row in the table of app/message and its line here.
func (s *Stack) handler(typ message.Type) handler {
	switch typ {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE:
		return s.onChatMessage
	case apppb.ApplicationMetadataMessage_CONTACT_UPDATE:
		return s.onContactUpdate
	case apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST:
		return s.onAccept
	case apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST:
		return s.onRetract
	case apppb.ApplicationMetadataMessage_CHAT_IDENTITY:
		return s.onChatIdentity
	case apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT:
		return s.onContactCode
	case apppb.ApplicationMetadataMessage_STATUS_UPDATE:
		return s.onStatusUpdate
	}
	return nil
}

// Errors of handlers.
var (
	errOwnType  = errors.New("message type that only others send us")
	errChatKind = errors.New("message for a kind of chat not handled yet")
)

// reference is what the contact rules need to know of a message.
func (in incoming) reference() contact.Incoming {
	return contact.Incoming{WakuTime: in.at, IsAlias: account.IsAlias}
}

// decode reads the payload of a message that others send about themselves.
func (s *Stack) decode(in incoming, m proto.Message) error {
	if in.Author == s.identity.Public() {
		return errOwnType
	}
	return proto.Unmarshal(in.Payload, m)
}

// meet applies a step of the contact state machine that a message caused.
func (s *Stack) meet(t *step, in incoming, clock uint64, apply func(c contact.Contact) (contact.Contact, contact.Effects, error)) (contact.Contact, contact.Effects, error) {
	before, err := t.Contact(in.Author)
	if err != nil {
		return before, contact.Effects{}, err
	}
	after, effects, err := apply(before)
	if err != nil {
		return before, contact.Effects{}, err
	}
	room, err := s.room(t, in.Author)
	if err != nil {
		return before, effects, err
	}
	room = room.Saw(clock)
	// An answer of ours comes after everything that is known.
	answer := chat.NextClock(max(room.LastClock, after.Clock()), t.now)
	if effects.SendUpdate || effects.Accept != nil || effects.Retract != nil {
		room = room.Saw(answer)
	}
	if err := t.PutChat(room); err != nil {
		return before, effects, err
	}
	after, err = s.changeContact(t, before, after, effects, answer, "")
	return after, effects, err
}

func (s *Stack) onChatMessage(t *step, in incoming) error {
	m := new(apppb.ChatMessage)
	if err := proto.Unmarshal(in.Payload, m); err != nil {
		return err
	}
	if m.GetMessageType() != apppb.MessageType_ONE_TO_ONE {
		return errChatKind
	}
	if err := chat.Validate(m, in.reference(), message.OneToOne); err != nil {
		return err
	}
	place, err := chat.Match(m, in.Author, s.identity.Public())
	if err != nil {
		return err
	}
	var effects contact.Effects
	if !place.Own {
		_, effects, err = s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
			return c.ReceiveChat(in.ID, m, in.reference())
		})
		if err != nil {
			return err
		}
	}
	if err := s.keep(t, place, chat.New(in.ID, in.Author, place.ID, m, chat.Received)); err != nil {
		return err
	}
	if effects.Notify {
		return s.announce(t, in.Author, m.GetText(), in.ID)
	}
	return nil
}

// announce tells the event stream of a contact request.
func (s *Stack) announce(t *step, from key.Public, text string, id message.ID) error {
	c, err := t.Contact(from)
	if err != nil {
		return err
	}
	return t.event(EventContactRequest, ContactRequest{Key: from, Name: c.Name(), Text: text, MessageID: id.String()})
}

func (s *Stack) onContactUpdate(t *step, in incoming) error {
	m := new(apppb.ContactUpdate)
	if err := s.decode(in, m); err != nil {
		return err
	}
	_, effects, err := s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
		return c.ReceiveUpdate(m, in.reference())
	})
	if err == nil && effects.Notify {
		return s.announce(t, in.Author, "", in.ID)
	}
	return err
}

func (s *Stack) onAccept(t *step, in incoming) error {
	m := new(apppb.AcceptContactRequest)
	if err := s.decode(in, m); err != nil {
		return err
	}
	_, _, err := s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
		return c.ReceiveAccept(m, in.reference())
	})
	return err
}

func (s *Stack) onRetract(t *step, in incoming) error {
	m := new(apppb.RetractContactRequest)
	if err := s.decode(in, m); err != nil {
		return err
	}
	_, _, err := s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
		return c.ReceiveRetract(m, in.reference())
	})
	return err
}

func (s *Stack) onChatIdentity(t *step, in incoming) error {
	m := new(apppb.ChatIdentity)
	if err := s.decode(in, m); err != nil {
		return err
	}
	return s.learn(t, in, func(c contact.Contact) (contact.Contact, error) { return c.ApplyIdentity(m, in.reference()) })
}

func (s *Stack) onContactCode(t *step, in incoming) error {
	m := new(apppb.ContactCodeAdvertisement)
	if in.Author == s.identity.Public() {
		return nil // our other device's, or our own out of a store
	}
	if err := proto.Unmarshal(in.Payload, m); err != nil {
		return err
	}
	return s.learn(t, in, func(c contact.Contact) (contact.Contact, error) {
		return c.ApplyIdentity(m.GetChatIdentity(), in.reference())
	})
}

func (s *Stack) onStatusUpdate(t *step, in incoming) error {
	m := new(apppb.StatusUpdate)
	if in.Author == s.identity.Public() {
		return nil
	}
	if err := proto.Unmarshal(in.Payload, m); err != nil {
		return err
	}
	var before, after contact.Contact
	err := s.learn(t, in, func(c contact.Contact) (_ contact.Contact, err error) {
		before = c
		after, err = c.ReceiveStatus(m, in.reference())
		return after, err
	})
	if err != nil {
		return err
	}
	// Somebody who is there should not wait for a retransmission.
	if after.Status.Online(t.now) {
		if err := s.mvds.PeerOnline(t.Core("mvds"), t.now, s.rand, in.Author); err != nil {
			return err
		}
		t.flush = true
	}
	if before.Status.Presence == after.Status.Presence && before.Status.Text == after.Status.Text {
		return nil
	}
	return t.event(EventPresence, Presence{Key: in.Author, Status: string(after.Status.Presence), Text: after.Status.Text})
}

// learn applies what somebody says about themselves.
func (s *Stack) learn(t *step, in incoming, apply func(contact.Contact) (contact.Contact, error)) error {
	before, err := t.Contact(in.Author)
	if err != nil {
		return err
	}
	after, err := apply(before)
	if err != nil || after == before {
		return err
	}
	if err := t.PutContact(after); err != nil {
		return err
	}
	return t.event(EventContact, after)
}
