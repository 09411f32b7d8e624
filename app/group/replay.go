package group

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-im/parley/account/key"
)

// Limits of a group that is received, beyond which events are left out. They
// count what holds only, so that they fall on the same events everywhere.
const (
	// MaxReceivedMembers is how many members a group can have.
	MaxReceivedMembers = 500
	// MaxEvents and MaxEventBytes bound the events that hold, images aside.
	MaxEvents     = 2000
	MaxEventBytes = 8 << 20
	// MaxAuthorEvents and MaxAuthorBytes bound those of one author, so that
	// one member alone cannot fill the group up.
	MaxAuthorEvents = 500
	MaxAuthorBytes  = 1 << 20
)

// Limits of what is kept aside. They bound memory only: what is forgotten comes
// again with the list of somebody for whom it holds.
const (
	// MaxRefused and MaxAuthorRefused bound the events left out; the newest
	// are kept.
	MaxRefused       = 256
	MaxAuthorRefused = 32
	// MaxAuthorImages is how many of an author's images are kept, the newest.
	// An older one is shown only when the author of the newest turns out to
	// have had no right.
	MaxAuthorImages = 4
)

// Reasons for which an event is left out of the replay. ErrNotAdmin and
// ErrNotMember are also errors of actions.
var (
	ErrNotCreator = errors.New("only the creator named in the chat id creates the group")
	ErrTooOld     = errors.New("older than the group")
	ErrTwice      = errors.New("the group is created already")
	ErrNotMember  = errors.New("not a member of the group")
	ErrNotAdmin   = errors.New("not an admin of the group")
	ErrAdmin      = errors.New("an admin can be removed by nobody else")
	ErrFull       = errors.New("too many members in the group")
	ErrTooMany    = errors.New("too many events in the group")
)

// rank orders events of the same clock: what gives a right before what uses
// one before what takes one. Deployed clients keep the order of arrival.
var rank = [ImageChanged + 1]uint8{
	ChatCreated:   0,
	MembersAdded:  1,
	MemberJoined:  2,
	AdminsAdded:   3,
	NameChanged:   4,
	ColorChanged:  4,
	ImageChanged:  4,
	AdminRemoved:  5,
	MemberRemoved: 6,
}

// compare is the order in which events are replayed. Only the same event by the
// same author compares as equal, whatever its signature.
func compare(a, b Event) int {
	return cmp.Or(
		cmp.Compare(a.Clock, b.Clock),
		cmp.Compare(rank[a.Type], rank[b.Type]),
		bytes.Compare(a.Author.Bytes(), b.Author.Bytes()),
		bytes.Compare(a.encoded(), b.encoded()),
	)
}

// fold is a group while it is replayed.
type fold struct {
	Group
	people map[key.Public]*person
	count  int // events that hold, images aside
	bytes  int
}

// person is what somebody is at one point of the replay, and how much of them
// holds. What is true here is in the list of the same name in the Group.
type person struct {
	member, admin, joined, ever bool

	count, bytes int
}

func (f *fold) person(k key.Public) *person {
	p := f.people[k]
	if p == nil {
		p = &person{}
		f.people[k] = p
	}
	return p
}

// replay folds events into the group of a checked id. events is sorted, may
// have events twice and is not kept.
func replay(id string, events []Event) Group {
	creator, _ := Creator(id)
	events = sorted(events)
	f := fold{
		Group:  Group{ID: id, Creator: creator, Events: make([]Event, 0, len(events))},
		people: map[key.Public]*person{},
	}
	for _, e := range events {
		if err := f.check(e); err != nil {
			f.Refused = append(f.Refused, Refusal{Event: e, Err: fmt.Errorf("%s: %w", e.Type, err)})
			continue
		}
		f.apply(e)
		f.Events = append(f.Events, e)
	}
	f.forget()
	return f.Group
}

// sorted returns the events in order, each once. Of two signatures of one
// event, which only its author can make, the smaller stays.
func sorted(events []Event) []Event {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(compare(a, b), bytes.Compare(a.Raw, b.Raw))
	})
	return slices.CompactFunc(events, func(a, b Event) bool { return compare(a, b) == 0 })
}

