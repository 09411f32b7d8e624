package device

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/ens"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Errors of what another device says of a contact.
var (
	ErrContact  = errors.New("not the id of the contact")
	ErrRelation = errors.New("no such state of a contact request")
)

// verified is the verification status of a contact that was verified, in
// deployed clients.
const verified = 2

// Synced tells whether there is something about a contact that other devices of
// ours cannot learn from the contact itself.
func Synced(c contact.Contact) bool {
	return c.LocalClock > 0 || c.RemoteClock > 0 || c.Blocked || c.Nickname != "" || c.Trust != contact.TrustUnknown || c.NotedClock > 0
}

// ContactMessage returns what other devices are told of a contact. Pictures they
// have from the contact; profile_image, system_tags and muted are of clients
// before 2021 or of chats, and stay empty.
func ContactMessage(c contact.Contact) *apppb.SyncInstallationContactV2 {
	m := &apppb.SyncInstallationContactV2{
		LastUpdatedLocally:        c.NotedClock,
		Id:                        c.Key.Hex(),
		EnsName:                   c.ENSName,
		LastUpdated:               c.UpdatedClock,
		LocalNickname:             c.Nickname,
		Added:                     c.Local == contact.Sent,
		Blocked:                   c.Blocked,
		Removed:                   c.Local == contact.NoRelation && c.LocalClock > 0 && !c.Blocked,
		HasAddedUs:                c.Remote == contact.Received,
		TrustStatus:               int64(c.Trust),
		ContactRequestLocalState:  int64(c.Local),
		ContactRequestLocalClock:  int64(c.LocalClock),
		ContactRequestRemoteState: int64(c.Remote),
		ContactRequestRemoteClock: int64(c.RemoteClock),
		DisplayName:               c.DisplayName,
		CustomizationColor:        c.Color,
	}
	if c.Trust == contact.Trusted {
		m.VerificationStatus = verified
	}
	return m
}

// ContactKey returns whom a message of another device is about. Errors:
// ErrContact.
func ContactKey(m *apppb.SyncInstallationContactV2) (key.Public, error) {
	k, err := key.ParsePublic(m.GetId())
	if err != nil || k.Hex() != m.GetId() {
		return key.Public{}, fmt.Errorf("%w: not a key in its 0x04 form", ErrContact)
	}
	return k, nil
}

// Merge takes over what another device says of a contact, each part of it where
// that part is newer there. It has no effects: the other device has told the
// contact already. A part that breaks the rules for names is left out.
//
// The parts are our stance with whether the contact is blocked, their stance,
// what we call them and think of them, and what they say of themselves. Of two
// that are equally old both devices take the same one, so that both know the
// same when each has heard the other.
//
// Errors: ErrContact, ErrRelation, and message.ErrClockAhead of a clock that is
// too far ahead of the Waku message's time.
func Merge(c contact.Contact, m *apppb.SyncInstallationContactV2, in contact.Incoming) (contact.Contact, error) {
	who, err := ContactKey(m)
	if err != nil {
		return c, err
	}
	if who != c.Key {
		return c, fmt.Errorf("%w: of somebody else", ErrContact)
	}
	theirs, err := read(m, in)
	if err != nil {
		return c, err
	}
	joinStance(&c, theirs)
	joinRemote(&c, theirs)
	joinNotes(&c, theirs)
	joinNames(&c, theirs)
	return c, nil
}

// Added takes it over that another device of ours has added the contact at a
// clock, asking or accepting; request is the id of the message that asked, empty
// for none.
func Added(c contact.Contact, request string, clock uint64) contact.Contact {
	joinStance(&c, contact.Contact{Local: contact.Sent, LocalClock: clock})
	if request != "" && c.Local == contact.Sent && c.LocalClock == clock {
		c.SentRequest = request
	}
	return c
}

