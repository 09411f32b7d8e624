package group

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
)

// at signs an event at start+clock.
func at(t testing.TB, g Group, author key.Private, clock int, typ Type, fields Event) Event {
	t.Helper()
	return sign(t, g, author, uint64(start+clock), typ, fields)
}

// Who may do what: admin, member and former member, in a group of the four of
// which admin and second are admins.
//
// Proves: AP-014, AP-022, AP-023, AP-024, AP-025, AP-027, AP-028, AP-029, AP-030, AP-031, AP-032.
func TestAuthority(t *testing.T) {
	t.Parallel()
	ks := people(6)
	admin, second, member, other, former, stranger := ks[0], ks[1], ks[2], ks[3], ks[4], ks[5]
	g := create(t, admin, second, member, other, former)
	g = merge(t, g,
		at(t, g, admin, 2, AdminsAdded, targets(second)),
		at(t, g, admin, 3, MemberRemoved, targets(former)))
	for _, c := range []struct {
		what   string
		by     key.Private
		typ    Type
		fields Event
		want   error
		// check tells whether the event did its work.
		check func(g Group) bool
	}{
		{"admin renames", admin, NameChanged, Event{Name: "n"}, nil, func(g Group) bool { return g.Name == "n" }},
		{"member renames", member, NameChanged, Event{Name: "n"}, nil, func(g Group) bool { return g.Name == "n" }},
		{"former renames", former, NameChanged, Event{Name: "n"}, ErrNotMember, nil},
		{"stranger renames", stranger, NameChanged, Event{Name: "n"}, ErrNotMember, nil},
		{"member colours", member, ColorChanged, Event{Color: "#123456"}, nil, func(g Group) bool { return g.Color == "#123456" }},
		{"member colours oddly", member, ColorChanged, Event{Color: "red"}, nil, func(g Group) bool { return g.Color == "#4360df" }},
		{"stranger colours", stranger, ColorChanged, Event{Color: "#123456"}, ErrNotMember, nil},
		{"member pictures", member, ImageChanged, Event{Image: []byte{1}}, nil, func(g Group) bool { return len(g.Image) == 1 }},
		{"stranger pictures", stranger, ImageChanged, Event{Image: []byte{1}}, ErrNotMember, nil},
		{"admin adds", admin, MembersAdded, targets(stranger), nil, func(g Group) bool { return g.IsMember(stranger.Public()) }},
		{"member adds", member, MembersAdded, targets(stranger), nil, func(g Group) bool { return g.IsMember(stranger.Public()) }},
		{"former adds", former, MembersAdded, targets(former), ErrNotMember, nil},
		{"stranger adds", stranger, MembersAdded, targets(stranger), ErrNotMember, nil},
		{"member joins", member, MemberJoined, Event{}, nil, func(g Group) bool { return g.HasJoined(member.Public()) }},
		{"stranger joins", stranger, MemberJoined, Event{}, ErrNotMember, nil},
		{"member leaves", member, MemberRemoved, targets(member), nil, func(g Group) bool { return !g.IsMember(member.Public()) }},
		{"admin leaves", admin, MemberRemoved, targets(admin), nil, func(g Group) bool { return !g.IsMember(admin.Public()) && !g.IsAdmin(admin.Public()) }},
		{"admin removes a member", admin, MemberRemoved, targets(member), nil, func(g Group) bool { return !g.IsMember(member.Public()) }},
		{"admin removes nobody known", admin, MemberRemoved, targets(stranger), nil, func(g Group) bool { return true }},
		{"admin removes an admin", admin, MemberRemoved, targets(second), ErrAdmin, nil},
		{"member removes a member", member, MemberRemoved, targets(other), ErrNotAdmin, nil},
		{"member removes an admin", member, MemberRemoved, targets(admin), ErrNotAdmin, nil},
		{"former leaves again", former, MemberRemoved, targets(former), ErrNotMember, nil},
		{"admin promotes", admin, AdminsAdded, targets(member), nil, func(g Group) bool { return g.IsAdmin(member.Public()) }},
		{"admin promotes a member and a stranger", admin, AdminsAdded, targets(stranger, member), nil, func(g Group) bool { return g.IsAdmin(stranger.Public()) && !g.IsMember(stranger.Public()) }},
		{"admin promotes a stranger", admin, AdminsAdded, targets(stranger), ErrNotMember, nil},
		{"member promotes", member, AdminsAdded, targets(member), ErrNotAdmin, nil},
		{"admin steps down", admin, AdminRemoved, targets(admin), nil, func(g Group) bool { return !g.IsAdmin(admin.Public()) && g.IsMember(admin.Public()) }},
		{"admin demotes another", admin, AdminRemoved, targets(second), ErrAdmin, nil},
		{"member demotes itself", member, AdminRemoved, targets(member), ErrNotAdmin, nil},
		{"creator creates again", admin, ChatCreated, Event{}, ErrTwice, nil},
		{"member creates", member, ChatCreated, Event{}, ErrNotCreator, nil},
	} {
		after := merge(t, g, at(t, g, c.by, 9, c.typ, c.fields))
		deployed(t, after)
		if c.want == nil {
			if len(after.Refused) > 0 || !c.check(after) {
				t.Errorf("%s: %v\n%s", c.what, after.Refused, look(after))
			}
			continue
		}
		if len(after.Refused) != 1 || !errors.Is(after.Refused[0].Err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, after.Refused, c.want)
		}
		same(t, after, g)
	}
}

