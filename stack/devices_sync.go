package stack

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/device"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
)

// What paired devices keep in step: the contacts, and, by copies, what is said.

// deviceRound is the setting that says how far we are with telling newly paired
// devices all about our contacts.
const deviceRound = "device sync"

// syncRound is a round through all contacts. After is the last one told.
type syncRound struct {
	Running bool   `json:"running,omitempty"`
	After   string `json:"after,omitempty"`
}

// beginSync tells our paired devices all that is to be in step, from the start.
func (s *Stack) beginSync(t *step) error {
	t.flush = true // for the schedule to look
	return storage.PutRecord(t.Tx, storage.Settings, deviceRound, syncRound{Running: true})
}

// syncAll goes on with a round, and returns when to come again, the zero time
// for never.
func (s *Stack) syncAll(t *step) (next time.Time, err error) {
	r, _, err := storage.GetRecord[syncRound](t.Tx, storage.Settings, deviceRound)
	if err != nil || !r.Running {
		return next, err
	}
	contacts, err := t.Contacts()
	if err != nil {
		return next, err
	}
	r.Running = false
	told := 0
	for _, c := range contacts {
		id := c.Key.Hex()
		if id <= r.After || c.Key == s.Self() || !device.Synced(c) {
			continue
		}
		if told == roundBatch {
			r.Running, next = true, t.now.Add(roundPause)
			break
		}
		told++
		r.After = id
		// One that cannot be told must not keep the others from being told.
		err := t.try(func(t *step) error {
			return s.tellDevices(t, apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, device.ContactMessage(c))
		})
		if errors.Is(err, storage.ErrIO) {
			return next, err
		}
		if err != nil {
			s.log.Warn("cannot tell our devices of a contact", "contact", c.Key, "cause", err)
		}
	}
	if !r.Running {
		return next, storage.DeleteRecord(t.Tx, storage.Settings, deviceRound)
	}
	return next, storage.PutRecord(t.Tx, storage.Settings, deviceRound, r)
}

// syncContact tells our paired devices what we did to a contact. What the contact
// did they hear themselves.
func (s *Stack) syncContact(t *step, before, after contact.Contact) error {
	if before == after || after.Key == s.Self() {
		return nil
	}
	return s.tellDevices(t, apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2, device.ContactMessage(after))
}

// noted dates what we think of somebody, when that has changed.
func noted(before, after contact.Contact, now time.Time) contact.Contact {
	if before.Blocked != after.Blocked || before.Nickname != after.Nickname || before.Trust != after.Trust {
		after.NotedClock = chat.NextClock(before.NotedClock, now)
	}
	return after
}

// onSyncContact takes over what another device of ours knows of a contact.
func (s *Stack) onSyncContact(t *step, in incoming) error {
	if in.Author != s.Self() {
		return errNotOwn
	}
	m := new(apppb.SyncInstallationContactV2)
	if err := in.read(m); err != nil {
		return err
	}
	who, err := device.ContactKey(m)
	if err != nil {
		return err
	}
	if who == s.Self() {
		return device.ErrContact
	}
	return s.merge(t, who, in, func(c contact.Contact) (contact.Contact, error) { return device.Merge(c, m, in.reference()) })
}

// merge applies to a contact what was done on another device of ours. Here it has
// every effect but on the contact, who has heard of it.
func (s *Stack) merge(t *step, who key.Public, in incoming, apply func(c contact.Contact) (contact.Contact, error)) error {
	before, err := t.Contact(who)
	if err != nil {
		return err
	}
	after, err := apply(before)
	if err != nil || after == before {
		return err
	}
	if _, err := s.changeContact(t, before, after, contact.Effects{}, 0, ""); err != nil {
		return err
	}
	if before.State() == contact.StateReceived || after.State() != contact.StateReceived {
		return nil
	}
	// If there is a message with the request, that takes the place of this entry.
	if err := s.note(t, activity.OfContactRequest(who, chat.OneToOneID(who), "", after.RemoteClock, "")); err != nil {
		return err
	}
	return s.announce(t, who, "", in.ID)
}

// ownRequest takes it over that another device of ours has asked somebody to
// become a contact.
func (s *Stack) ownRequest(t *step, in incoming, who key.Public, m *apppb.ChatMessage) error {
	state := m.GetContactRequestPropagatedState()
	if m.GetContentType() != apppb.ChatMessage_CONTACT_REQUEST || who == s.Self() {
		return nil
	}
	if err := contact.CheckPropagated(state, in.at); err != nil {
		return err
	}
	clock := m.GetClock()
	if state.GetLocalState() == uint64(contact.Sent) && state.GetLocalClock() > 0 {
		clock = state.GetLocalClock()
	}
	return s.merge(t, who, in, func(c contact.Contact) (contact.Contact, error) {
		return device.Added(c, in.ID.String(), clock), nil
	})
}

// errOwnAnswer means that another device of ours has answered a request of which
// nothing says whose it is.
var errOwnAnswer = errors.New("answer of another own device to nobody")

// ownAccept takes it over that another device of ours has accepted a contact
// request. It names the message that the request was.
func (s *Stack) ownAccept(t *step, in incoming, m *apppb.AcceptContactRequest) error {
	if err := message.CheckClock(m.GetClock(), in.at); err != nil {
		return err
	}
	who, err := s.requester(t, m.GetId())
	if err != nil {
		return err
	}
	return s.merge(t, who, in, func(c contact.Contact) (contact.Contact, error) { return device.Added(c, "", m.GetClock()), nil })
}

// requester finds out whose a contact request was.
func (s *Stack) requester(t *step, request string) (key.Public, error) {
	if k, ok := strings.CutSuffix(request, "20"); ok {
		if who, err := key.ParsePublic(k); err == nil && contact.DefaultRequestID(who) == request && who != s.Self() {
			return who, nil
		}
	}
	id, err := message.ParseID(request)
	if err != nil {
		return key.Public{}, errOwnAnswer
	}
	asked, err := s.target(t, id)
	if err != nil {
		return key.Public{}, err
	}
	if asked.From == s.Self() || asked.Chat != chat.OneToOneID(asked.From) {
		return key.Public{}, errOwnAnswer
	}
	return asked.From, nil
}

// copyToDevices hands a signed message of ours to the reliability layer for our
// own paired devices, who show it as ours.
func (s *Stack) copyToDevices(t *step, m outgoing, id message.ID, raw []byte) error {
	if !copied[m.typ] || slices.Contains(m.to, s.Self()) {
		return nil
	}
	if paired, err := s.paired(t.Tx); err != nil || !paired {
		return err
	}
	ref, err := s.mvds.Append(t.Core("mvds"), t.now, mvds.Message{
		Group:     mvds.OneToOneGroup(s.Self(), s.Self()),
		Timestamp: t.now.Unix(),
		Body:      raw,
	}, s.Self())
	if err != nil {
		return err
	}
	t.flush = true
	// That our own devices have it is no delivery, and so the message goes by
	// another name here.
	name := key.Keccak256(append([]byte("copy of "), id[:]...))
	return t.PutRef(ref, &storagepb.MessageRef{ApplicationId: append(name[:], copyMark), Type: uint32(m.typ)})
}

// copyMark is behind the name of a copy in a reference.
const copyMark = 'c'

// isCopy tells whether a reference is of a copy for our own devices.
func isCopy(r *storagepb.MessageRef) bool { return len(r.GetApplicationId()) > message.IDSize }
