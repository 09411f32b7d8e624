package group

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/parley-im/parley/account/key"
)

// ChangeKind is what changed, in a word for people and for JSON.
type ChangeKind string

// The kinds of changes. The texts are stable.
const (
	// YouAdded: we are a member and were not; By added us.
	YouAdded ChangeKind = "you_added"
	// YouRemoved: we are a member no more; By removed us, or nobody when our
	// being added turned out void.
	YouRemoved ChangeKind = "you_removed"
	// MemberWasAdded, MemberHasJoined, MemberHasLeft and MemberWasRemoved are
	// about Member; we ourselves leaving or joining from another device, too.
	MemberWasAdded   ChangeKind = "member_added"
	MemberHasJoined  ChangeKind = "member_joined"
	MemberHasLeft    ChangeKind = "member_left"
	MemberWasRemoved ChangeKind = "member_removed"
	// AdminWasAdded and AdminWasRemoved are about Member.
	AdminWasAdded   ChangeKind = "admin_added"
	AdminWasRemoved ChangeKind = "admin_removed"
	// Renamed, Recolored and Repictured are about the group. Text is the new
	// name or colour.
	Renamed    ChangeKind = "renamed"
	Recolored  ChangeKind = "color_changed"
	Repictured ChangeKind = "image_changed"
)

// Change is one difference between two states of a group, to be told to the
// user.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// Member is whom it is about, zero for the group itself.
	Member key.Public `json:"member,omitzero"`
	// By is who did it, zero when it follows from the order of other events.
	By key.Public `json:"by,omitzero"`
	// Clock is that of the event, 0 when By is zero.
	Clock uint64 `json:"clock,omitempty"`
	Text  string `json:"text,omitempty"`
}

// Changes returns what differs between two states of a group as self sees it,
// oldest first. It compares the outcome, not the events: what an event that
// came late did and a newer one had undone is no change. Of a group that was
// not known, only our being added is told.
func Changes(before, after Group, self key.Public) []Change {
	var list []Change
	if !before.IsMember(self) && after.IsMember(self) && after.Creator != self {
		list = append(list, after.change(YouAdded, self, adds(MembersAdded, self)))
	}
	if before.IsZero() {
		return list
	}
	list = append(list, memberChanges(before, after, self)...)
	for _, k := range after.Admins {
		if !before.IsAdmin(k) {
			list = append(list, after.change(AdminWasAdded, k, adds(AdminsAdded, k)))
		}
	}
	for _, k := range before.Admins {
		// Who is no member any more is no admin either.
		if !after.IsAdmin(k) && after.IsMember(k) {
			list = append(list, after.change(AdminWasRemoved, k, adds(AdminRemoved, k)))
		}
	}
	if before.Name != after.Name {
		c := after.change(Renamed, key.Public{}, func(e Event) bool { return e.Type == NameChanged || e.Type == ChatCreated })
		c.Text = after.Name
		list = append(list, c)
	}
	if before.Color != after.Color {
		c := after.change(Recolored, key.Public{}, func(e Event) bool { return e.Type == ColorChanged || e.Type == ChatCreated })
		c.Text = after.Color
		list = append(list, c)
	}
	if !bytes.Equal(before.Image, after.Image) {
		list = append(list, after.change(Repictured, key.Public{}, func(e Event) bool { return e.Type == ImageChanged }))
	}
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Compare(a.Clock, b.Clock) })
	return list
}

// memberChanges compares the members, and who of them joined.
func memberChanges(before, after Group, self key.Public) []Change {
	var list []Change
	for _, k := range after.Members {
		if !before.IsMember(k) && k != self {
			list = append(list, after.change(MemberWasAdded, k, adds(MembersAdded, k)))
		}
		if !before.HasJoined(k) && after.HasJoined(k) {
			list = append(list, after.change(MemberHasJoined, k, func(e Event) bool { return e.Type == MemberJoined && e.Author == k }))
		}
	}
	for _, k := range before.Members {
		if after.IsMember(k) {
			continue
		}
		c := after.change(MemberWasRemoved, k, adds(MemberRemoved, k))
		switch {
		case c.By == k:
			c.Kind = MemberHasLeft
		case k == self:
			c.Kind = YouRemoved
		}
		list = append(list, c)
	}
	return list
}

// adds matches the events of a type that name somebody.
func adds(t Type, k key.Public) func(Event) bool {
	return func(e Event) bool { return e.Type == t && slices.Contains(e.Members, k) }
}

// change makes a change out of the newest event that caused it.
func (g Group) change(kind ChangeKind, member key.Public, cause func(Event) bool) Change {
	c := Change{Kind: kind, Member: member}
	if e, ok := g.last(cause); ok {
		c.By, c.Clock = e.Author, e.Clock
	}
	return c
}