// Deployed clients let somebody be an admin who is no member: such a one acts
// as an admin, and neither joins nor posts.
func TestAdminWhoIsNoMember(t *testing.T) {
	t.Parallel()
	ks := people(3)
	admin, member, outside := ks[0], ks[1], ks[2]
	g := create(t, admin, member)
	g = merge(t, g, at(t, g, admin, 2, AdminsAdded, targets(member, outside)))
	renamed := merge(t, g, at(t, g, outside, 3, NameChanged, Event{Name: "from outside"}))
	if renamed.Name != "from outside" || renamed.WasMember(outside.Public()) || renamed.MayPost(outside.Public(), admin.Public()) {
		t.Error(look(renamed))
	}
	joined := merge(t, g, at(t, g, outside, 3, MemberJoined, Event{}))
	if len(joined.Refused) != 1 || !errors.Is(joined.Refused[0].Err, ErrNotMember) {
		t.Errorf("%v\n%s", joined.Refused, look(joined))
	}
	if _, _, err := g.Rename(outside, "n", start+3); !errors.Is(err, ErrNotMember) {
		t.Errorf("sent: %v", err)
	}
	deployed(t, renamed)
	deployed(t, joined)
}

// The creation is the beginning: what is older does not count, also not when
// it came first, and who creates is the one admin.
//
// Proves: AP-008, AP-009, AP-010, AP-011.
func TestCreation(t *testing.T) {
	t.Parallel()
	ks := people(3)
	me, other, stranger := ks[0], ks[1], ks[2]
	g := create(t, me, other)
	if g.Creator != me.Public() || g.Created != start || g.Events[0].Type != ChatCreated ||
		!slices.Equal(g.Admins, publics(me)) || !slices.Equal(g.Members, publics(me, other)) || !slices.Equal(g.Joined, publics(me)) {
		t.Fatal(look(g))
	}
	older := at(t, g, me, -1, NameChanged, Event{Name: "older"})
	after := merge(t, g, older)
	if len(after.Refused) != 1 || !errors.Is(after.Refused[0].Err, ErrTooOld) {
		t.Errorf("%v", after.Refused)
	}
	same(t, after, g)
	first := merge(t, Group{ID: g.ID}, append([]Event{older}, g.Events...)...)
	same(t, first, g)

	// Nobody else creates it, however early.
	theirs := at(t, g, stranger, -9, ChatCreated, Event{Name: "theirs"})
	after = merge(t, g, theirs)
	if len(after.Refused) != 1 || !errors.Is(after.Refused[0].Err, ErrNotCreator) {
		t.Errorf("%v", after.Refused)
	}
	same(t, after, g)

	// Events of the same clock as the creation come after it.
	after = merge(t, g, at(t, g, me, 0, NameChanged, Event{Name: "at once"}))
	if after.Name != "at once" {
		t.Errorf("name %q", after.Name)
	}
	// Once all have left, the group stays empty.
	after = merge(t, g, at(t, g, me, 5, MemberRemoved, targets(me)), at(t, g, other, 5, MemberRemoved, targets(other)), at(t, g, me, 6, ChatCreated, Event{}))
	if len(after.Members) != 0 || len(after.Refused) != 1 || !errors.Is(after.Refused[0].Err, ErrTwice) {
		t.Errorf("%s, %v", look(after), after.Refused)
	}
}

