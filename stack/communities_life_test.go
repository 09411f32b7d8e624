package stack

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// squareOf is a community with an owner and two members, and its first channel.
func squareOf(t *testing.T, n *network, access community.Access) (olga, mia, noah *person, k key.Public, general string) {
	t.Helper()
	return squareOn(t, n, access, SDSStandard)
}

func squareOn(t *testing.T, n *network, access community.Access, mode SDSMode) (olga, mia, noah *person, k key.Public, general string) {
	t.Helper()
	olga, mia, noah = n.citizen(t, "Olga O", 0, mode), n.citizen(t, "Mia M", 1, mode), n.citizen(t, "Noah N", 2, mode)
	k, general = olga.founds(community.AutoAccept)
	quiet(t, olga)
	mia.enters(k)
	noah.enters(k)
	if access != community.AutoAccept {
		done[community.Community](olga)(olga.EditCommunity(k, square(access)))
	}
	quiet(t, olga, mia, noah)
	return olga, mia, noah, k, general
}

// described waits until all have the newest description.
func described(t *testing.T, k key.Public, people ...*person) community.Community {
	t.Helper()
	eventually(t, time.Hour, "all have the same description", func() bool {
		first := people[0].communityIn(k)
		return !slices.ContainsFunc(people, func(p *person) bool { return p.communityIn(k).Description.Clock != first.Description.Clock })
	})
	return people[0].communityIn(k)
}

// Everything that is said and done in channels comes to all members alike:
// pictures, replies, mentions, edits, deletions by authors and by the owner,
// reactions and pins.
//
// Proves: AP-039, AP-165.
func TestChannelContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(210)
		olga, mia, noah, k, general := squareOf(t, n, community.AutoAccept)
		all := []*person{olga, mia, noah}
		text := mia.says(general, "first")
		pictures := noah.tells(general, Content{Text: "look", Images: [][]byte{painting(t, 1), painting(t, 2)}})
		heard(t, general, 3, all...)
		reply := done[[]*chat.Message](olga)(olga.Say(general, Content{Text: "@" + noah.key.Public().Hex() + " nice", ReplyTo: pictures[0].ID.String()}))[0]
		heard(t, general, 4, all...)
		done[*chat.Message](mia)(mia.EditMessage(text.ID, Content{Text: "first, edited"}))
		done[reaction.Reaction](noah)(noah.React(text.ID, "👍", false))
		done[reaction.Reaction](olga)(olga.React(pictures[0].ID, "❤️", false))
		done[pin.Pin](olga)(olga.Pin(reply.ID, true))
		refused(mia, "pinning by a member where the owner alone may", func() error { _, err := mia.Pin(text.ID, true); return err })
		refused(mia, "deleting what another wrote", func() error { _, err := mia.DeleteMessage(reply.ID); return err })
		refused(mia, "editing what another wrote", func() error { _, err := mia.EditMessage(reply.ID, Content{Text: "x"}); return err })
		gone := mia.says(general, "to be deleted by the owner")
		own := mia.says(general, "to be deleted by me")
		heard(t, general, 6, all...)
		done[*chat.Message](olga)(olga.DeleteMessage(gone.ID))
		done[*chat.Message](mia)(mia.DeleteMessage(own.ID))
		eventually(t, time.Hour, "all is done everywhere", func() bool {
			return !slices.ContainsFunc(all, func(p *person) bool {
				first, pinned := p.in(text.ID), done[[]pin.Pin](p)(p.Pins(general))
				return first.Edited == nil || len(pinned) != 1 || p.in(gone.ID).Deleted == nil || p.in(own.ID).Deleted == nil ||
					len(reactionsTo(t, p.Stack, text.ID)) != 1 || len(reactionsTo(t, p.Stack, pictures[0].ID)) != 1
			})
		})
		alike(t, k, all...)
		for _, p := range all {
			for i, m := range pictures {
				if len(p.payload(m.ID, "image")) == 0 {
					t.Errorf("%s has no picture %d", p.name, i)
				}
			}
			if by := p.in(gone.ID).Deleted.By; by != olga.key.Public() {
				t.Errorf("%s: deleted by %s", p.name, by)
			}
			if r := p.refusals(); len(r) != 0 {
				t.Errorf("%s dropped %v", p.name, r)
			}
		}
		if got := noah.noted(activity.Mention, activity.Reply); len(got) != 1 {
			t.Errorf("Noah was told %q", got)
		}
		// Once the owner lets all pin, members may.
		p := square(community.AutoAccept)
		p.PinByAll = true
		done[community.Community](olga)(olga.EditCommunity(k, p))
		described(t, k, all...)
		done[pin.Pin](mia)(mia.Pin(text.ID, true))
		eventually(t, time.Hour, "the pin is there", func() bool { return len(done[[]pin.Pin](noah)(noah.Pins(general))) == 2 })
	})
}

