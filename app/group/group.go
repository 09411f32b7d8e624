// Package group is private group chats: small groups without a server, whose
// name, colour, image, members and admins follow from a list of signed events
// that every member has and passes on with every message. It holds rules and
// values only.
//
// A [Group] is the fold of its events: they are sorted by clock and replayed
// from CHAT_CREATED, and an event that its author had no right to is left out,
// alone. Whether an event holds depends on nothing but the events before it,
// so whoever has the same events has the same group, in whatever order they
// came; what is left out is kept aside, for an earlier event that is still to
// come may make it hold.
//
// Sources: 55/STATUS-1TO1-CHAT, Membership Update Flow; 62/STATUS-PAYLOADS,
// MembershipUpdateMessage. Where deployed clients (status-go) differ, what they
// accept is accepted, and only what both accept is sent: they let every member
// rename and add, the specification admins only.
package group

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-im/parley/account/key"
)

// MaxMembers is how many members, oneself included, a group may have for us to
// add to it. No specification says so: it is what the applications of deployed
// clients offer. Larger groups are taken part in; see [MaxReceivedMembers].
const MaxMembers = 20

// Group is a private group chat as it follows from its events. It is a value:
// methods return the changed copy and share no memory that is written to.
// Only ID, Events and Refused are kept in JSON; the rest is derived again.
//
// The zero Group is one that nothing is known of.
type Group struct {
	// ID is the chat's id, which names its creator; see [NewID].
	ID      string
	Creator key.Public
	// Created is the clock of CHAT_CREATED.
	Created uint64

	Name string
	// Color is #rrggbb, or empty.
	Color string
	Image []byte

	// Members are all who receive the messages of the group, in the order in
	// which they were added.
	Members []key.Public
	// Admins may also name somebody who is not a member (any more), as deployed
	// clients allow.
	Admins []key.Public
	// Joined are the members who said that they want to receive messages, and
	// the creator.
	Joined []key.Public
	// Ever is everybody who was ever a member.
	Ever []key.Public

	// Events hold, in their order. Refused do not: the events were left out.
	Events  []Event
	Refused []Refusal
}

// Refusal is an event that was left out of the replay, and why.
type Refusal struct {
	Event Event
	Err   error
}

// RefusedSince returns the events that are left out now and were not there
// before.
func (g Group) RefusedSince(before Group) (fresh []Refusal) {
	if len(g.Refused) == 0 {
		return nil
	}
	known := make(map[string]bool, len(before.Refused))
	for _, r := range before.Refused {
		known[string(r.Event.Raw)] = true
	}
	for _, r := range g.Refused {
		if !known[string(r.Event.Raw)] {
			fresh = append(fresh, r)
		}
	}
	return fresh
}

// Standing is what somebody is to a group, in a word for people and for JSON.
type Standing string

// The standings. The texts are stable.
const (
	// Stranger was never a member.
	Stranger Standing = "stranger"
	// Added is a member who has not said yet that they join.
	Added Standing = "added"
	// Member has joined.
	Member Standing = "member"
	// Left is who left of their own accord.
	Left Standing = "left"
	// Removed was removed by an admin, or their being added turned out void.
	Removed Standing = "removed"
)

// IsZero tells whether nothing is known of the group.
func (g Group) IsZero() bool { return g.ID == "" }

// IsMember tells whether somebody is a member now, joined or not.
func (g Group) IsMember(k key.Public) bool { return slices.Contains(g.Members, k) }

// IsAdmin tells whether somebody is an admin now.
func (g Group) IsAdmin(k key.Public) bool { return slices.Contains(g.Admins, k) }

// HasJoined tells whether a member said that they want to receive messages.
func (g Group) HasJoined(k key.Public) bool { return slices.Contains(g.Joined, k) }

// WasMember tells whether somebody is or ever was a member.
func (g Group) WasMember(k key.Public) bool { return slices.Contains(g.Ever, k) }

// MayPost tells whether a message of signer belongs in the group as self sees
// it: both must be members, else it is discarded (62/STATUS-PAYLOADS, Chats).
func (g Group) MayPost(signer, self key.Public) bool {
	return g.IsMember(signer) && g.IsMember(self)
}

// Standing tells what somebody is to the group.
func (g Group) Standing(k key.Public) Standing {
	switch {
	case g.HasJoined(k):
		return Member
	case g.IsMember(k):
		return Added
	case !g.WasMember(k):
		return Stranger
	}
	if e, ok := g.last(func(e Event) bool { return e.Type == MemberRemoved && e.Members[0] == k }); ok && e.Author == k {
		return Left
	}
	return Removed
}

// Clock is the newest clock of the group's events, also of those left out. The
// clock of an action must be newer: chat.NextClock(max(chat's last clock,
// g.Clock()), now) always is.
func (g Group) Clock() uint64 {
	var clock uint64
	if n := len(g.Events); n > 0 {
		clock = g.Events[n-1].Clock
	}
	for _, r := range g.Refused {
		clock = max(clock, r.Event.Clock)
	}
	return clock
}

// last returns the newest event that holds and that match accepts.
func (g Group) last(match func(Event) bool) (Event, bool) {
	for _, e := range slices.Backward(g.Events) {
		if match(e) {
			return e, true
		}
	}
	return Event{}, false
}

// Recipients returns who must receive the update that leads from before to g:
// everybody who is or was a member in either, without self. So who was just
// added or removed hears of it (55/STATUS-1TO1-CHAT, Member Joined).
func (g Group) Recipients(before Group, self key.Public) []key.Public {
	var to []key.Public
	for _, list := range [][]key.Public{g.Members, before.Members} {
		for _, k := range list {
			if k != self && !slices.Contains(to, k) {
				to = append(to, k)
			}
		}
	}
	return to
}

// stored is a Group in JSON. A refused event is told from one that holds by
// replaying, so they need no list of their own.
type stored struct {
	ID     string  `json:"id"`
	Events []Event `json:"events"`
}

// ErrStored means that a group in JSON cannot be read.
var ErrStored = errors.New("not a stored group")

// MarshalJSON writes the id and all events.
func (g Group) MarshalJSON() ([]byte, error) {
	return json.Marshal(stored{ID: g.ID, Events: g.all(0)})
}

// all returns all events that are kept, with room for some more.
func (g Group) all(more int) []Event {
	events := make([]Event, 0, len(g.Events)+len(g.Refused)+more)
	events = append(events, g.Events...)
	for _, r := range g.Refused {
		events = append(events, r.Event)
	}
	return events
}

// UnmarshalJSON reads what MarshalJSON wrote and derives the rest. It is for
// one's own storage: signatures are not checked again. Anything else is
// [ErrStored] and leaves g as it was.
func (g *Group) UnmarshalJSON(raw []byte) error {
	var s stored
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("%w: %w", ErrStored, err)
	}
	if s.ID == "" && len(s.Events) == 0 {
		*g = Group{}
		return nil
	}
	if _, err := Creator(s.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrStored, err)
	}
	*g = replay(s.ID, s.Events)
	return nil
}
