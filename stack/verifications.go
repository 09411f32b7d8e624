package stack

import (
	"errors"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/verify"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// verifications returns the verification requests between us and somebody.
func verifications(tx *storage.Tx, with key.Public) (verify.Requests, error) {
	all, _, err := storage.GetRecord[verify.Requests](tx, storage.Verifications, with.CompressedHex())
	return all, err
}

// putVerification stores a request, new or changed, and tells of it.
func (s *Stack) putVerification(t *step, r verify.Request) error {
	all, err := verifications(t.Tx, r.Peer)
	if err != nil {
		return err
	}
	known := false
	for i := range all {
		if all[i].ID == r.ID {
			all[i], known = r, true
		}
	}
	if !known {
		all = append(all, r)
	}
	if err := storage.PutRecord(t.Tx, storage.Verifications, r.Peer.CompressedHex(), all); err != nil {
		return err
	}
	return t.event(EventVerification, view.NewVerification(r))
}

func (s *Stack) onVerification(t *step, in incoming) error {
	if in.Author == s.Self() {
		return errOwnType
	}
	m, err := verify.Parse(in.Type, in.Payload)
	if err != nil {
		return err
	}
	c, err := t.Contact(in.Author)
	if err != nil {
		return err
	}
	from := verify.Incoming{From: in.Author, Mutual: c.State() == contact.StateMutual, WakuTime: in.at}
	all, err := verifications(t.Tx, in.Author)
	if err != nil {
		return err
	}
	r, known := all.Find(m.Request)
	switch {
	case c.State() == contact.StateSent && !(m.Type == verify.Cancel && known):
		// It has overtaken their accepting our request.
		return &message.Missing{Target: contactTarget(in.Author)}
	case m.Type == verify.Ask:
		return s.asked(t, in.ID, m, all, from)
	case !known && !from.Mutual:
		return verify.ErrNotMutual // nobody else lets anything wait here
	case !known:
		return &message.Missing{Target: message.MessageTarget(m.Request)}
	}
	after, err := r.Receive(m, from)
	if err != nil || after == r {
		return err
	}
	if err := s.sawClock(t, in.Author, m.Clock); err != nil {
		return err
	}
	if m.Type == verify.Cancel {
		if err := s.closeActivity(t, verificationEntry(after), false); err != nil {
			return err
		}
	}
	return s.putVerification(t, after)
}

// asked handles a request of somebody else.
func (s *Stack) asked(t *step, id message.ID, m verify.Message, all verify.Requests, from verify.Incoming) error {
	changed, err := all.Receive(id, m, from)
	if err != nil {
		return err
	}
	for _, r := range changed {
		if err := s.putVerification(t, r); err != nil {
			return err
		}
		if r.State != verify.Pending {
			if err := s.closeActivity(t, verificationEntry(r), false); err != nil {
				return err
			}
			continue
		}
		chatID := chat.OneToOneID(from.From)
		if err := s.note(t, activity.OfVerification(r.ID.String(), from.From, chatID, m.Clock, r.Challenge)); err != nil {
			return err
		}
	}
	if err := s.sawClock(t, from.From, m.Clock); err != nil {
		return err
	}
	return s.arrived(t, message.MessageTarget(id))
}

// sawClock takes note of the clock of something in the chat with somebody.
func (s *Stack) sawClock(t *step, with key.Public, clock uint64) error {
	room, err := s.room(t, with)
	if err != nil {
		return err
	}
	return t.PutChat(room.Saw(clock))
}

// Verifications returns the verification requests between us and somebody.
func (s *Stack) Verifications(with key.Public) (all verify.Requests, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		all, err = verifications(tx, with)
		return err
	})
	return all, err
}

// verification is a step of ours in a verification with somebody. It returns
// the request as it is then and the message to send, of no type for none.
type verification func(all verify.Requests, clock uint64, mutual bool) (verify.Request, verify.Message, error)

