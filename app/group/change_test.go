package group

import (
	"reflect"
	"testing"

	"github.com/parley-im/parley/account/key"
)

// What the user is told of one update with many events, and of the same events
// in another order.
func TestChanges(t *testing.T) {
	t.Parallel()
	ks := people(7)
	me, admin, bob, carol, dave, eve, void := ks[0], ks[1], ks[2], ks[3], ks[4], ks[5], ks[6]
	g := create(t, admin, me, bob, carol, eve)
	change := func(kind ChangeKind, member, by key.Private, clock uint64, text string) Change {
		c := Change{Kind: kind, Clock: clock, Text: text}
		if !member.IsZero() {
			c.Member = member.Public()
		}
		if !by.IsZero() {
			c.By = by.Public()
		}
		return c
	}
	none := key.Private{}
	check := func(what string, before, after Group, want ...Change) {
		t.Helper()
		if got := Changes(before, after, me.Public()); !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	check("a new group", Group{}, g, change(YouAdded, me, admin, start+1, ""))
	check("nothing", g, g)
	check("our own on another device", Group{}, create(t, me, bob))

	after := merge(t, g,
		at(t, g, bob, 2, MemberJoined, Event{}),
		at(t, g, admin, 3, AdminsAdded, targets(bob)),
		at(t, g, bob, 4, MembersAdded, targets(dave)),
		at(t, g, bob, 5, NameChanged, Event{Name: "one"}),
		at(t, g, bob, 6, NameChanged, Event{Name: "two"}),
		at(t, g, bob, 7, ColorChanged, Event{Color: "#111111"}),
		at(t, g, bob, 8, ImageChanged, Event{Image: []byte{1}}),
		at(t, g, carol, 9, MemberRemoved, targets(carol)),
		at(t, g, bob, 10, MemberRemoved, targets(eve)),
		at(t, g, admin, 11, AdminRemoved, targets(admin)))
	check("all there is", g, after,
		change(MemberHasJoined, bob, bob, start+2, ""),
		change(AdminWasAdded, bob, admin, start+3, ""),
		change(MemberWasAdded, dave, bob, start+4, ""),
		change(Renamed, none, bob, start+6, "two"),
		change(Recolored, none, bob, start+7, "#111111"),
		change(Repictured, none, bob, start+8, ""),
		change(MemberHasLeft, carol, carol, start+9, ""),
		change(MemberWasRemoved, eve, bob, start+10, ""),
		change(AdminWasRemoved, admin, admin, start+11, ""))

	check("what came late and was undone", after, merge(t, after, at(t, g, admin, 5, NameChanged, Event{Name: "late"})))

	removed := merge(t, after, at(t, g, bob, 20, MemberRemoved, targets(me)))
	check("we are removed", after, removed, change(YouRemoved, me, bob, start+20, ""))
	check("a new group that removed us", Group{}, removed)
	check("we are added again", removed, merge(t, removed, at(t, g, bob, 21, MembersAdded, targets(me))),
		change(YouAdded, me, bob, start+21, ""))
	check("we leave", after, merge(t, after, at(t, g, me, 20, MemberRemoved, targets(me))),
		change(MemberHasLeft, me, me, start+20, ""))

	// Being added turns out void: nobody did that.
	added := merge(t, after, at(t, g, dave, 30, MembersAdded, targets(void)))
	check("one is added", after, added, change(MemberWasAdded, void, dave, start+30, ""))
	check("and never was", added, merge(t, added, at(t, g, bob, 29, MemberRemoved, targets(dave))),
		change(MemberWasRemoved, void, none, 0, ""),
		change(MemberWasRemoved, dave, bob, start+29, ""))
}
