package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// Three people talk in a group: two of them are strangers, who were added by a
// contact and join by themselves. Every message goes to every other member in a
// message of its own, over the session of the two.
//
// Proves: AP-003.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(100)
		alice, bobby, carol, id := circle(t, n)
		settle(t, alice, bobby, carol)
		before := len(n.publications(bobby.link))
		bobby.says(id, "to you both")
		settle(t, alice, bobby, carol)
		to := map[string]int{}
		for _, p := range n.publications(bobby.link)[before:] {
			if _, name := n.open(t, p.Envelope, alice, bobby, carol); name != topic.ContactCodeName(bobby.key.Public()) {
				to[name]++
			}
		}
		for _, p := range []*person{alice, carol} {
			if to[bobby.negotiated(p)] == 0 {
				t.Errorf("nothing went to %s over a session: %v", p.name, to)
			}
			if len(bobby.installations(p.key.Public())) != 1 {
				t.Errorf("%s's device is not known", p.name)
			}
		}
		if bobby.negotiated(alice) == bobby.negotiated(carol) {
			t.Error("one session for both")
		}
		alice.says(id, "and from me")
		carol.says(id, "and me")
		settle(t, alice, bobby, carol)
		for _, p := range []*person{alice, bobby, carol} {
			if all := p.timeline(id); len(all) != 3 {
				t.Errorf("%s has %d messages", p.name, len(all))
			}
			c, err := p.Chat(id)
			if err != nil || !c.Active || c.Name != "the circle" || c.Color != "#112233" {
				t.Errorf("%s: %+v, %v", p.name, c, err)
			}
			if n := len(p.refusals()); n != 0 {
				t.Errorf("%s dropped %v", p.name, p.refusals())
			}
		}
		agree(t, id, alice, bobby, carol)
		if got := bobby.noted(activity.GroupAddition, activity.GroupInvitation); !slices.Equal(got, []string{"group_addition unread the circle"}) {
			t.Errorf("Bobby was told %q", got)
		}
	})
}

// Everything that admins and members do to a group, and what they may not.
func TestGroupLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(101)
		alice, bobby, carol, id := circle(t, n)
		dave := n.person(t, "Dave D", 3)
		befriend(t, alice, dave)
		everybody := []*person{alice, bobby, carol}

		refused(bobby, "renaming by a member", func() error { _, err := bobby.RenameGroup(id, "mine"); return err })
		refused(alice, "adding somebody who is no contact", func() error { _, err := alice.AddMembers(id, []key.Public{identity(t, 9).Public()}); return err })
		refused(alice, "removing a stranger", func() error { _, err := alice.RemoveMember(id, identity(t, 9).Public()); return err })
		refused(alice, "joining twice", func() error { _, err := alice.JoinGroup(id); return err })
		refused(alice, "a group that is not there", func() error { _, err := alice.LeaveGroup(id + "x"); return err })

		done[group.Group](alice)(alice.RenameGroup(id, "the ring"))
		done[group.Group](alice)(alice.SetGroupColor(id, "#445566"))
		done[group.Group](alice)(alice.SetGroupImage(id, painting(t, 1)))
		done[group.Group](alice)(alice.AddAdmins(id, keysOf(bobby)))
		settle(t, everybody...)
		agree(t, id, everybody...)
		for _, p := range everybody {
			g := p.groupIn(id)
			if g.Name != "the ring" || g.Color != "#445566" || len(g.Image) == 0 || !g.IsAdmin(bobby.key.Public()) {
				t.Errorf("%s: %q %s, image of %d bytes, admins %v", p.name, g.Name, g.Color, len(g.Image), g.Admins)
			}
			if c, err := p.Chat(id); err != nil || c.Name != "the ring" || c.Color != "#445566" {
				t.Errorf("%s: chat %q %s, %v", p.name, c.Name, c.Color, err)
			}
		}

		// Somebody who comes later sees the group as it is, and what is said
		// from then on.
		alice.says(id, "before Dave")
		settle(t, everybody...)
		done[group.Group](alice)(alice.AddMembers(id, keysOf(dave)))
		everybody = append(everybody, dave)
		joined(t, id, everybody...)
		carol.says(id, "hello Dave")
		pass(time.Second)
		dave.says(id, "hello all")
		settle(t, everybody...)
		agree(t, id, alice, bobby, carol)
		if got := dave.timeline(id); len(got) != 2 || got[0].Text != "hello Dave" {
			t.Errorf("Dave has %+v", got)
		}

		// A new admin removes somebody, who hears of it and of nothing after.
		done[group.Group](bobby)(bobby.RemoveMember(id, carol.key.Public()))
		settle(t, everybody...)
		agree(t, id, alice, bobby)
		if g := carol.groupIn(id); g.Standing(carol.key.Public()) != group.Removed {
			t.Errorf("Carol is %s", g.Standing(carol.key.Public()))
		}
		refused(carol, "writing to a group one was removed from", func() error { _, err := carol.Say(id, Content{Text: "x"}); return err })
		bobby.says(id, "without Carol")
		settle(t, everybody...)
		if got := carol.timeline(id); got[len(got)-1].Text == "without Carol" {
			t.Error("Carol hears what is said without her")
		}

		// Stepping down, leaving.
		done[group.Group](bobby)(bobby.StepDown(id))
		settle(t, everybody...)
		done[group.Group](dave)(dave.LeaveGroup(id))
		settle(t, everybody...)
		agree(t, id, alice, bobby)
		if g := alice.groupIn(id); g.Standing(dave.key.Public()) != group.Left || g.IsAdmin(bobby.key.Public()) {
			t.Errorf("Dave is %s, admins %v", g.Standing(dave.key.Public()), g.Admins)
		}
		refused(alice, "the last admin's stepping down", func() error { _, err := alice.StepDown(id); return err })
		done[group.Group](bobby)(bobby.LeaveGroup(id))
		settle(t, everybody...)
		// Alone one talks to oneself, and nothing waits for anybody.
		if m := alice.says(id, "anybody?"); m.State != chat.Sent {
			t.Errorf("%s", m.State)
		}
		if n, err := alice.Pending(); err != nil || n != 0 {
			t.Errorf("%d envelopes wait, %v", n, err)
		}
		kinds := map[string]int{}
		for _, e := range eventsOf(t, alice.Stack, EventGroup) {
			kinds[strings.Split(strings.Split(string(e.Data), `"kind":"`)[1], `"`)[0]]++
		}
		for _, kind := range []group.ChangeKind{group.MemberWasAdded, group.MemberHasJoined, group.MemberHasLeft, group.MemberWasRemoved, group.AdminWasAdded, group.AdminWasRemoved, group.Renamed, group.Recolored, group.Repictured} {
			if kinds[string(kind)] == 0 {
				t.Errorf("no event tells of %s: %v", kind, kinds)
			}
		}
	})
}