// check tells whether an event holds after those before it. This is what
// deployed clients accept, less what could only be noise: a CHAT_CREATED by
// anybody but the creator the id names, or when all have left, and a stranger
// who leaves.
func (f *fold) check(e Event) error {
	if e.Type == ChatCreated {
		switch {
		case e.Author != f.Creator:
			return ErrNotCreator
		case f.Created != 0:
			return ErrTwice
		}
		return nil
	}
	if f.Created == 0 {
		return ErrTooOld
	}
	author := f.person(e.Author)
	if !author.member && (!author.admin || e.Type == MemberJoined) {
		return ErrNotMember
	}
	switch e.Type {
	case MembersAdded:
		if f.grown(e.Members) > MaxReceivedMembers {
			return ErrFull
		}
	case MemberRemoved:
		switch target := e.Members[0]; {
		case target == e.Author:
		case !author.admin:
			return ErrNotAdmin
		case f.person(target).admin:
			return ErrAdmin
		}
	case AdminsAdded:
		switch {
		case !author.admin:
			return ErrNotAdmin
		case !slices.ContainsFunc(e.Members, func(k key.Public) bool { return f.person(k).member }):
			return ErrNotMember
		}
	case AdminRemoved:
		switch {
		case !author.admin:
			return ErrNotAdmin
		case e.Members[0] != e.Author:
			return ErrAdmin
		}
	case ImageChanged:
		return nil // not counted: old images are not passed on
	}
	size := len(e.Raw)
	if f.count >= MaxEvents || f.bytes+size > MaxEventBytes || author.count >= MaxAuthorEvents || author.bytes+size > MaxAuthorBytes {
		return ErrTooMany
	}
	return nil
}

// grown returns how many members there are once some are added.
func (f *fold) grown(added []key.Public) int {
	n := len(f.Members)
	for i, k := range added {
		if !f.person(k).member && !slices.Contains(added[:i], k) {
			n++
		}
	}
	return n
}

// apply takes in an event that holds.
func (f *fold) apply(e Event) {
	author := f.person(e.Author)
	switch e.Type {
	case ChatCreated:
		f.Created, f.Name = e.Clock, e.Name
		f.paint(e.Color)
		f.addMember(e.Author)
		add(&author.admin, &f.Admins, e.Author)
		add(&author.joined, &f.Joined, e.Author)
	case NameChanged:
		f.Name = e.Name
	case ColorChanged:
		f.paint(e.Color)
	case ImageChanged:
		f.Image = e.Image
		return
	case MembersAdded:
		for _, k := range e.Members {
			f.addMember(k)
		}
	case MemberJoined:
		add(&author.joined, &f.Joined, e.Author)
	case MemberRemoved:
		target := f.person(e.Members[0])
		remove(&target.member, &f.Members, e.Members[0])
		remove(&target.admin, &f.Admins, e.Members[0])
		remove(&target.joined, &f.Joined, e.Members[0])
	case AdminsAdded:
		for _, k := range e.Members {
			add(&f.person(k).admin, &f.Admins, k)
		}
	case AdminRemoved:
		remove(&author.admin, &f.Admins, e.Author)
	}
	author.count++
	author.bytes += len(e.Raw)
	f.count++
	f.bytes += len(e.Raw)
}

// paint takes a colour over; anything but #rrggbb is passed on and not shown.
func (f *fold) paint(color string) {
	if CheckColor(color) == nil {
		f.Color = color
	}
}

func (f *fold) addMember(k key.Public) {
	p := f.person(k)
	add(&p.member, &f.Members, k)
	add(&p.ever, &f.Ever, k)
}

func add(is *bool, list *[]key.Public, k key.Public) {
	if !*is {
		*is = true
		*list = append(*list, k)
	}
}

func remove(is *bool, list *[]key.Public, k key.Public) {
	if *is {
		*is = false
		*list = slices.DeleteFunc(*list, func(m key.Public) bool { return m == k })
	}
}

// forget drops what is kept aside beyond its limits, the oldest first.
func (f *fold) forget() {
	images, refused := map[key.Public]int{}, map[key.Public]int{}
	f.Events = newest(f.Events, func(e Event) bool {
		if e.Type != ImageChanged {
			return true
		}
		images[e.Author]++
		return images[e.Author] <= MaxAuthorImages
	})
	all := 0
	f.Refused = newest(f.Refused, func(r Refusal) bool {
		refused[r.Event.Author]++
		if refused[r.Event.Author] > MaxAuthorRefused || all == MaxRefused {
			return false
		}
		all++
		return true
	})
}

// newest asks for each of list, from its end, whether to keep it.
func newest[T any](list []T, keep func(T) bool) []T {
	first := len(list)
	for i, x := range slices.Backward(list) {
		if keep(x) {
			first--
			list[first] = list[i]
		}
	}
	clear(list[:first])
	return list[first:]
}
