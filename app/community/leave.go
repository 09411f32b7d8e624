package community

import (
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Cancel withdraws a request to join that waits.
type Cancel struct {
	Member, Community key.Public
	// Clock is in seconds as we write it, in milliseconds as deployed clients
	// do, who take the description's.
	Clock                uint64
	ENSName, DisplayName string
	Color                uint32
}

// firstMilliseconds tells times in milliseconds from times in seconds: it is
// March 1973 in the one and the year 5138 in the other.
const firstMilliseconds = 100_000_000_000

// Encode returns the payload of type COMMUNITY_CANCEL_REQUEST_TO_JOIN.
func (x Cancel) Encode() ([]byte, error) {
	return message.Encode(&apppb.CommunityCancelRequestToJoin{
		Clock: x.Clock, EnsName: x.ENSName, CommunityId: idBytes(x.Community), DisplayName: x.DisplayName, CustomizationColor: x.Color,
	})
}

// ParseCancel reads a withdrawal that member signed.
func ParseCancel(member key.Public, payload []byte) (Cancel, error) {
	var m apppb.CommunityCancelRequestToJoin
	k, err := parse(payload, &m, &m.CommunityId)
	if err != nil {
		return Cancel{}, err
	}
	if err := checkNames(m.EnsName, m.DisplayName); err != nil {
		return Cancel{}, err
	}
	return Cancel{Member: member, Community: k, Clock: m.Clock, ENSName: m.EnsName, DisplayName: m.DisplayName, Color: m.CustomizationColor}, nil
}

// Withdraw cancels our own request.
func (c Community) Withdraw(self key.Public, a Asking, now time.Time) (Community, Cancel, error) {
	if c.Request.State != Pending {
		return c, Cancel{}, ErrNotAsked
	}
	x := Cancel{
		Member: self, Community: c.Key, ENSName: a.ENSName, DisplayName: a.DisplayName, Color: a.Color,
		// Deployed clients want more than the request's clock.
		Clock: max(seconds(now), c.Request.Clock+1),
	}
	c.Request.State, c.Request.Clock = Canceled, x.Clock
	return c, x, nil
}

// Cancel applies a withdrawal to the request that a control node keeps. One
// that was accepted meanwhile is canceled, too: the caller removes the member,
// as deployed clients do.
func (r Request) Cancel(x Cancel) (Request, error) {
	switch {
	case x.Member != r.Member || x.Community != r.Community:
		return r, ErrElse
	case r.State != Pending && r.State != Accepted:
		return r, ErrNotAsked
	case x.Clock <= r.Clock:
		return r, fmt.Errorf("%w: %d, want more than %d", ErrOutdated, x.Clock, r.Clock)
	}
	r.State = Canceled
	// The next request is compared with the newest that is known.
	if x.Clock < firstMilliseconds {
		r.Clock = x.Clock
	}
	return r, nil
}

// Leaving asks to be taken off the list of members.
type Leaving struct {
	Member, Community key.Public
	// Clock is Unix time in seconds (deployed clients).
	Clock uint64
}

// Encode returns the payload of type COMMUNITY_REQUEST_TO_LEAVE.
func (x Leaving) Encode() ([]byte, error) {
	return message.Encode(&apppb.CommunityRequestToLeave{Clock: x.Clock, CommunityId: idBytes(x.Community)})
}

// ParseLeaving reads a request to leave that member signed.
func ParseLeaving(member key.Public, payload []byte) (Leaving, error) {
	var m apppb.CommunityRequestToLeave
	k, err := parse(payload, &m, &m.CommunityId)
	if err != nil {
		return Leaving{}, err
	}
	return Leaving{Member: member, Community: k, Clock: m.Clock}, nil
}

// Leave ends our membership and reading at once, whatever the control node
// does with the request that it returns. It is also for who is listed although
// they withdrew their request: the two messages crossed.
func (c Community) Leave(self key.Public, now time.Time) (Community, Leaving, error) {
	switch {
	case !c.Joined && !c.IsMember(self):
		return c, Leaving{}, ErrNoMember
	case c.Role(self) == Owner:
		return c, Leaving{}, ErrOwner
	}
	x := Leaving{Member: self, Community: c.Key, Clock: max(seconds(now), c.Request.Clock)}
	c.Joined, c.JoinedAt, c.Spectated = false, 0, false
	c.Request = OwnRequest{State: Canceled, Clock: x.Clock}
	return c, x, nil
}

// CheckLeaving tells whether the control node removes a member who asks for it,
// with [Community.RemoveMember]. last is the member's last request to join,
// zero for none: a newer one means that they came back.
func (c Community) CheckLeaving(x Leaving, last Request) error {
	switch {
	case x.Community != c.Key:
		return ErrElse
	case last.Clock > x.Clock:
		return fmt.Errorf("%w: request to join of %d s, to leave of %d", ErrOutdated, last.Clock, x.Clock)
	case x.Member == c.Key || c.Role(x.Member) == Owner:
		return ErrOwner
	case !c.IsMember(x.Member):
		return ErrNoMember
	}
	return nil
}

// Addresses replaces the accounts that a member revealed.
type Addresses struct {
	Member, Community key.Public
	// Clock is one more than the member's last (deployed clients).
	Clock    uint64
	Accounts []Account
}

// Encode returns the payload of type COMMUNITY_EDIT_SHARED_ADDRESSES.
func (x Addresses) Encode() ([]byte, error) {
	return message.Encode(&apppb.CommunityEditSharedAddresses{
		Clock: x.Clock, CommunityId: idBytes(x.Community), RevealedAccounts: accountsWire(x.Accounts),
	})
}

// ParseAddresses reads an edit that member signed. Who gets it checks it with
// [Community.CheckAddresses].
func ParseAddresses(member key.Public, payload []byte) (Addresses, error) {
	var m apppb.CommunityEditSharedAddresses
	k, err := parse(payload, &m, &m.CommunityId)
	if err != nil {
		return Addresses{}, err
	}
	accounts, err := parseAccounts(m.RevealedAccounts)
	if err != nil {
		return Addresses{}, err
	}
	return Addresses{Member: member, Community: k, Clock: m.Clock, Accounts: accounts}, nil
}

// Share reveals the account made for this community anew, as a member.
func (c Community) Share(me key.Private) (Addresses, error) {
	m, ok := c.Description.Member(IDOf(me.Public()))
	if !ok {
		return Addresses{}, ErrNoMember
	}
	account, err := c.account(me, EditProof(me.Public(), c.Key))
	if err != nil {
		return Addresses{}, err
	}
	return Addresses{Member: me.Public(), Community: c.Key, Clock: m.Updated + 1, Accounts: []Account{account}}, nil
}

// CheckAddresses tells whether the control node takes an edit, to be kept with
// the member's request and followed by [Community.UpdateMember].
func (c Community) CheckAddresses(x Addresses) error {
	if x.Community != c.Key {
		return ErrElse
	}
	m, ok := c.Description.Member(IDOf(x.Member))
	if !ok {
		return ErrNoMember
	}
	if x.Clock < m.Updated {
		return fmt.Errorf("%w: %d, not before %d", ErrOutdated, x.Clock, m.Updated)
	}
	return checkAccounts(x.Accounts, EditProof(x.Member, x.Community))
}

// WithAddresses replaces the accounts of a request that a control node keeps.
func (r Request) WithAddresses(x Addresses) Request {
	r.Accounts = x.Accounts
	return r
}