// Who is added by somebody they have not added themselves is asked first, and
// answers by joining or leaving.
func TestInvitation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(102)
		alice, bobby, carol := n.person(t, "Alice", 0), n.person(t, "Bobby", 1), n.person(t, "Carol", 2)
		befriend(t, alice, bobby)
		befriend(t, alice, carol)
		// Both end it where Alice does not hear of it in time.
		settle(t, alice, bobby, carol)
		alice.halt()
		bobby.must(bobby.RemoveContact(alice.key.Public()))
		carol.must(carol.RemoveContact(alice.key.Public()))
		pass(time.Minute)
		n.mu.Lock()
		n.history = nil
		n.mu.Unlock()
		bobby.mvdsForget(alice)
		carol.mvdsForget(alice)
		alice.start()
		g, err := alice.CreateGroup("strangers", "", keysOf(bobby, carol))
		if err != nil {
			t.Fatal(err)
		}
		alice.says(g.ID, "hello @"+bobby.key.Public().Hex())
		pass(10 * time.Minute)
		for _, p := range []*person{bobby, carol} {
			c, err := p.Chat(g.ID)
			if err != nil || c.Active || p.groupIn(g.ID).HasJoined(p.key.Public()) {
				t.Fatalf("%s: %+v, %v", p.name, c, err)
			}
			if got := p.noted(activity.GroupInvitation, activity.GroupAddition, activity.Mention); !slices.Equal(got, []string{"group_invitation unread strangers"}) {
				t.Errorf("%s was told %q", p.name, got)
			}
		}
		done[group.Group](bobby)(bobby.JoinGroup(g.ID))
		done[group.Group](carol)(carol.LeaveGroup(g.ID))
		settle(t, alice, bobby, carol)
		agree(t, g.ID, alice, bobby)
		if got := bobby.noted(activity.GroupInvitation); !slices.Equal(got, []string{"group_invitation accepted strangers"}) {
			t.Errorf("Bobby's invitation is %q", got)
		}
		if got := carol.noted(activity.GroupInvitation); !slices.Equal(got, []string{"group_invitation dismissed strangers"}) {
			t.Errorf("Carol's invitation is %q", got)
		}
		if c, err := bobby.Chat(g.ID); err != nil || !c.Active {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := carol.Chat(g.ID); err != nil || c.Active {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// mvdsForget drops what waits for an acknowledgement of somebody.
func (p *person) mvdsForget(other *person) {
	p.t.Helper()
	err := p.update(func(t *step) error { return p.mvds.ForgetPeer(t.Core("mvds"), other.key.Public()) })
	if err == nil {
		err = p.db.Update(func(tx *storage.Tx) error {
			var refs []string
			err := tx.Scan("ref/", func(k string, _ []byte) error { refs = append(refs, k); return nil })
			for _, k := range refs {
				err = errors.Join(err, tx.Delete(k))
			}
			return err
		})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// A member who was away for a week, in which the group changed again and again
// and others talked, comes to the same group and the same timeline, from what a
// store has and from nobody else.
func TestWeekAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(103)
		alice, bobby, carol, id := circle(t, n)
		dave := n.person(t, "Dave D", 3)
		befriend(t, alice, dave)
		bobby.says(id, "see you next week")
		settle(t, alice, bobby, carol)
		carol.halt()
		for day := range 7 {
			first := alice.says(id, fmt.Sprint("day ", day))
			switch day {
			case 0:
				done[group.Group](alice)(alice.RenameGroup(id, "without Carol"))
			case 1:
				done[group.Group](alice)(alice.AddMembers(id, keysOf(dave)))
				joined(t, id, alice, bobby, dave)
			case 2:
				done[group.Group](alice)(alice.AddAdmins(id, keysOf(dave)))
				pass(time.Minute)
			case 3:
				done[group.Group](dave)(dave.RenameGroup(id, "Dave's"))
			case 4:
				done[group.Group](dave)(dave.StepDown(id))
			case 5:
				done[*chat.Message](alice)(alice.EditMessage(first.ID, Content{Text: "edited"}))
			case 6:
				done[group.Group](alice)(alice.RemoveMember(id, dave.key.Public()))
			}
			pass(12 * time.Hour)
			bobby.says(id, fmt.Sprint("night ", day))
			pass(12 * time.Hour)
		}
		// Nobody but the store can tell.
		alice.halt()
		bobby.halt()
		dave.halt()
		carol.start()
		eventually(t, time.Hour, "Carol has caught up", func() bool {
			g := carol.groupIn(id)
			return !g.IsMember(dave.key.Public()) && len(carol.timeline(id)) == 15
		})
		agree(t, id, alice, bobby, carol)
		alice.start()
		bobby.start()
		carol.says(id, "back")
		settle(t, alice, bobby, carol)
		agree(t, id, alice, bobby, carol)
		if got := carol.noted(activity.GroupInvitation, activity.GroupAddition); len(got) != 1 {
			t.Errorf("Carol was told %q", got)
		}
	})
}

// Somebody asks to be let into a group, and is turned down or added.
func TestGroupRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(104)
		alice, bobby, carol, id := circle(t, n)
		dave, erin := n.person(t, "Dave D", 3), n.person(t, "Erin E", 4)
		befriend(t, alice, dave)
		befriend(t, alice, erin)
		for _, p := range []*person{dave, erin} {
			done[group.Invitation](p)(p.RequestGroup(id, alice.key.Public(), "let me in, says "+p.name))
		}
		settle(t, alice, dave, erin)
		if got := alice.noted(activity.GroupRequest); len(got) != 2 {
			t.Fatalf("Alice was told %q", got)
		}
		if _, err := bobby.RejectGroupRequest(id, dave.key.Public()); fault.KindOf(err) != fault.NotFound {
			t.Errorf("rejecting what was not asked: %v", err)
		}
		done[group.Invitation](alice)(alice.RejectGroupRequest(id, dave.key.Public()))
		done[group.Group](alice)(alice.AddMembers(id, keysOf(erin)))
		settle(t, alice, bobby, carol, dave, erin)
		joined(t, id, alice, bobby, carol, erin)
		got := alice.noted(activity.GroupRequest)
		slices.Sort(got)
		if want := []string{"group_request accepted let me in, says Erin E", "group_request dismissed let me in, says Dave D"}; !slices.Equal(got, want) {
			t.Errorf("Alice's entries are %q", got)
		}
		if dave.groupIn(id).ID != "" {
			t.Error("Dave has the group")
		}
		agree(t, id, alice, bobby, carol, erin)
	})
}