// Channels and categories are made, edited, moved and deleted, and all see
// them, as chats too.
//
// Proves: AP-038, AP-060, AP-177.
func TestChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(211)
		olga, mia, noah, k, general := squareOf(t, n, community.AutoAccept)
		all := []*person{olga, mia, noah}
		_, music, err := olga.CreateChannel(k, community.ChannelParams{Name: "music", Text: "what we hear", Color: "#445566", Emoji: "🎵"})
		if err != nil {
			t.Fatal(err)
		}
		_, arts, err := olga.CreateCategory(k, "arts", []string{music})
		if err != nil {
			t.Fatal(err)
		}
		// Said in the new channel at once, before the others know of it.
		id := community.ChannelID(k, music)
		olga.says(id, "la la")
		heard(t, id, 1, all...)
		c := described(t, k, all...)
		if g, ok := c.Description.Category(arts); !ok || g.Name != "arts" {
			t.Errorf("%+v", c.Description.Categories)
		}
		for _, p := range all {
			room, err := p.Chat(id)
			if err != nil || room.Name != "music" || room.Color != "#445566" || !room.Active {
				t.Errorf("%s: %+v, %v", p.name, room, err)
			}
		}
		done[community.Community](olga)(olga.EditChannel(k, music, community.ChannelParams{Name: "songs", Category: arts}))
		done[community.Community](olga)(olga.EditCategory(k, arts, "the arts", []string{music}))
		done[community.Community](olga)(olga.MoveChannel(k, music, "", 0))
		done[community.Community](olga)(olga.MoveCategory(k, arts, 0))
		described(t, k, all...)
		if room, err := mia.Chat(id); err != nil || room.Name != "songs" {
			t.Errorf("%+v, %v", room, err)
		}
		done[community.Community](olga)(olga.DeleteCategory(k, arts))
		done[community.Community](olga)(olga.DeleteChannel(k, music))
		described(t, k, all...)
		for _, p := range all {
			if room, err := p.Chat(id); err != nil || room.Active {
				t.Errorf("%s: the chat of a deleted channel: %+v, %v", p.name, room, err)
			}
			if len(p.timeline(id)) != 1 {
				t.Errorf("%s: what was said in the deleted channel is gone", p.name)
			}
		}
		refused(mia, "writing to a channel that was deleted", func() error { _, err := mia.Say(id, Content{Text: "x"}); return err })
		refused(mia, "a member's making a channel", func() error {
			_, _, err := mia.CreateChannel(k, community.ChannelParams{Name: "mine"})
			return err
		})
		refused(mia, "a member's editing", func() error { _, err := mia.EditCommunity(k, square(community.AutoAccept)); return err })
		edited := square(community.AutoAccept)
		edited.Name, edited.Tags = "The Circle", []string{community.Tags()[0].Name}
		done[community.Community](olga)(olga.EditCommunity(k, edited))
		if c := described(t, k, all...); c.Description.Name != "The Circle" || len(c.Description.Tags) != 1 {
			t.Errorf("%q, tags %v", c.Description.Name, c.Description.Tags)
		}
		mia.says(general, "still here")
		heard(t, general, 1, all...)
		alike(t, k, all...)
		kinds := map[string]bool{}
		for _, e := range eventsOf(t, mia.Stack, EventCommunity) {
			kinds[strings.Split(strings.Split(string(e.Data), `"kind":"`)[1], `"`)[0]] = true
		}
		for _, kind := range []community.ChangeKind{
			view.CommunityFollowed, community.Known, community.YouJoined, community.MemberJoined, community.Edited,
			community.ChannelCreated, community.ChannelChanged, community.ChannelDeleted, community.CategoriesChanged,
		} {
			if !kinds[string(kind)] {
				t.Errorf("no event tells of %s: %v", kind, kinds)
			}
		}
	})
}

