package stack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// descriptionsOf are the descriptions of a community that somebody published,
// oldest first, with when.
func (n *network) descriptionsOf(t *testing.T, by *person, k key.Public) (all []community.Description, at []time.Time) {
	t.Helper()
	open := n.keys.Key(topic.CommunityName(k))
	for _, p := range n.publications(by.link) {
		if p.Message.GetContentTopic() != topic.Content(topic.CommunityName(k)) {
			continue
		}
		opened, err := payload.OpenSymmetric(p.Message.GetPayload(), open)
		if err != nil {
			t.Fatal(err)
		}
		m, err := message.Open(opened.Payload, key.Public{})
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION {
			continue
		}
		d, err := community.Parse(m.Author, m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		all, at = append(all, d), append(at, p.at)
	}
	return all, at
}

// A description is published with each change, raw and signed by the
// community's key on the community's topic, and again every day; so who comes
// days later finds it, and what was said meanwhile. The control node may crash
// at any time, and goes on.
//
// Proves: AP-052, AP-059, AP-060.
func TestDescriptionIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(220)
		olga, mia := n.person(t, "Olga O", 0), n.person(t, "Mia M", 1)
		k, general := olga.founds(community.AutoAccept)
		quiet(t, olga)
		if all, _ := n.descriptionsOf(t, olga, k); len(all) != 1 {
			t.Fatalf("%d descriptions", len(all))
		}
		olga.crash()
		mia.enters(k)
		olga.says(general, "on the first day")
		heard(t, general, 1, olga, mia)
		before, _ := n.descriptionsOf(t, olga, k) // since the crash
		if len(before) != 1 {
			t.Errorf("%d descriptions after one has joined", len(before))
		}
		start := time.Now()
		pass(5*24*time.Hour + time.Hour)
		all, at := n.descriptionsOf(t, olga, k)
		if got := len(all) - len(before); got < 5 || got > 6 {
			t.Errorf("%d descriptions in five days", got)
		}
		for i, d := range all[len(before):] {
			if d.Clock != before[0].Clock {
				t.Errorf("description %d has clock %d, not %d", i, d.Clock, before[0].Clock)
			}
			if i > 0 && at[len(before)+i].Sub(at[len(before)+i-1]) > publishInterval+tickInterval {
				t.Errorf("description %d came %v after the one before", i, at[len(before)+i].Sub(at[len(before)+i-1]))
			}
		}
		// Restarted, it does so once it is due, not at each start.
		olga.crash()
		pass(time.Hour)
		if all, _ := n.descriptionsOf(t, olga, k); len(all) != 0 {
			t.Errorf("%d descriptions an hour after the start", len(all))
		}
		olga.halt()
		noah := n.person(t, "Noah N", 2)
		noah.followsIt(k)
		heard(t, general, 1, noah)
		done[community.Community](noah)(noah.JoinCommunity(k))
		pass(time.Hour)
		if noah.communityIn(k).Joined {
			t.Error("Noah is in without anybody who let him")
		}
		olga.start()
		eventually(t, 10*time.Minute, "Noah is let in", func() bool { return noah.communityIn(k).Joined })
		noah.says(general, "late")
		heard(t, general, 2, olga, mia, noah)
		if time.Since(start) < 5*24*time.Hour {
			t.Error("no time has passed")
		}
	})
}

// The key of a community goes to another account, which lets people in from
// then on and has heard all that was changed before. Nobody is let in again
// whose request is old.
func TestCommunityKeyIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(221)
		olga, mia, noah, k, general := squareOf(t, n, community.AutoAccept)
		done[community.Community](olga)(olga.Kick(k, noah.key.Public()))
		for i := range 3 { // several descriptions of which the last counts
			p := square(community.AutoAccept)
			p.Name = []string{"One", "Two", "Three"}[i]
			done[community.Community](olga)(olga.EditCommunity(k, p))
			pass(time.Hour)
		}
		mia.says(general, "hello")
		heard(t, general, 1, olga, mia, noah)
		own := done[key.Private](olga)(olga.ExportCommunityKey(k))
		refused(mia, "exporting a key that one has not", func() error { _, err := mia.ExportCommunityKey(k); return err })
		if err := olga.ForgetCommunityKey(k); err != nil {
			t.Fatal(err)
		}
		refused(olga, "changing without the key", func() error { _, err := olga.EditCommunity(k, square(community.AutoAccept)); return err })
		pass(time.Minute)

		petra := n.citizen(t, "Petra P", 5, SDSStandard)
		done[community.Community](petra)(petra.ImportCommunityKey(own))
		refused(petra, "importing twice", func() error { _, err := petra.ImportCommunityKey(own); return err })
		refused(petra, "changing before the newest is known", func() error { _, err := petra.EditCommunity(k, square(community.AutoAccept)); return err })
		eventually(t, time.Hour, "Petra is in charge", func() bool { return petra.communityIn(k).Joined })
		c := described(t, k, petra, olga, mia, noah)
		if c.Description.Name != "Three" || !c.IsMember(mia.key.Public()) || !c.IsMember(petra.key.Public()) || c.IsMember(noah.key.Public()) {
			t.Errorf("%q with %v", c.Description.Name, c.Description.Members)
		}
		stan := n.citizen(t, "Stan S", 3, SDSStandard)
		stan.enters(k)
		petra.says(general, "I go on")
		heard(t, general, 2, olga, mia, noah, stan, petra)
		done[community.Community](petra)(petra.Kick(k, mia.key.Public()))
		described(t, k, petra, olga, mia, noah, stan)
		alike(t, k, petra, olga, mia, noah, stan)
		shown, err := petra.ShowCommunity(petra.communityIn(k))
		if err != nil || !shown.Control || !shown.Known || shown.Name != "Three" || len(shown.Channels) != 1 || !shown.Channels[0].CanPost {
			t.Errorf("%+v, %v", shown, err)
		}
		members, err := petra.CommunityMembers(k)
		if err != nil || len(members) != 3 {
			t.Errorf("%v, %v", members, err)
		}
	})
}
