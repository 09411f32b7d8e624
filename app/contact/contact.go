// Package contact is what one person knows of another: the relation that
// contact requests make between them, the names the other goes by, and the
// presence they publish. It holds rules and values only: every method takes a
// contact, gives back the changed one and says what should be done about it.
//
// Sources: 62/STATUS-PAYLOADS, ContactUpdate, AcceptContactRequest,
// RetractContactRequest, ContactRequestPropagatedState and ChatIdentity for the
// messages; the state machine has no specification and is that of deployed
// clients (status-go), with two repairs without which two ends can disagree
// for ever (see [Contact.ReceiveRetract] and [Contact.ReceivePropagated]).
package contact

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Errors of the state machine. The contact is unchanged in every case.
var (
	ErrBlocked    = errors.New("the contact is blocked")
	ErrStale      = errors.New("the clock is not newer than the contact's")
	ErrMutual     = errors.New("already contacts of each other")
	ErrNoRequest  = errors.New("no contact request to answer")
	ErrNoRelation = errors.New("not a contact")
	ErrNotBlocked = errors.New("the contact is not blocked")
)

// Relation is one side's stance in the relation; the numbers go over the wire
// in ContactRequestPropagatedState.
type Relation uint8

// The stances. Ours is none, sent or dismissed; the other's none or received.
// Number 1, mutual, is derived and never stored.
const (
	NoRelation Relation = 0
	Sent       Relation = 2
	Received   Relation = 3
	Dismissed  Relation = 4
)

// State is the relation in a word, for people and for JSON.
type State string

// The states. The texts are stable.
const (
	None          State = "none"
	StateSent     State = "sent"
	StateReceived State = "received"
	StateMutual   State = "mutual"
)

// Contact is what is known of somebody. The zero value with a key is somebody
// nothing is known of. It is a value: methods return the changed copy.
type Contact struct {
	Key key.Public `json:"key"`

	// Local is our stance and LocalClock when we took it; Remote is the
	// other's as far as we know. Clocks are Lamport clocks in milliseconds.
	Local       Relation `json:"local,omitempty"`
	LocalClock  uint64   `json:"local_clock,omitempty"`
	Remote      Relation `json:"remote,omitempty"`
	RemoteClock uint64   `json:"remote_clock,omitempty"`
	Blocked     bool     `json:"blocked,omitempty"`

	// SentRequest and ReceivedRequest are the ids of the messages that carried
	// the pending requests, empty for none.
	SentRequest     string `json:"sent_request,omitempty"`
	ReceivedRequest string `json:"received_request,omitempty"`
	// AddedAt is when we first asked or accepted.
	AddedAt time.Time `json:"added_at,omitzero"`

	// Nickname is what we call them; it never leaves this account.
	Nickname    string `json:"nickname,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	// ENSName is as they claim it; ENSVerified tells that it was looked up and
	// leads to their key. Looking up is app/ens.
	ENSName     string `json:"ens_name,omitempty"`
	ENSVerified bool   `json:"ens_verified,omitempty"`
	Bio         string `json:"bio,omitempty"`
	// Color is the id of the customisation colour, 0 for none; see [ColorName].
	Color uint32 `json:"color,omitempty"`
	// Trust is our judgement; it never leaves this account.
	Trust Trust `json:"trust,omitempty"`
	// NotedClock is when we blocked them, named them or judged them last, in
	// milliseconds: our devices go by it.
	NotedClock uint64 `json:"noted_clock,omitempty"`
	// IdentityClock is that of the newest ChatIdentity, UpdatedClock that of
	// the newest message that named them.
	IdentityClock uint64 `json:"identity_clock,omitempty"`
	UpdatedClock  uint64 `json:"updated_clock,omitempty"`
	Status        Status `json:"status,omitzero"`
}

// Effects is what a step asks the caller to do.
type Effects struct {
	// Notify: a new contact request is there to be shown.
	Notify bool
	// Mutual: both are now contacts of each other; the chat becomes active.
	Mutual bool
	// Ended: a request or a contact that was there is no more.
	Ended bool

	// Accept and Retract are to be sent to the other, when not nil.
	Accept  *apppb.AcceptContactRequest
	Retract *apppb.RetractContactRequest
	// SendRequest: a chat message of type CONTACT_REQUEST is to be sent, with
	// the new propagated state; its id becomes SentRequest.
	SendRequest bool
	// SendUpdate: a CONTACT_UPDATE with the new propagated state is to be sent.
	SendUpdate bool
	// Introduce: the other should learn who we are: publish the contact code,
	// send a CHAT_IDENTITY, and listen to the other's contact code.
	Introduce bool
}

// State returns the relation in a word. Somebody dismissed is none; see
// [Contact.IsDismissed].
func (c Contact) State() State {
	switch {
	case c.Local == Sent && c.Remote == Received:
		return StateMutual
	case c.Local == Sent:
		return StateSent
	case c.Local == Dismissed:
		return None
	case c.Remote == Received:
		return StateReceived
	}
	return None
}

// IsDismissed tells whether we declined, silently: the other is not told.
func (c Contact) IsDismissed() bool { return c.Local == Dismissed }

// Clock is the newest clock of the relation. An action's clock must be newer;
// chat.NextClock(max(chat's last clock, c.Clock()), now) always is.
func (c Contact) Clock() uint64 { return max(c.LocalClock, c.RemoteClock) }

// Propagated returns our view of the relation, which goes with every 1:1 chat
// message and contact update.
func (c Contact) Propagated() *apppb.ContactRequestPropagatedState {
	return &apppb.ContactRequestPropagatedState{
		LocalClock:  c.LocalClock,
		LocalState:  uint64(c.Local),
		RemoteClock: c.RemoteClock,
		RemoteState: uint64(c.Remote),
	}
}

// DefaultRequestID is the id of a request that came without a message of its
// own, in a contact update or in a propagated state: the sender's 65 key bytes
// and a space, as deployed clients have it.
func DefaultRequestID(sender key.Public) string {
	return "0x" + hex.EncodeToString(append(sender.Bytes(), ' '))
}
