package group

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parley-im/parley/account/key"
)

// MaxSentImageSize is the largest image that is sent, in bytes: it goes to every
// member with every message.
const MaxSentImageSize = 64 << 10

// Errors of actions, beside ErrNotMember, ErrNotAdmin, ErrAdmin, ErrFull, ErrName,
// ErrColor and ErrImage. The group is unchanged.
var (
	ErrClock         = errors.New("the clock is not newer than the group's")
	ErrUnknownMember = errors.New("not somebody in the group")
	ErrNoChange      = errors.New("nothing to change")
	ErrLastAdmin     = errors.New("the last admin cannot step down")
)

// Create makes a group of which me is the creator, the only admin and the first
// member, with a random id, and adds members to it, if any, with the next
// clock. rand gives 16 bytes. color may be empty.
func Create(me key.Private, name, color string, members []key.Public, clock uint64, rand io.Reader) (Group, []Event, error) {
	id, err := NewID(me.Public(), rand)
	if err != nil {
		return Group{}, nil, fmt.Errorf("creating a group: %w", err)
	}
	if err := CheckName(name); err != nil {
		return Group{}, nil, fmt.Errorf("creating a group: %w", err)
	}
	if color != "" {
		if err := CheckColor(color); err != nil {
			return Group{}, nil, fmt.Errorf("creating a group: %w", err)
		}
	}
	g, created, err := Group{ID: id, Creator: me.Public()}.sign(me, Event{Type: ChatCreated, Clock: clock, Name: name, Color: color})
	if err != nil {
		return Group{}, nil, fmt.Errorf("creating a group: %w", err)
	}
	if len(members) == 0 {
		return g, []Event{created}, nil
	}
	g, added, err := g.AddMembers(me, members, clock+1)
	if err != nil {
		return Group{}, nil, fmt.Errorf("creating a group: %w", err)
	}
	return g, []Event{created, added}, nil
}

// Rename gives the group another name; for admins.
func (g Group) Rename(me key.Private, name string, clock uint64) (Group, Event, error) {
	if err := CheckName(name); err != nil {
		return g, Event{}, fmt.Errorf("renaming the group: %w", err)
	}
	if name == g.Name {
		return g, Event{}, fmt.Errorf("renaming the group: %w", ErrNoChange)
	}
	return g.asAdmin(me, Event{Type: NameChanged, Clock: clock, Name: name})
}

// SetColor gives the group another colour, #rrggbb; for admins.
func (g Group) SetColor(me key.Private, color string, clock uint64) (Group, Event, error) {
	if err := CheckColor(color); err != nil {
		return g, Event{}, fmt.Errorf("setting the group's colour: %w", err)
	}
	if color == g.Color {
		return g, Event{}, fmt.Errorf("setting the group's colour: %w", ErrNoChange)
	}
	return g.asAdmin(me, Event{Type: ColorChanged, Clock: clock, Color: color})
}

// SetImage gives the group another image, of at most [MaxSentImageSize] bytes;
// for admins. There is no event that takes an image away.
func (g Group) SetImage(me key.Private, image []byte, clock uint64) (Group, Event, error) {
	if err := checkLength(ErrImage, len(image), 1, MaxSentImageSize); err != nil {
		return g, Event{}, fmt.Errorf("setting the group's image: %w", err)
	}
	return g.asAdmin(me, Event{Type: ImageChanged, Clock: clock, Image: image})
}

// AddMembers adds people, up to [MaxMembers] in all; for admins. Who is a member
// already is passed over. Deployed clients want them to be mutual contacts of
// me, which the caller knows.
func (g Group) AddMembers(me key.Private, members []key.Public, clock uint64) (Group, Event, error) {
	var added []key.Public
	for _, k := range members {
		if k.IsZero() {
			return g, Event{}, fmt.Errorf("adding members: %w", key.ErrPublic)
		}
		if !g.IsMember(k) && !slices.Contains(added, k) {
			added = append(added, k)
		}
	}
	if len(added) == 0 {
		return g, Event{}, fmt.Errorf("adding members: %w", ErrNoChange)
	}
	if n := len(g.Members) + len(added); n > MaxMembers {
		return g, Event{}, fmt.Errorf("adding members: %w: %d, at most %d", ErrFull, n, MaxMembers)
	}
	return g.asAdmin(me, Event{Type: MembersAdded, Clock: clock, Members: added})
}