// Where the owner decides, requests wait: one is accepted, one turned down, one
// withdrawn. What is revealed is seen by the control node alone.
//
// Proves: AP-063, AP-064, AP-065, AP-066, AP-178, AP-188, AP-189.
func TestJoinByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(212)
		olga, mia, noah, k, general := squareOn(t, n, community.ManualAccept, SDSNone)
		stan, tara := n.citizen(t, "Stan S", 3, SDSNone), n.citizen(t, "Tara T", 4, SDSNone)
		stan.followsIt(k)
		tara.followsIt(k)
		before := len(n.publications(stan.link))
		done[community.Community](stan)(stan.JoinCommunity(k))
		done[community.Community](tara)(tara.JoinCommunity(k))
		quiet(t, olga, stan, tara)
		if len(olga.noted(activity.CommunityRequest)) != 2 || stan.communityIn(k).Joined {
			t.Fatalf("Olga was told %q, Stan is in: %v", olga.entries(), stan.communityIn(k).Joined)
		}
		// The request is sealed to the community's key, with an account that was
		// signed for, and goes to its topic.
		own := done[key.Private](olga)(olga.ExportCommunityKey(k))
		var asked community.Request
		for _, p := range n.publications(stan.link)[before:] {
			if p.Message.GetContentTopic() != topic.Content(topic.ControlName(k)) {
				continue
			}
			opened, err := payload.OpenAsymmetric(p.Message.GetPayload(), own)
			if err != nil {
				t.Fatal(err)
			}
			m := readMessage(t, opened.Payload)
			if m.Type != apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN {
				continue
			}
			if asked, err = community.ParseRequest(m.Author, m.Payload); err != nil {
				t.Fatal(err)
			}
		}
		if len(asked.Accounts) != 1 || asked.Accounts[0].Check(community.Proof(stan.key.Public(), k)) != nil {
			t.Errorf("revealed %+v", asked.Accounts)
		}
		for _, p := range []*person{mia, noah} {
			if got := done[[]community.Request](p)(p.CommunityRequests(k)); len(got) != 0 {
				t.Errorf("%s has requests %v", p.name, got)
			}
		}
		refused(mia, "accepting by a member", func() error { _, err := mia.AcceptMember(k, stan.key.Public()); return err })
		refused(olga, "accepting who has not asked", func() error { _, err := olga.AcceptMember(k, identity(t, 9).Public()); return err })

		done[community.Request](olga)(olga.AcceptMember(k, stan.key.Public()))
		done[community.Request](olga)(olga.RejectMember(k, tara.key.Public()))
		refused(olga, "deciding twice", func() error { _, err := olga.RejectMember(k, stan.key.Public()); return err })
		eventually(t, 10*time.Minute, "Stan is in", func() bool { return stan.communityIn(k).Joined })
		pass(time.Hour)
		if c := tara.communityIn(k); c.Joined || c.Request.State != community.Pending {
			t.Errorf("Tara: joined %v, request %s", c.Joined, c.Request.State)
		}
		if got := stan.noted(activity.CommunityAccepted); len(got) != 1 {
			t.Errorf("Stan was told %q", got)
		}
		states := olga.noted(activity.CommunityRequest)
		slices.Sort(states)
		if want := []string{"community_request accepted Stan S", "community_request dismissed Tara T"}; !slices.Equal(states, want) {
			t.Errorf("Olga's entries are %q", states)
		}
		stan.says(general, "I am in")
		heard(t, general, 1, olga, mia, noah, stan)

		// Addresses are shared anew.
		clock := olga.communityIn(k).Description.Clock
		if err := stan.ShareAddresses(k); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Minute, "the edit is there", func() bool { return olga.communityIn(k).Description.Clock > clock })
		described(t, k, olga, stan)
		err := olga.db.View(func(tx *storage.Tx) error {
			r, _, err := requestOf(tx, stan.key.Public(), k)
			if len(r.Accounts) != 1 || r.Accounts[0].Check(community.EditProof(stan.key.Public(), k)) != nil {
				t.Errorf("shared %+v", r.Accounts)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}

		// A request that nobody answers expires; the next is withdrawn.
		for _, p := range []*person{mia, noah, stan} {
			p.halt()
		}
		pass(8 * 24 * time.Hour)
		if c := tara.communityIn(k); c.Request.State != community.NotAsked {
			t.Errorf("Tara's request is %s", c.Request.State)
		}
		done[community.Community](tara)(tara.JoinCommunity(k))
		eventually(t, 10*time.Minute, "she asks again", func() bool { return pendingTo(olga, k) == 1 })
		done[community.Community](tara)(tara.CancelJoin(k))
		eventually(t, 10*time.Minute, "she withdraws it", func() bool { return pendingTo(olga, k) == 0 })
		refused(tara, "withdrawing twice", func() error { _, err := tara.CancelJoin(k); return err })
		refused(olga, "accepting what was withdrawn", func() error { _, err := olga.AcceptMember(k, tara.key.Public()); return err })
		if olga.communityIn(k).IsMember(tara.key.Public()) {
			t.Error("Tara is a member")
		}
	})
}

