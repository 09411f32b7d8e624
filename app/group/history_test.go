package group

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/parley-im/parley/account/key"
)

// Everything that changed something is told once, in order, and nothing else.
func TestHistory(t *testing.T) {
	t.Parallel()
	ks := people(5)
	admin, bob, carol, dave := ks[0], ks[1], ks[2], ks[3]
	if list := (Group{}).History(); len(list) != 0 {
		t.Errorf("of nothing: %+v", list)
	}
	g := create(t, admin, bob, carol)
	g = merge(t, g,
		at(t, g, bob, 2, MemberJoined, Event{}),
		at(t, g, bob, 3, MemberJoined, Event{}),               // again
		at(t, g, admin, 4, MembersAdded, targets(dave, bob)),  // one is there
		at(t, g, admin, 5, MembersAdded, targets(dave)),       // all are there
		at(t, g, admin, 6, AdminsAdded, targets(bob, admin)),  // one is one
		at(t, g, admin, 7, AdminsAdded, targets(bob)),         // is one
		at(t, g, bob, 8, NameChanged, Event{Name: "one"}),     //
		at(t, g, bob, 9, NameChanged, Event{Name: "one"}),     // the same
		at(t, g, bob, 10, ColorChanged, Event{Color: "#111"}), // is none
		at(t, g, bob, 11, ColorChanged, Event{Color: "#123456"}),
		at(t, g, bob, 12, ImageChanged, Event{Image: []byte{1}}),
		at(t, g, carol, 13, MemberRemoved, targets(carol)),
		at(t, g, bob, 14, MemberRemoved, targets(dave)),
		at(t, g, bob, 15, MemberRemoved, targets(dave)), // is none
		at(t, g, bob, 16, AdminRemoved, targets(bob)),
		at(t, g, carol, 17, NameChanged, Event{Name: "not hers"})) // void
	who := map[key.Public]string{admin.Public(): "admin", bob.Public(): "bob", carol.Public(): "carol", dave.Public(): "dave"}
	var got []string
	ids := map[[32]byte]bool{}
	for _, e := range g.History() {
		text := fmt.Sprintf("%d %s %s", e.Clock-start, who[e.By], e.Kind)
		for _, k := range e.Members {
			text += " " + who[k]
		}
		if e.Text != "" {
			text += " " + e.Text
		}
		got = append(got, text)
		ids[e.ID] = true
	}
	want := []string{
		"0 admin created " + g.History()[0].Text, "1 admin member_added bob carol", "2 bob member_joined bob", "4 admin member_added dave",
		"6 admin admin_added bob", "8 bob renamed one", "11 bob color_changed #123456", "12 bob image_changed",
		"13 carol member_left carol", "14 bob member_removed dave", "16 bob admin_removed bob",
	}
	if !slices.Equal(got, want) || len(ids) != len(want) {
		t.Errorf("%d ids, history\n%q, want\n%q", len(ids), got, want)
	}
	if again := replay(g.ID, g.all(0)); !reflect.DeepEqual(again.History(), g.History()) {
		t.Error("another history of the same events")
	}
}
