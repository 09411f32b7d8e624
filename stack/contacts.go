package stack

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// Contacts returns everybody the account knows.
func (s *Stack) Contacts() (all []contact.Contact, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		all, err = tx.Contacts()
		return err
	})
	return all, err
}

// Contact returns what is known of a key.
func (s *Stack) Contact(pub key.Public) (c contact.Contact, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		c, err = tx.Contact(pub)
		return err
	})
	return c, err
}

// act is an action of ours on a contact at a clock of their chat.
type act func(c contact.Contact, clock uint64) (contact.Contact, contact.Effects, error)

// AddContact asks somebody to become a contact, or accepts their request.
func (s *Stack) AddContact(pub key.Public, text string) (contact.Contact, error) {
	known, err := s.Contact(pub)
	if err != nil {
		return known, err
	}
	if known.State() == contact.StateReceived {
		return s.AcceptContact(pub)
	}
	return s.contactAction("adding the contact", pub, text, func(c contact.Contact, clock uint64) (contact.Contact, contact.Effects, error) {
		return c.SendRequest(clock, s.now())
	})
}

// AcceptContact accepts a request that was received.
func (s *Stack) AcceptContact(pub key.Public) (contact.Contact, error) {
	return s.contactAction("accepting the contact request", pub, "", func(c contact.Contact, clock uint64) (contact.Contact, contact.Effects, error) {
		return c.Accept(clock, s.now())
	})
}

// DeclineContact declines a request that was received, silently.
func (s *Stack) DeclineContact(pub key.Public) (contact.Contact, error) {
	return s.contactAction("declining the contact request", pub, "", contact.Contact.Decline)
}

// RemoveContact ends the relation or takes a request back, and says so.
func (s *Stack) RemoveContact(pub key.Public) (contact.Contact, error) {
	return s.contactAction("removing the contact", pub, "", contact.Contact.Retract)
}

// BlockContact shuts somebody out.
func (s *Stack) BlockContact(pub key.Public) (contact.Contact, error) {
	return s.contactAction("blocking the contact", pub, "", contact.Contact.Block)
}

// UnblockContact lets somebody in again.
func (s *Stack) UnblockContact(pub key.Public) (contact.Contact, error) {
	return s.contactAction("unblocking the contact", pub, "", contact.Contact.Unblock)
}

// RenameContact gives somebody a name that never leaves this account.
func (s *Stack) RenameContact(pub key.Public, nickname string) (contact.Contact, error) {
	return s.contactAction("renaming the contact", pub, "", func(c contact.Contact, _ uint64) (contact.Contact, contact.Effects, error) {
		c, err := c.WithNickname(nickname)
		if err != nil {
			return c, contact.Effects{}, fault.Wrap(fault.Usage, "renaming the contact", err)
		}
		return c, contact.Effects{}, nil
	})
}

func (s *Stack) contactAction(op string, pub key.Public, text string, do act) (after contact.Contact, err error) {
	err = s.update(func(t *step) error {
		before, err := t.Contact(pub)
		if err != nil {
			return err
		}
		room, err := s.room(t, pub)
		if err != nil {
			return err
		}
		clock := chat.NextClock(max(room.LastClock, before.Clock()), t.now)
		var effects contact.Effects
		if after, effects, err = do(before, clock); err != nil {
			return actionError(op, err)
		}
		after = noted(before, after, t.now)
		if err := t.PutChat(room.Saw(clock)); err != nil {
			return err
		}
		if after, err = s.changeContact(t, before, after, effects, clock, text); err != nil {
			return err
		}
		return s.syncContact(t, before, after)
	})
	return after, err
}

// actionError tells a person what the state machine refused.
func actionError(op string, err error) error {
	f := &fault.Error{Kind: fault.Conflict, Op: op, Err: err}
	switch {
	case errors.Is(err, contact.ErrBlocked):
		return f.WithHint("unblock the contact first")
	case errors.Is(err, contact.ErrNoRequest):
		f.Kind = fault.NotFound
		return f.WithHint("send a request of your own instead")
	case errors.Is(err, contact.ErrNoRelation), errors.Is(err, contact.ErrNotBlocked):
		f.Kind = fault.NotFound
	}
	return f
}

