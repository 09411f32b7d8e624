package stack

import (
	"cmp"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

const (
	// ownStatus is the setting of what we say about being there, repeatStatus
	// that of saying it again and again.
	ownStatus      = "own status"
	statusRepeated = "status updates"
	// statusMark is when an automatic status was published last, and
	// statusInterval how often it is (deployed clients).
	statusMark     = "status"
	statusInterval = 5 * time.Minute
)

// Status returns what we said last about being there.
func (s *Stack) Status() (own contact.Status, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		own, _, err = storage.GetRecord[contact.Status](tx, storage.Settings, ownStatus)
		return err
	})
	return own, err
}

// SetStatus tells all who listen to our contact code whether we are there, once
// and now. Automatic statuses are not stored by the network.
func (s *Stack) SetStatus(presence contact.Presence, text string) (own contact.Status, err error) {
	err = s.update(func(t *step) error {
		own, err = s.publishStatus(t, contact.Status{Presence: presence, Text: text})
		if err != nil {
			return err
		}
		return s.presenceEvent(t, view.NewPerson(s.Self()), own)
	})
	return own, err
}

// publishStatus publishes a status and keeps it.
func (s *Stack) publishStatus(t *step, own contact.Status) (contact.Status, error) {
	m, err := own.Update(t.now)
	if err != nil {
		return own, fault.Wrap(fault.Usage, "changing the status", err)
	}
	own.Clock = m.GetClock()
	body, err := message.Encode(m)
	if err != nil {
		return own, err
	}
	if _, err := s.send(t, outgoing{typ: apppb.ApplicationMetadataMessage_STATUS_UPDATE, body: body}); err != nil {
		return own, err
	}
	if own.Presence == contact.Automatic {
		if err := t.SetMark(statusMark, t.now); err != nil {
			return own, err
		}
	}
	return own, storage.PutRecord(t.Tx, storage.Settings, ownStatus, own)
}

// ownStatusUpdate takes over what another device of ours has said about our being
// there, or this one before, out of a store.
func (s *Stack) ownStatusUpdate(t *step, in incoming, m *apppb.StatusUpdate) error {
	before, _, err := storage.GetRecord[contact.Status](t.Tx, storage.Settings, ownStatus)
	if err != nil {
		return err
	}
	after, err := contact.Contact{Status: before}.ReceiveStatus(m, in.reference())
	if err != nil || after.Status == before {
		return err
	}
	if err := storage.PutRecord(t.Tx, storage.Settings, ownStatus, after.Status); err != nil {
		return err
	}
	if before.Presence == after.Status.Presence && before.Text == after.Status.Text {
		return nil
	}
	return s.presenceEvent(t, view.NewPerson(s.Self()), after.Status)
}

// StatusUpdates says whether our status is published every five minutes.
func (s *Stack) StatusUpdates() (on bool, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		on, _, err = storage.GetRecord[bool](tx, storage.Settings, statusRepeated)
		return err
	})
	return on, err
}

// SetStatusUpdates publishes our status every five minutes from now on, as long
// as it is automatic or was never set, or no longer: who does not want to be
// seen does not turn it on.
func (s *Stack) SetStatusUpdates(on bool) error {
	return s.update(func(t *step) error {
		t.flush = true // for the schedule to look
		return storage.PutRecord(t.Tx, storage.Settings, statusRepeated, on)
	})
}

// repeatStatus publishes an automatic status when that is due, and returns when
// it is again, the zero time for never.
func (s *Stack) repeatStatus(t *step) (next time.Time, err error) {
	on, _, err := storage.GetRecord[bool](t.Tx, storage.Settings, statusRepeated)
	if err != nil || !on {
		return next, err
	}
	own, _, err := storage.GetRecord[contact.Status](t.Tx, storage.Settings, ownStatus)
	if err != nil || cmp.Or(own.Presence, contact.Automatic) != contact.Automatic {
		return next, err
	}
	last, err := t.Mark(statusMark)
	if err != nil {
		return next, err
	}
	// A mark far ahead is that of a clock that was wrong.
	if !last.IsZero() && t.now.Sub(last).Abs() < statusInterval {
		return last.Add(statusInterval), nil
	}
	own.Presence = contact.Automatic
	_, err = s.publishStatus(t, own)
	return t.now.Add(statusInterval), err
}

// showsLife tells whether a status that has just come says that its author is
// there to answer. Who says to be going away still is (deployed clients).
func showsLife(status contact.Status, now time.Time) bool {
	going := status.Presence == contact.Inactive && now.Sub(time.Unix(int64(status.Clock), 0)) <= contact.AutomaticLife
	return going || status.Online(now)
}

// freshLife is how old a message may be that shows its author to be there. What
// comes out of a store may be older.
const freshLife = 2 * time.Minute

// showsUp takes note of a message of somebody from a time: what waits for them
// should not wait for a retransmission.
func (s *Stack) showsUp(t *step, who key.Public, at time.Time) error {
	if who == s.Self() || t.now.Sub(at).Abs() > freshLife {
		return nil
	}
	moved, err := s.mvds.PeerOnline(t.Core("mvds"), t.now, s.rand, who)
	t.flush = t.flush || moved
	return err
}