// pendingTo counts the requests that wait for somebody.
func pendingTo(p *person, k key.Public) int {
	p.t.Helper()
	shown, err := p.ShowCommunity(p.communityIn(k))
	if err != nil {
		p.t.Fatal(err)
	}
	return shown.Pending
}

// A member leaves, one is kicked and comes back, one is banned with all they
// wrote, and may ask again when the ban ends.
//
// Proves: AP-037, AP-068, AP-070, AP-071, AP-186.
func TestLeaveKickBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(213)
		olga, mia, noah, k, general := squareOf(t, n, community.AutoAccept)
		stan := n.citizen(t, "Stan S", 3, SDSStandard)
		stan.enters(k)
		all := []*person{olga, mia, noah, stan}
		mia.says(general, "from Mia")
		bad := noah.says(general, "spam")
		noah.tells(general, Content{Images: [][]byte{painting(t, 1), painting(t, 2)}})
		heard(t, general, 4, all...)

		done[community.Community](stan)(stan.LeaveCommunity(k))
		refused(olga, "the owner's leaving", func() error { _, err := olga.LeaveCommunity(k); return err })
		eventually(t, 10*time.Minute, "Stan has left", func() bool { return !olga.communityIn(k).IsMember(stan.key.Public()) })
		described(t, k, olga, mia, noah)
		olga.says(general, "without Stan")
		heard(t, general, 5, olga, mia, noah)
		if got := stan.timeline(general); len(got) != 4 {
			t.Errorf("Stan has %d messages", len(got))
		}
		if room, err := stan.Chat(general); err != nil || room.Active {
			t.Errorf("%+v, %v", room, err)
		}

		done[community.Community](olga)(olga.Kick(k, mia.key.Public()))
		eventually(t, 10*time.Minute, "Mia knows", func() bool { return !mia.communityIn(k).Joined })
		refused(mia, "writing when one was kicked", func() error { _, err := mia.Say(general, Content{Text: "x"}); return err })
		if got := mia.noted(activity.CommunityKicked); len(got) != 1 || !mia.communityIn(k).Spectated {
			t.Errorf("Mia was told %q", got)
		}
		pass(time.Minute)
		done[community.Community](mia)(mia.JoinCommunity(k))
		eventually(t, 10*time.Minute, "Mia is in again", func() bool { return mia.communityIn(k).Joined })
		described(t, k, olga, mia, noah)

		done[community.Community](olga)(olga.Ban(k, noah.key.Public(), true))
		refused(olga, "banning oneself", func() error { _, err := olga.Ban(k, olga.key.Public(), false); return err })
		eventually(t, 10*time.Minute, "Noah knows", func() bool { return !noah.communityIn(k).Joined })
		described(t, k, olga, mia, noah)
		for _, p := range []*person{olga, mia, noah} {
			for _, m := range p.timeline(general) {
				if theirs := m.From == noah.key.Public().String(); theirs != (m.Deleted != "") {
					t.Errorf("%s: %q is deleted: %q", p.name, m.Text, m.Deleted)
				}
			}
			if d := p.in(bad.ID).Deleted; d == nil || d.By != k {
				t.Errorf("%s: %+v", p.name, d)
			}
		}
		refused(noah, "asking when one is banned", func() error { _, err := noah.JoinCommunity(k); return err })
		done[community.Community](olga)(olga.Unban(k, noah.key.Public()))
		refused(olga, "ending a ban that is none", func() error { _, err := olga.Unban(k, noah.key.Public()); return err })
		described(t, k, olga, mia, noah)
		done[community.Community](noah)(noah.JoinCommunity(k))
		eventually(t, 10*time.Minute, "Noah is in again", func() bool { return noah.communityIn(k).Joined })
		described(t, k, olga, mia, noah)
		last := noah.says(general, "sorry")
		eventually(t, time.Hour, "it is heard", func() bool {
			_, err := mia.Message(last.ID)
			return err == nil
		})
		if m := mia.in(last.ID); m.Deleted != nil {
			t.Error("what was said after the ban is deleted")
		}
	})
}