// changeContact stores a contact after a step of its state machine and does
// what the step asks for.
func (s *Stack) changeContact(t *step, before, after contact.Contact, effects contact.Effects, clock uint64, text string) (contact.Contact, error) {
	if effects.SendRequest {
		request, err := s.sendRequest(t, after, text, clock)
		if err != nil {
			return after, err
		}
		after.SentRequest = request.ID.String()
	}
	if before != after {
		if err := t.PutContact(after); err != nil {
			return after, err
		}
		if err := s.claimed(t, before, after); err != nil {
			return after, err
		}
	}
	// Every message moves a clock, which is no news.
	was := before
	was.UpdatedClock = after.UpdatedClock
	if was != after {
		if err := s.contactEvent(t, after); err != nil {
			return after, err
		}
	}
	if before.State() != after.State() || before.Blocked != after.Blocked {
		t.resubscribe = true
	}
	if err := s.relate(t, before, after); err != nil {
		return after, err
	}
	if effects.Accept != nil {
		if err := s.tell(t, after.Key, apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, effects.Accept); err != nil {
			return after, err
		}
	}
	if effects.Retract != nil {
		if err := s.tell(t, after.Key, apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST, effects.Retract); err != nil {
			return after, err
		}
	}
	if effects.SendUpdate {
		if err := s.tell(t, after.Key, apppb.ApplicationMetadataMessage_CONTACT_UPDATE, s.Profile().Update(after, clock)); err != nil {
			return after, err
		}
	}
	if effects.Introduce {
		if err := s.identify(t, after.Key); err != nil {
			return after, err
		}
		return after, s.publishContactCode(t)
	}
	return after, nil
}

// relate does what follows from a change of the relation, whoever caused it.
func (s *Stack) relate(t *step, before, after contact.Contact) error {
	was, is := before.State(), after.State()
	switch {
	case after.Blocked && !before.Blocked:
		if err := s.blocked(t, after); err != nil {
			return err
		}
	case !after.Blocked && before.Blocked:
		if err := s.unblocked(t, after); err != nil {
			return err
		}
	}
	if was == is {
		return nil
	}
	if was == contact.StateMutual {
		if err := s.endVerifications(t, after.Key); err != nil {
			return err
		}
	}
	if was == contact.StateReceived {
		entry := activity.OfContactRequest(after.Key, "", "", 0, "").ID
		if err := s.closeActivity(t, entry, is == contact.StateMutual); err != nil {
			return err
		}
	}
	if is != contact.StateMutual {
		return nil
	}
	room, err := s.room(t, after.Key)
	if err != nil {
		return err
	}
	if !room.Active {
		room.Active = true
		if err := s.changeChat(t, room); err != nil {
			return err
		}
	}
	return s.arrived(t, contactTarget(after.Key))
}

// contactTarget names that somebody is a mutual contact as the target of what
// only those may send: it may overtake their accepting our request.
func contactTarget(who key.Public) string { return "contact/" + who.CompressedHex() }

// sendRequest sends the message that asks somebody to become a contact.
func (s *Stack) sendRequest(t *step, to contact.Contact, text string, clock uint64) (*chat.Message, error) {
	room, err := s.room(t, to.Key)
	if err != nil {
		return nil, err
	}
	a := audience{room: room, contact: to}
	d := s.draft(t, a)
	d.Text, d.Clock = text, clock
	m, err := chat.ContactRequest(d)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "the message cannot be sent", err)
	}
	return s.utter(t, a, m)
}

// tell sends a control message to one person.
func (s *Stack) tell(t *step, to key.Public, typ message.Type, body proto.Message) error {
	raw, err := message.Encode(body)
	if err == nil {
		_, err = s.send(t, outgoing{kind: message.OneToOne, typ: typ, body: raw, to: []key.Public{to}})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", message.Name(typ), err)
	}
	return nil
}

// room returns the one-to-one chat with somebody, new or stored.
func (s *Stack) room(t *step, with key.Public) (chat.Chat, error) {
	room, ok, err := t.Chat(chat.OneToOneID(with))
	if !ok {
		room = chat.NewOneToOne(with)
	}
	return room, err
}