// Added, joined, removed, added again: joining counts from the newest adding.
//
// Proves: AP-017, AP-020, AP-021, AP-025.
func TestStandings(t *testing.T) {
	t.Parallel()
	ks := people(4)
	admin, member, other, stranger := ks[0], ks[1], ks[2], ks[3]
	g := create(t, admin, member, other)
	check := func(g Group, k key.Private, want Standing) {
		t.Helper()
		if got := g.Standing(k.Public()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		isMember := want == Added || want == Member
		if g.MayPost(k.Public(), admin.Public()) != isMember || g.MayPost(admin.Public(), k.Public()) != isMember {
			t.Errorf("%s may post: %v", want, !isMember)
		}
		receives := slices.Contains(g.Recipients(g, admin.Public()), k.Public())
		if k != admin && receives != isMember {
			t.Errorf("%s receives: %v", want, receives)
		}
	}
	check(g, admin, Member)
	check(g, member, Added)
	check(g, stranger, Stranger)
	g = merge(t, g, at(t, g, member, 2, MemberJoined, Event{}))
	check(g, member, Member)
	g = merge(t, g, at(t, g, admin, 3, MemberRemoved, targets(member)))
	check(g, member, Removed)
	if !g.WasMember(member.Public()) || g.WasMember(stranger.Public()) {
		t.Error("who was a member")
	}
	g = merge(t, g, at(t, g, admin, 4, MembersAdded, targets(member)))
	check(g, member, Added)
	g = merge(t, g, at(t, g, member, 5, MemberJoined, Event{}))
	check(g, member, Member)
	g = merge(t, g, at(t, g, member, 6, MemberRemoved, targets(member)))
	check(g, member, Left)
	g = merge(t, g, at(t, g, admin, 7, MemberRemoved, targets(admin)))
	check(g, admin, Left)
	if len(g.Admins) != 0 {
		t.Error("the last admin left and is one still")
	}
	// Without an admin, members still add.
	g = merge(t, g, at(t, g, other, 8, MembersAdded, targets(admin)))
	if !g.IsMember(admin.Public()) || g.IsAdmin(admin.Public()) {
		t.Error(look(g))
	}
	// Their being added turns out void: an admin had removed who added them.
	h := merge(t, create(t, admin, member), at(t, g, member, 9, MembersAdded, targets(stranger)))
	check(h, stranger, Added)
	h = merge(t, h, at(t, h, admin, 8, MemberRemoved, targets(member)))
	if h.Standing(stranger.Public()) != Stranger {
		t.Error(look(h))
	}
}

// Equal clocks: rights are given first and taken last, and the order does not
// depend on that of arrival.
//
// Proves: AP-007.
func TestEqualClocks(t *testing.T) {
	t.Parallel()
	ks := people(3)
	admin, member, third := ks[0], ks[1], ks[2]
	g := create(t, admin, member)
	events := []Event{
		at(t, g, admin, 5, MemberRemoved, targets(member)),
		at(t, g, member, 5, NameChanged, Event{Name: "farewell"}),
		at(t, g, admin, 5, NameChanged, Event{Name: "well"}),
		at(t, g, third, 5, MemberJoined, Event{}),
		at(t, g, member, 5, MembersAdded, targets(third)),
		at(t, g, admin, 5, AdminsAdded, targets(third)),
		at(t, g, third, 5, AdminRemoved, targets(third)),
		at(t, g, third, 5, ColorChanged, Event{Color: "#010101"}),
	}
	want := merge(t, g, events...)
	if len(want.Refused) > 0 || want.Standing(third.Public()) != Member || want.IsMember(member.Public()) || want.Color != "#010101" {
		t.Errorf("%v\n%s", want.Refused, look(want))
	}
	deployed(t, want)
	for i := range events {
		got := g
		for j := range events {
			got = merge(t, got, events[(i+j)%len(events)])
		}
		same(t, got, want)
	}
}

// Deployed clients remove several members, and change name and colour, by events
// of one clock: each of them counts.
func TestOneAuthorOneClock(t *testing.T) {
	t.Parallel()
	ks := people(4)
	g := create(t, ks[0], ks[1:]...)
	events := []Event{
		at(t, g, ks[0], 5, MemberRemoved, targets(ks[1])),
		at(t, g, ks[0], 5, MemberRemoved, targets(ks[2])),
		at(t, g, ks[0], 5, NameChanged, Event{Name: "few"}),
		at(t, g, ks[0], 5, ColorChanged, Event{Color: "#222222"}),
	}
	after := merge(t, g, events...)
	if !slices.Equal(after.Members, publics(ks[0], ks[3])) || after.Name != "few" || after.Color != "#222222" || len(after.Events) != len(g.Events)+len(events) {
		t.Error(look(after))
	}
	slices.Reverse(events)
	same(t, merge(t, g, events...), after)
	// Of two names at once one stands, the same for everybody.
	two := []Event{at(t, g, ks[0], 6, NameChanged, Event{Name: "x"}), at(t, g, ks[1], 6, NameChanged, Event{Name: "y"})}
	same(t, merge(t, merge(t, g, two[0]), two[1]), merge(t, merge(t, g, two[1]), two[0]))
}

// Two signatures of one event are one event, and all keep the same one.
func TestOneEventSignedTwice(t *testing.T) {
	t.Parallel()
	ks := people(2)
	g := create(t, ks[0], ks[1])
	e := at(t, g, ks[1], 5, MemberJoined, Event{})
	// Only the author can make a second signature; the fields stand for it.
	variant := e
	variant.Raw = append([]byte{}, e.Raw...)
	variant.Raw[0] ^= 1
	a := replay(g.ID, append(g.all(2), e, variant))
	b := replay(g.ID, append(g.all(2), variant, e))
	if len(a.Events) != 3 || string(a.Events[2].Raw) != string(b.Events[2].Raw) {
		t.Errorf("%d events", len(a.Events))
	}
}

// Limits of a group, at them and past them. What is beyond is left out, the
// rest stays.
func TestGroupLimits(t *testing.T) {
	t.Parallel()
	me := people(1)[0]
	ks := people(MaxReceivedMembers + 1)
	g := create(t, me)
	var events []Event
	for i := 1; i < MaxReceivedMembers; i += MaxEventMembers {
		events = append(events, at(t, g, me, i+1, MembersAdded, targets(ks[i:min(i+MaxEventMembers, MaxReceivedMembers)]...)))
	}
	g = merge(t, g, events...)
	if len(g.Members) != MaxReceivedMembers || len(g.Refused) > 0 {
		t.Fatalf("%d members", len(g.Members))
	}
	again := merge(t, g, at(t, g, me, 1000, MembersAdded, targets(ks[1], ks[2])))
	if len(again.Refused) > 0 {
		t.Errorf("members added again: %v", again.Refused)
	}
	full := merge(t, g, at(t, g, me, 1000, MembersAdded, targets(ks[1], ks[MaxReceivedMembers])))
	if len(full.Refused) != 1 || !errors.Is(full.Refused[0].Err, ErrFull) {
		t.Errorf("%d members, %v", len(full.Members), full.Refused)
	}
	same(t, full, g)
}

// unsigned makes an event that replay takes, without the cost of a signature.
func unsigned(author key.Private, clock int, typ Type, fields Event) Event {
	fields.Author, fields.Type, fields.Clock = author.Public(), typ, uint64(start+clock)
	size := key.SignatureSize + len(fields.Name) + len(fields.Image)
	fields.Raw = fmt.Appendf(make([]byte, size), "%d %d", clock, typ)
	return fields
}

// One author cannot fill a group up, and many together cannot make it too large
// to be sent.
func TestEventCounts(t *testing.T) {
	t.Parallel()
	ks := people(12)
	g := create(t, ks[0], ks[1:]...)
	names := func(author key.Private, n, size int) []Event {
		var list []Event
		for i := range n {
			list = append(list, unsigned(author, 10+i, NameChanged, Event{Name: strings.Repeat("x", size)}))
		}
		return list
	}
	check := func(what string, events []Event, kept int) Group {
		t.Helper()
		after := replay(g.ID, append(g.all(0), events...))
		if n := len(after.Events) - len(g.Events); n != kept {
			t.Errorf("%s: %d of %d hold, want %d", what, n, len(events), kept)
		}
		for _, r := range after.Refused {
			if !errors.Is(r.Err, ErrTooMany) {
				t.Errorf("%s: %v", what, r.Err)
			}
		}
		return after
	}
	check("one author", names(ks[1], MaxAuthorEvents, 1), MaxAuthorEvents)
	after := check("one author, one more", names(ks[1], MaxAuthorEvents+1, 1), MaxAuthorEvents)
	if after = replay(g.ID, append(after.all(0), unsigned(ks[0], 9999, NameChanged, Event{Name: "mine"}))); after.Name != "mine" {
		t.Error("the others cannot act any more")
	}
	size := MaxAuthorBytes / 100
	check("bytes of one author", names(ks[1], 101, size-70), 100)
	var all []Event
	for _, k := range ks[1:] {
		all = append(all, names(k, MaxAuthorEvents/2, 1)...)
	}
	check("all authors", all, MaxEvents-len(g.Events))
	all = nil
	for _, k := range ks[1:] {
		all = append(all, names(k, 100, size-70)...)
	}
	if after := replay(g.ID, append(g.all(0), all...)); len(after.Refused) == 0 {
		t.Error("more bytes than a group can have")
	}

	// Images are not counted, for old ones are not sent.
	var images []Event
	for i := range MaxAuthorEvents + 10 {
		images = append(images, unsigned(ks[1], 10+i, ImageChanged, Event{Image: []byte{byte(i)}}))
	}
	after = replay(g.ID, append(g.all(0), images...))
	if n := len(after.Events) - len(g.Events); n != MaxAuthorImages || len(after.Refused) > 0 || after.Image[0] != images[len(images)-1].Image[0] {
		t.Errorf("%d images kept, %d refused", n, len(after.Refused))
	}
	if n := len(after.Update().Events); n != len(g.Events)+1 {
		t.Errorf("%d events sent", n)
	}
}

// What is left out is kept within limits, the newest of each author.
func TestRefusedLimits(t *testing.T) {
	t.Parallel()
	ks := people(MaxRefused/MaxAuthorRefused + 3)
	g := create(t, ks[0])
	var events []Event
	for i, k := range ks[1:] {
		for j := range MaxAuthorRefused + 1 {
			events = append(events, unsigned(k, 10+i+100*j, MemberJoined, Event{}))
		}
	}
	one := replay(g.ID, append(g.all(0), events[:MaxAuthorRefused+1]...))
	if len(one.Refused) != MaxAuthorRefused || one.Refused[0].Event.Clock != events[1].Clock {
		t.Errorf("%d kept", len(one.Refused))
	}
	all := replay(g.ID, append(g.all(0), events...))
	if len(all.Refused) != MaxRefused {
		t.Errorf("%d kept", len(all.Refused))
	}
	if all.Clock() != events[len(events)-1].Clock {
		t.Errorf("clock %d", all.Clock()-start)
	}
	same(t, all, g)
}