// verify takes a step in a verification with somebody.
func (s *Stack) verify(with key.Public, do verification) (r verify.Request, err error) {
	err = s.update(func(t *step) error {
		c, err := t.Contact(with)
		if err != nil {
			return err
		}
		room, err := s.room(t, with)
		if err != nil {
			return err
		}
		all, err := verifications(t.Tx, with)
		if err != nil {
			return err
		}
		clock := chat.NextClock(room.LastClock, t.now)
		var m verify.Message
		if r, m, err = do(all, clock, c.State() == contact.StateMutual); err != nil {
			return verifyError(err)
		}
		if m.Type != 0 {
			if err := t.PutChat(room.Saw(clock)); err != nil {
				return err
			}
			body, err := m.Encode()
			if err != nil {
				return err
			}
			id, err := s.send(t, outgoing{kind: message.OneToOne, typ: m.Type, body: body, to: []key.Public{with}})
			if err != nil {
				return err
			}
			if m.Type == verify.Ask {
				r.ID = id
			}
		}
		if !r.Own {
			if err := s.closeActivity(t, verificationEntry(r), r.State == verify.Accepted); err != nil {
				return err
			}
		}
		return s.putVerification(t, r)
	})
	return r, err
}

// closeActivity gives an entry that asks for something its answer.
func (s *Stack) closeActivity(t *step, id string, accepted bool) error {
	state := activity.Dismissed
	if accepted {
		state = activity.Accepted
	}
	before, ok, err := t.Activity(id)
	if err != nil || !ok || before.State.Answered() {
		return err
	}
	after, _, err := t.ChangeActivity(id, state)
	if err != nil {
		return err
	}
	return t.event(EventActivity, view.NewActivity(after))
}

// AskVerification asks a mutual contact something that only they can answer.
func (s *Stack) AskVerification(with key.Public, challenge string) (verify.Request, error) {
	return s.verify(with, func(all verify.Requests, clock uint64, mutual bool) (verify.Request, verify.Message, error) {
		return all.Ask(with, challenge, clock, mutual)
	})
}

// AnswerVerification answers what a contact asked last.
func (s *Stack) AnswerVerification(with key.Public, response string) (verify.Request, error) {
	return s.verify(with, func(all verify.Requests, clock uint64, mutual bool) (verify.Request, verify.Message, error) {
		r, err := latest(all, false)
		if err != nil {
			return r, verify.Message{}, err
		}
		return r.Accept(response, clock, mutual)
	})
}

// DeclineVerification declines what a contact asked last, and tells so.
func (s *Stack) DeclineVerification(with key.Public) (verify.Request, error) {
	return s.verify(with, func(all verify.Requests, clock uint64, mutual bool) (verify.Request, verify.Message, error) {
		r, err := latest(all, false)
		if err != nil {
			return r, verify.Message{}, err
		}
		return r.Decline(clock, mutual)
	})
}

// CancelVerification takes our question back.
func (s *Stack) CancelVerification(with key.Public) (verify.Request, error) {
	return s.verify(with, func(all verify.Requests, clock uint64, _ bool) (verify.Request, verify.Message, error) {
		r, err := latest(all, true)
		if err != nil {
			return r, verify.Message{}, err
		}
		return r.Cancel(clock)
	})
}

var errNoVerification = errors.New("there is no verification request")

func latest(all verify.Requests, own bool) (verify.Request, error) {
	r, ok := all.Latest(own)
	if !ok {
		return r, errNoVerification
	}
	return r, nil
}

// Trust marks somebody as trusted, as untrustworthy, or as neither. If they
// have answered a question of ours, it is the verdict on that. Nobody is told.
func (s *Stack) Trust(who key.Public, mark contact.Trust) (after contact.Contact, err error) {
	err = s.update(func(t *step) error {
		before, err := t.Contact(who)
		if err != nil {
			return err
		}
		if after, err = before.WithTrust(mark); err != nil {
			return fault.Wrap(fault.Usage, "marking the contact", err)
		}
		all, err := verifications(t.Tx, who)
		if err != nil {
			return err
		}
		if r, err := latest(all, true); err == nil && mark != contact.TrustUnknown {
			if judged, _, err := r.Trust(mark == contact.Trusted); err == nil && judged != r {
				if err := s.putVerification(t, judged); err != nil {
					return err
				}
			}
		}
		if after == before {
			return nil
		}
		after = noted(before, after, t.now)
		if err := t.PutContact(after); err != nil {
			return err
		}
		if err := s.contactEvent(t, after); err != nil {
			return err
		}
		return s.syncContact(t, before, after)
	})
	return after, err
}

// verifyError tells a person why a verification cannot go on so.
func verifyError(err error) error {
	switch {
	case errors.Is(err, verify.ErrText):
		return fault.Wrap(fault.Usage, "verifying the contact", err)
	case errors.Is(err, errNoVerification):
		return fault.Wrap(fault.NotFound, "verifying the contact", err)
	}
	return fault.Wrap(fault.Conflict, "verifying the contact", err)
}
