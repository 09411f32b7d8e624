package group

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxIntroduction is how long the text of a request may be, in characters. No
// specification says so.
const MaxIntroduction = 1024

// Errors of invitations. The invitation is unchanged.
var (
	ErrInvitation        = errors.New("not a valid request for a group")
	ErrInvitationStale   = errors.New("the clock is not newer than the request's")
	ErrInvitationState   = errors.New("the request is not in that state")
	ErrInvitationUnasked = errors.New("an answer to no request of ours")
	ErrMember            = errors.New("a member of the group already")
)

// InvitationState is how far a request to be added to a group is; the numbers
// go over the wire.
type InvitationState uint8

// The states.
const (
	Requested InvitationState = iota + 1
	Rejected
	Approved
)

// String returns the state's name in the message.
func (s InvitationState) String() string { return apppb.GroupChatInvitation_State(s).String() }

// Invitation is somebody's request to be added to a group, of which they know
// the id and an admin, say from a link. It is a value: methods return the
// changed copy.
type Invitation struct {
	ChatID string `json:"chat_id"`
	// From is who wants to be added, Admin whom they asked.
	From  key.Public `json:"from"`
	Admin key.Public `json:"admin"`
	// Clock is that of the newest message about it, in milliseconds.
	Clock        uint64          `json:"clock"`
	Introduction string          `json:"introduction,omitempty"`
	State        InvitationState `json:"state"`
}

// InvitationID names the request of somebody for a group: keccak256 of the
// requester's key as 0x04… and the chat id. There is one at a time.
func InvitationID(from key.Public, chatID string) message.ID {
	return key.Keccak256([]byte(from.Hex()), []byte(chatID))
}

// ID names the invitation; see [InvitationID].
func (i Invitation) ID() message.ID { return InvitationID(i.From, i.ChatID) }

// Request asks an admin to add me to a group. The message goes to the admin.
// A request again, after a rejection say, needs a newer clock; old is what is
// known of the one before, or zero.
func (i Invitation) Request(me, admin key.Public, chatID, introduction string, clock uint64) (Invitation, *apppb.GroupChatInvitation, error) {
	next := Invitation{ChatID: chatID, From: me, Admin: admin, Clock: clock, Introduction: introduction, State: Requested}
	if admin == me || admin.IsZero() {
		return i, nil, fmt.Errorf("asking for a group: %w: no admin", ErrInvitation)
	}
	if err := i.follow(next); err != nil {
		return i, nil, fmt.Errorf("asking for a group: %w", err)
	}
	return next, next.message(), nil
}

// Reject turns a request down. The message goes to who asked; g says that me is
// an admin.
func (i Invitation) Reject(me key.Public, g Group, clock uint64) (Invitation, *apppb.GroupChatInvitation, error) {
	next := i
	next.State, next.Clock = Rejected, clock
	switch {
	case i.State != Requested || i.From == me:
		return i, nil, fmt.Errorf("rejecting a request for a group: %w", ErrInvitationState)
	case g.ID != i.ChatID || !g.IsAdmin(me):
		return i, nil, fmt.Errorf("rejecting a request for a group: %w", ErrNotAdmin)
	}
	if err := i.follow(next); err != nil {
		return i, nil, fmt.Errorf("rejecting a request for a group: %w", err)
	}
	return next, next.message(), nil
}

// Settle is called when a group has changed: the request of somebody who is a
// member now was approved. No message says so; being added is the answer.
func (i Invitation) Settle(g Group) Invitation {
	if g.ID == i.ChatID && i.State == Requested && g.IsMember(i.From) {
		i.State = Approved
	}
	return i
}

// ReceiveInvitation applies a received GroupChatInvitation: a request by sender
// to us who are an admin of g, or the rejection of our own. old is what is
// known under [InvitationID] of the sender for a request, of self for a
// rejection; the zero value for nothing. g is the group as far as it is known.
//
// An approval is no message that anybody sends: adding is. Deployed clients
// would take one for a request.
func ReceiveInvitation(old Invitation, m *apppb.GroupChatInvitation, g Group, sender, self key.Public, now time.Time) (Invitation, error) {
	next := Invitation{
		ChatID:       m.GetChatId(),
		From:         sender,
		Admin:        self,
		Clock:        m.GetClock(),
		Introduction: m.GetIntroductionMessage(),
		State:        InvitationState(min(max(m.GetState(), 0), 255)),
	}
	if next.Clock == 0 {
		return old, fmt.Errorf("request for a group: %w", message.ErrClockZero)
	}
	if err := checkClock(next.Clock, now); err != nil {
		return old, fmt.Errorf("request for a group: %w", err)
	}
	switch {
	case sender == self:
		return old, fmt.Errorf("%w: from ourselves", ErrInvitation)
	case next.State == Requested:
		if g.ID != next.ChatID || !g.IsAdmin(self) {
			return old, fmt.Errorf("request for a group: %w", ErrNotAdmin)
		}
		if g.IsMember(sender) {
			return old, fmt.Errorf("request for a group: %w", ErrMember)
		}
	case next.State == Rejected:
		next.From, next.Admin, next.Introduction = self, sender, old.Introduction
		if old.From != self || old.ChatID != next.ChatID || old.Admin != sender {
			return old, fmt.Errorf("rejection: %w", ErrInvitationUnasked)
		}
		if old.State != Requested {
			return old, fmt.Errorf("rejection: %w", ErrInvitationState)
		}
	default:
		return old, fmt.Errorf("%w: state %d", ErrInvitation, m.GetState())
	}
	if err := old.follow(next); err != nil {
		return old, fmt.Errorf("request for a group: %w", err)
	}
	return next, nil
}

// follow tells whether next may take the place of i, which may be zero.
func (i Invitation) follow(next Invitation) error {
	if _, err := Creator(next.ChatID); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(next.Introduction); n > MaxIntroduction {
		return fmt.Errorf("%w: text of %d characters, at most %d", ErrInvitation, n, MaxIntroduction)
	}
	if i.State != 0 && i.ID() != next.ID() {
		return fmt.Errorf("%w: not the same request", ErrInvitation)
	}
	if next.Clock <= i.Clock {
		return fmt.Errorf("%w: %d, have %d", ErrInvitationStale, next.Clock, i.Clock)
	}
	return nil
}

// message returns the message that tells of the invitation.
func (i Invitation) message() *apppb.GroupChatInvitation {
	return &apppb.GroupChatInvitation{
		Clock:               i.Clock,
		ChatId:              i.ChatID,
		IntroductionMessage: i.Introduction,
		State:               apppb.GroupChatInvitation_State(i.State),
	}
}
