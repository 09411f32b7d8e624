package stack

import (
	"errors"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// contactRound is the setting that says how far we are with telling all
// contacts who we are.
const contactRound = "contact updates"

const (
	// roundBatch is how many contacts one step of a round tells, roundPause
	// the time between two steps.
	roundBatch = 32
	roundPause = time.Second
)

// round is a round of contact updates to all contacts that we added (62/STATUS-
// PAYLOADS, ContactUpdate).
type round struct {
	// Told is when the newest round began, and what it tells.
	Told contact.Told `json:"told"`
	// Running rounds have come to the contact After.
	Running bool   `json:"running,omitempty"`
	After   string `json:"after,omitempty"`
}

// tellContacts sends a contact update to all contacts when what it tells has
// changed or two days have passed. One call tells some of them and returns when
// to go on, the zero time when the round is done.
func (s *Stack) tellContacts(t *step) (next time.Time, err error) {
	me := s.me.Load()
	r, _, err := storage.GetRecord[round](t.Tx, storage.Settings, contactRound)
	if err != nil {
		return next, err
	}
	changed := r.Running && r.Told.Digest != me.digest
	if !r.Running || changed {
		if !r.Told.Due(me.digest, t.now, contact.UpdateInterval) {
			return r.Told.At.Add(contact.UpdateInterval), nil
		}
		// At the very first start nobody has been told anything else.
		r = round{Told: contact.Told{Digest: me.digest, At: t.now.UTC()}, Running: true}
	}
	contacts, err := t.Contacts()
	if err != nil {
		return next, err
	}
	r.Running = false
	told := 0
	for _, c := range contacts {
		if c.Local != contact.Sent || c.Blocked || c.Key.Hex() <= r.After {
			continue
		}
		if told == roundBatch {
			r.Running = true
			break
		}
		told++
		r.After = c.Key.Hex()
		// Who cannot be written to must not keep the others from hearing it.
		err := t.try(func(t *step) error { return s.sendUpdate(t, c) })
		if errors.Is(err, storage.ErrIO) {
			return next, err
		}
		if err != nil {
			s.log.Warn("cannot tell a contact who we are", "contact", c.Key, "cause", err)
		}
	}
	if r.Running {
		next = t.now.Add(roundPause)
	}
	return next, storage.PutRecord(t.Tx, storage.Settings, contactRound, r)
}

// sendUpdate tells a contact who we are and how we see the relation.
func (s *Stack) sendUpdate(t *step, c contact.Contact) error {
	room, err := s.room(t, c.Key)
	if err != nil {
		return err
	}
	clock := chat.NextClock(max(room.LastClock, c.Clock()), t.now)
	if err := t.PutChat(room.Saw(clock)); err != nil {
		return err
	}
	return s.tell(t, c.Key, apppb.ApplicationMetadataMessage_CONTACT_UPDATE, s.Profile().Update(c, clock))
}