// Following ends, and begins again where it ended.
func TestUnfollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(214)
		olga, mia, noah, k, general := squareOf(t, n, community.AutoAccept)
		stan := n.citizen(t, "Stan S", 3, SDSStandard)
		stan.followsIt(k)
		olga.says(general, "one")
		heard(t, general, 1, olga, mia, noah, stan)
		if err := mia.UnfollowCommunity(k); err == nil {
			t.Error("a member has ceased to follow")
		}
		if err := stan.UnfollowCommunity(k); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		olga.says(general, "two")
		heard(t, general, 2, olga, mia, noah)
		if got := stan.timeline(general); len(got) != 1 {
			t.Errorf("Stan has %d messages", len(got))
		}
		if all := done[[]community.Community](stan)(stan.Communities()); len(all) != 0 {
			t.Errorf("Stan follows %d communities", len(all))
		}
		done[community.Community](stan)(stan.FollowCommunity(k))
		heard(t, general, 2, stan)
		alike(t, k, olga, mia, noah, stan)
	})
}

// A member who was away for days, in which channels came and went and people
// did, has in the end what the others have, out of stores alone.
func TestMemberAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(215)
		olga, mia, noah, k, general := squareOf(t, n, community.AutoAccept)
		mia.says(general, "see you")
		heard(t, general, 1, olga, mia, noah)
		mia.halt()
		stan := n.citizen(t, "Stan S", 3, SDSStandard)
		stan.enters(k)
		_, trips, err := olga.CreateChannel(k, community.ChannelParams{Name: "trips", Text: "where to"})
		if err != nil {
			t.Fatal(err)
		}
		described(t, k, olga, noah, stan)
		id := community.ChannelID(k, trips)
		for range 3 {
			stan.says(id, "to the sea")
			pass(24 * time.Hour)
			noah.says(general, "day by day")
			olga.says(id, "to the hills")
		}
		heard(t, id, 6, olga, noah, stan)
		heard(t, general, 4, olga, noah, stan)
		for _, p := range []*person{olga, noah, stan} {
			p.halt()
		}
		mia.start()
		heard(t, id, 6, mia)
		heard(t, general, 4, mia)
		alike(t, k, olga, mia, noah, stan)
	})
}