// Join says that me, who was added, wants to receive messages.
func (g Group) Join(me key.Private, clock uint64) (Group, Event, error) {
	if g.HasJoined(me.Public()) {
		return g, Event{}, fmt.Errorf("joining the group: %w", ErrNoChange)
	}
	return g.asMember(me, Event{Type: MemberJoined, Clock: clock})
}

// Leave removes me. When the last admin leaves, the group has none any more.
func (g Group) Leave(me key.Private, clock uint64) (Group, Event, error) {
	return g.asMember(me, Event{Type: MemberRemoved, Clock: clock, Members: []key.Public{me.Public()}})
}

// Remove removes a member who is no admin; for admins. Everybody can remove
// themselves, see [Group.Leave].
func (g Group) Remove(me key.Private, member key.Public, clock uint64) (Group, Event, error) {
	switch {
	case member == me.Public():
		return g.Leave(me, clock)
	case !g.IsMember(member):
		return g, Event{}, fmt.Errorf("removing a member: %w", ErrUnknownMember)
	case g.IsAdmin(member):
		return g, Event{}, fmt.Errorf("removing a member: %w", ErrAdmin)
	}
	return g.asAdmin(me, Event{Type: MemberRemoved, Clock: clock, Members: []key.Public{member}})
}

// AddAdmins makes members admins; for admins. Who is one already is passed over.
func (g Group) AddAdmins(me key.Private, members []key.Public, clock uint64) (Group, Event, error) {
	var added []key.Public
	for _, k := range members {
		if !g.IsMember(k) {
			return g, Event{}, fmt.Errorf("adding admins: %w", ErrUnknownMember)
		}
		if !g.IsAdmin(k) && !slices.Contains(added, k) {
			added = append(added, k)
		}
	}
	if len(added) == 0 {
		return g, Event{}, fmt.Errorf("adding admins: %w", ErrNoChange)
	}
	return g.asAdmin(me, Event{Type: AdminsAdded, Clock: clock, Members: added})
}

// StepDown makes me an ordinary member again; not for the last admin, for
// nobody could make another.
func (g Group) StepDown(me key.Private, clock uint64) (Group, Event, error) {
	if g.IsAdmin(me.Public()) && !slices.ContainsFunc(g.Members, func(k key.Public) bool { return k != me.Public() && g.IsAdmin(k) }) {
		return g, Event{}, fmt.Errorf("stepping down: %w", ErrLastAdmin)
	}
	return g.asAdmin(me, Event{Type: AdminRemoved, Clock: clock, Members: []key.Public{me.Public()}})
}

// asMember signs an event that every member may send.
func (g Group) asMember(me key.Private, e Event) (Group, Event, error) {
	if !g.IsMember(me.Public()) {
		return g, Event{}, fmt.Errorf("%s: %w", e.Type, ErrNotMember)
	}
	return g.sign(me, e)
}

// asAdmin signs an event that, by the specification, only admins send.
func (g Group) asAdmin(me key.Private, e Event) (Group, Event, error) {
	if !g.IsMember(me.Public()) {
		return g, Event{}, fmt.Errorf("%s: %w", e.Type, ErrNotMember)
	}
	if !g.IsAdmin(me.Public()) {
		return g, Event{}, fmt.Errorf("%s: %w", e.Type, ErrNotAdmin)
	}
	return g.sign(me, e)
}

// sign signs an event and replays the group with it.
func (g Group) sign(me key.Private, e Event) (Group, Event, error) {
	if e.Clock <= g.Clock() {
		return g, Event{}, fmt.Errorf("%s: %w: %d, group has %d", e.Type, ErrClock, e.Clock, g.Clock())
	}
	e, err := Sign(g.ID, e, me)
	if err != nil {
		return g, Event{}, err
	}
	after := replay(g.ID, append(g.all(1), e))
	for _, r := range after.Refused {
		if compare(r.Event, e) == 0 {
			return g, Event{}, r.Err
		}
	}
	return after, e, nil
}