// read makes a contact of what another device says.
func read(m *apppb.SyncInstallationContactV2, in contact.Incoming) (c contact.Contact, err error) {
	for _, clock := range []uint64{
		m.GetLastUpdatedLocally(), m.GetLastUpdated(), uint64(m.GetContactRequestLocalClock()), uint64(m.GetContactRequestRemoteClock()),
	} {
		if clock == 0 {
			continue
		}
		if err := message.CheckClock(clock, in.WakuTime); err != nil {
			return c, err
		}
	}
	if m.GetContactRequestLocalClock() == 0 && m.GetContactRequestRemoteClock() == 0 {
		legacy(&c, m)
	} else {
		local, remote := m.GetContactRequestLocalState(), m.GetContactRequestRemoteState()
		c.Local, c.LocalClock, c.Blocked = contact.Relation(local), uint64(m.GetContactRequestLocalClock()), m.GetBlocked()
		c.Remote, c.RemoteClock = contact.Relation(remote), uint64(m.GetContactRequestRemoteClock())
		switch {
		case local != int64(contact.NoRelation) && local != int64(contact.Sent) && local != int64(contact.Dismissed):
			return c, fmt.Errorf("%w: ours is %d", ErrRelation, local)
		case remote != int64(contact.NoRelation) && remote != int64(contact.Received):
			return c, fmt.Errorf("%w: theirs is %d", ErrRelation, remote)
		}
	}
	nickname, err := contact.CheckNickname(m.GetLocalNickname())
	if trust := m.GetTrustStatus(); err == nil && trust >= 0 && trust <= int64(contact.Untrustworthy) {
		c.NotedClock, c.Nickname, c.Trust = m.GetLastUpdatedLocally(), nickname, contact.Trust(trust)
		if c.Trust == contact.TrustUnknown && m.GetVerificationStatus() == verified {
			c.Trust = contact.Trusted
		}
	}
	if name, err := contact.CheckReceivedName(m.GetDisplayName(), in.IsAlias); err == nil {
		c.UpdatedClock, c.DisplayName = m.GetLastUpdated(), name
		c.ENSName, c.Color = ens.Shown(m.GetEnsName()), m.GetCustomizationColor()
	}
	return c, nil
}

// legacy reads the relation from clients that have no clocks for it.
func legacy(c *contact.Contact, m *apppb.SyncInstallationContactV2) {
	switch at := m.GetLastUpdatedLocally(); {
	case m.GetBlocked():
		c.Local, c.LocalClock, c.Blocked = contact.Dismissed, at, true
	case m.GetRemoved():
		c.LocalClock, c.RemoteClock = at, at
	default:
		if m.GetAdded() {
			c.Local, c.LocalClock = contact.Sent, at
		}
		if m.GetHasAddedUs() {
			c.Remote, c.RemoteClock = contact.Received, m.GetLastUpdated()
		}
	}
}

// strength orders stances of the same clock: blocking wins, and then what ends a
// relation, as it does between two people.
func strength(c contact.Contact) int {
	switch {
	case c.Blocked:
		return 3
	case c.Local == contact.NoRelation:
		return 2
	case c.Local == contact.Dismissed:
		return 1
	}
	return 0
}

func joinStance(c *contact.Contact, theirs contact.Contact) {
	if cmp.Or(cmp.Compare(theirs.LocalClock, c.LocalClock), cmp.Compare(strength(theirs), strength(*c))) <= 0 {
		return
	}
	c.Local, c.LocalClock, c.Blocked = theirs.Local, theirs.LocalClock, theirs.Blocked
	if c.Blocked {
		c.Status = contact.Status{}
	}
	if c.Local != contact.Sent {
		c.SentRequest, c.AddedAt = "", time.Time{}
	} else if c.AddedAt.IsZero() {
		c.AddedAt = time.UnixMilli(int64(min(c.LocalClock, math.MaxInt64))).UTC()
	}
}

func joinRemote(c *contact.Contact, theirs contact.Contact) {
	ended := func(r contact.Relation) int {
		if r == contact.NoRelation {
			return 1
		}
		return 0
	}
	if cmp.Or(cmp.Compare(theirs.RemoteClock, c.RemoteClock), cmp.Compare(ended(theirs.Remote), ended(c.Remote))) <= 0 {
		return
	}
	// The request that it stems from comes by itself, if it comes.
	c.Remote, c.RemoteClock, c.ReceivedRequest = theirs.Remote, theirs.RemoteClock, ""
}

func joinNotes(c *contact.Contact, theirs contact.Contact) {
	newer := cmp.Or(cmp.Compare(theirs.NotedClock, c.NotedClock), cmp.Compare(theirs.Nickname, c.Nickname), cmp.Compare(theirs.Trust, c.Trust))
	if newer > 0 {
		c.NotedClock, c.Nickname, c.Trust = theirs.NotedClock, theirs.Nickname, theirs.Trust
	}
}

// joinNames takes over what the contact says of themselves. A message without a
// name takes no name away, here as anywhere.
func joinNames(c *contact.Contact, theirs contact.Contact) {
	switch age := cmp.Compare(theirs.UpdatedClock, c.UpdatedClock); {
	case age < 0:
		c.DisplayName = cmp.Or(c.DisplayName, theirs.DisplayName)
	case age > 0 || namesBefore(*c, theirs):
		c.UpdatedClock, c.DisplayName = theirs.UpdatedClock, cmp.Or(theirs.DisplayName, c.DisplayName)
		c.Color = theirs.Color
		if theirs.ENSName != c.ENSName {
			c.ENSName, c.ENSVerified = theirs.ENSName, false
		}
	}
}

func namesBefore(a, b contact.Contact) bool {
	return cmp.Or(cmp.Compare(a.DisplayName, b.DisplayName), cmp.Compare(a.ENSName, b.ENSName), cmp.Compare(a.Color, b.Color)) < 0
}
