package group

import (
	"slices"

	"github.com/parley-im/parley/account/key"
)

// GroupWasCreated begins the history of a group. Text is its first name.
const GroupWasCreated ChangeKind = "created"

// Entry is something that was done to a group, by an event that holds and
// changed something.
type Entry struct {
	// ID is the same for the same event, whoever has it and whenever it came.
	ID [32]byte
	// Type is the event's.
	Type Type
	// Kind says what was done: GroupWasCreated, MemberWasAdded,
	// MemberHasJoined, MemberHasLeft, MemberWasRemoved, AdminWasAdded,
	// AdminWasRemoved, Renamed, Recolored or Repictured.
	Kind ChangeKind
	By   key.Public
	// Members are whom it is about, as far as it changed something for them.
	Members []key.Public
	// Text is the new name or colour.
	Text  string
	Clock uint64
}

// EntryID returns the id of the entry that an event of the group has.
func (g Group) EntryID(e Event) [32]byte {
	return key.Keccak256([]byte("group event\x00"+g.ID+"\x00"), e.Author.Bytes(), e.encoded())
}

// History returns what was done to the group, in the order of its events: one
// entry for each that changed something. It follows from the events alone, so
// whoever has the same events has the same history.
func (g Group) History() []Entry {
	f := fold{people: map[key.Public]*person{}}
	list := make([]Entry, 0, len(g.Events))
	for _, e := range g.Events {
		entry := Entry{ID: g.EntryID(e), Type: e.Type, By: e.Author, Clock: e.Clock}
		changed := f.describe(e, &entry)
		f.apply(e)
		if changed {
			list = append(list, entry)
		}
	}
	return list
}

// describe says what an event does to the group as it is before it, and whether
// that is anything.
func (f *fold) describe(e Event, entry *Entry) bool {
	only := func(k key.Public, is bool) {
		if is && !slices.Contains(entry.Members, k) {
			entry.Members = append(entry.Members, k)
		}
	}
	switch e.Type {
	case ChatCreated:
		entry.Kind, entry.Text = GroupWasCreated, e.Name
		return true
	case NameChanged:
		entry.Kind, entry.Text = Renamed, e.Name
		return e.Name != f.Name
	case ColorChanged:
		entry.Kind, entry.Text = Recolored, e.Color
		return CheckColor(e.Color) == nil && e.Color != f.Color
	case ImageChanged:
		entry.Kind = Repictured
		return true
	case MembersAdded:
		entry.Kind = MemberWasAdded
		for _, k := range e.Members {
			only(k, !f.person(k).member)
		}
	case MemberJoined:
		entry.Kind = MemberHasJoined
		only(e.Author, !f.person(e.Author).joined)
	case MemberRemoved:
		entry.Kind = MemberWasRemoved
		if e.Members[0] == e.Author {
			entry.Kind = MemberHasLeft
		}
		only(e.Members[0], f.person(e.Members[0]).member)
	case AdminsAdded:
		entry.Kind = AdminWasAdded
		for _, k := range e.Members {
			only(k, !f.person(k).admin)
		}
	case AdminRemoved:
		entry.Kind = AdminWasRemoved
		only(e.Author, f.person(e.Author).admin)
	}
	return len(entry.Members) > 0
}
