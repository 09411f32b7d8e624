package stack

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
)

// compareTimelines checks that what was said in each chat, with all that was
// done to it, ends in the same timeline for all who were there, and each group
// in the same state.
func compareTimelines(t *testing.T, players []*player) {
	said, changed := 0, 0
	for i, a := range players {
		for _, b := range players[:i] {
			mine := timelineOf(t, a.Stack, chat.OneToOneID(b.recordedParty.key.Public()))
			theirs := timelineOf(t, b.Stack, chat.OneToOneID(a.recordedParty.key.Public()))
			sameTimeline(t, a.Name+" and "+b.Name, mine, theirs)
			said += len(mine)
			changed += changes(mine)
		}
	}
	groups := map[string][]*player{}
	for _, pl := range players {
		all, err := pl.Groups()
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range all {
			groups[g.ID] = append(groups[g.ID], pl)
		}
	}
	for id, in := range groups {
		first := groupState(t, in[0], id)
		for _, pl := range in[1:] {
			if got := groupState(t, pl, id); !bytes.Equal(got, first) {
				t.Errorf("group %s: %s and %s have\n%s\n%s", id, in[0].Name, pl.Name, first, got)
			}
			from := max(addedAt(t, pl, id, pl.recordedParty.key.Public()), addedAt(t, pl, id, in[0].recordedParty.key.Public()))
			mine, theirs := sayings(t, in[0], id, from), sayings(t, pl, id, from)
			sameTimeline(t, in[0].Name+" and "+pl.Name+" in "+id, mine, theirs)
			if len(mine) == 0 {
				t.Errorf("%s and %s heard nothing together in %s", in[0].Name, pl.Name, id)
			}
		}
		all := timelineOf(t, in[0].Stack, id)
		said += len(all)
		changed += changes(all)
	}
	t.Logf("%d groups, %d messages compared, %d of them edited, deleted or reacted to", len(groups), said, changed)
	if said == 0 || changed == 0 || len(groups) == 0 {
		t.Error("nothing was said, or nothing changed")
	}
}

// changes counts the messages to which something was done.
func changes(all []told) (n int) {
	for _, m := range all {
		if m.Edited != "" || m.Deleted != "" || len(m.Reactions) > 0 {
			n++
		}
	}
	return n
}

// sayings is what a player sees in a group from a clock on: who was added later
// does not hear what was said before.
func sayings(t *testing.T, pl *player, id string, from uint64) []told {
	t.Helper()
	return slices.DeleteFunc(timelineOf(t, pl.Stack, id), func(m told) bool { return m.Clock < from })
}

// addedAt is the clock by which somebody was added to a group.
func addedAt(t *testing.T, pl *player, id string, who key.Public) uint64 {
	t.Helper()
	g, err := pl.Group(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range g.Events {
		if e.Type == group.MembersAdded && slices.Contains(e.Members, who) {
			return e.Clock
		}
	}
	return 0
}

// groupState is a group as a player has it.
func groupState(t *testing.T, pl *player, id string) []byte {
	t.Helper()
	g, err := pl.Group(id)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(struct {
		Members, Admins, Joined any
		Name, Color             string
		Group                   group.Group
	}{g.Members, g.Admins, g.Joined, g.Name, g.Color, g})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
