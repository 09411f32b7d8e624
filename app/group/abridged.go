package group

import (
	"slices"

	"github.com/parley-im/parley/account/key"
)

// Abridged returns the shorter list of events that deployed clients can make of
// a group: its creation, the newest name, colour and image, what made today's
// members and admins, and who joined of them. It is never sent, there or here:
// when somebody joined, was removed and was added again, the list keeps their
// joining and the newer adding, and is then invalid for whoever gets it.
func (g Group) Abridged() []Event {
	a := abridger{group: g, promoted: map[key.Public]bool{}, added: map[key.Public]bool{}}
	removed := map[key.Public]Event{}
	var list []Event
	for _, e := range slices.Backward(g.Events) {
		if e.Type == MemberRemoved {
			if _, ok := removed[e.Members[0]]; !ok {
				removed[e.Members[0]] = e
			}
			continue
		}
		if a.keep(e) {
			list = append(list, e)
		}
	}
	// Who is in a list that was kept and is no member needs the removal.
	for _, k := range a.extra {
		if e, ok := removed[k]; ok {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, compare)
	return slices.CompactFunc(list, func(a, b Event) bool { return compare(a, b) == 0 })
}

// abridger goes through the events from the newest to the oldest.
type abridger struct {
	group    Group
	seen     [ImageChanged + 1]bool
	promoted map[key.Public]bool
	added    map[key.Public]bool
	extra    []key.Public
}

func (a *abridger) keep(e Event) bool {
	switch e.Type {
	case NameChanged, ColorChanged, ImageChanged:
		first := !a.seen[e.Type]
		a.seen[e.Type] = true
		return first
	case MemberJoined:
		return a.group.IsMember(e.Author)
	case AdminsAdded:
		// Deployed clients look at the first only.
		a.promoted[e.Members[0]] = true
		return true
	case MembersAdded:
		return a.keepAdded(e)
	}
	return true // ChatCreated, AdminRemoved
}

// keepAdded keeps an adding that an admin or a member of today needs.
func (a *abridger) keepAdded(e Event) bool {
	needed := false
	for _, k := range e.Members {
		if a.promoted[k] || a.group.IsMember(k) && !a.added[k] {
			a.added[k] = true
			needed = true
		}
	}
	if needed {
		for _, k := range e.Members {
			if !a.group.IsMember(k) && !a.promoted[k] {
				a.extra = append(a.extra, k)
			}
		}
	}
	return needed
}
