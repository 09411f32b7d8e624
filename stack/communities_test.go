package stack

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
)

// square is what a community of tests says of itself.
func square(access community.Access) community.Params {
	return community.Params{Name: "The Square", Text: "where all meet", Color: "#112233", Access: access, Intro: "be kind"}
}

// founds makes a community of a person and returns it with its first channel.
func (p *person) founds(access community.Access) (k key.Public, general string) {
	p.t.Helper()
	c := done[community.Community](p)(p.CreateCommunity(square(access)))
	if len(c.Description.Channels) != 1 {
		p.t.Fatalf("%d channels", len(c.Description.Channels))
	}
	return c.Key, community.ChannelID(c.Key, c.Description.Channels[0].UUID)
}

// communityIn is a community as a person has it, zero for none.
func (p *person) communityIn(k key.Public) community.Community {
	c, err := p.Community(k)
	if err != nil {
		return community.Community{}
	}
	return c
}

// follows follows a community until its description is there.
func (p *person) followsIt(k key.Public) {
	p.t.Helper()
	done[community.Community](p)(p.FollowCommunity(k))
	eventually(p.t, 10*time.Minute, "the description comes", func() bool { return !p.communityIn(k).Description.IsZero() })
}

// enters joins a community that lets everybody in.
func (p *person) enters(k key.Public) {
	p.t.Helper()
	p.followsIt(k)
	done[community.Community](p)(p.JoinCommunity(k))
	eventually(p.t, 10*time.Minute, p.name+" is let in", func() bool { return p.communityIn(k).Joined })
}

// quiet waits until nothing is on its way.
func quiet(t *testing.T, people ...*person) {
	t.Helper()
	eventually(t, 10*time.Minute, "all is published", func() bool {
		return !slices.ContainsFunc(people, func(p *person) bool { n, err := p.Pending(); return err != nil || n > 0 })
	})
	pass(2 * time.Minute)
}

// heard waits until everybody has so many messages in a chat.
func heard(t *testing.T, id string, many int, people ...*person) {
	t.Helper()
	eventually(t, time.Hour, "all have it", func() bool {
		return !slices.ContainsFunc(people, func(p *person) bool { return len(p.timeline(id)) != many })
	})
}

// alike fails unless all have the same description and the same timelines.
func alike(t *testing.T, k key.Public, people ...*person) {
	t.Helper()
	want := people[0].communityIn(k)
	for _, p := range people[1:] {
		got := p.communityIn(k)
		if string(got.Wrapped) != string(want.Wrapped) {
			t.Errorf("%s has another description than %s: clock %d, not %d", p.name, people[0].name, got.Description.Clock, want.Description.Clock)
		}
		for _, ch := range want.Description.Channels {
			id := community.ChannelID(k, ch.UUID)
			sameTimeline(t, people[0].name+" and "+p.name+" in "+ch.Name, people[0].timeline(id), p.timeline(id))
		}
	}
}

// A community is made, found by its id alone, read by a stranger and joined by
// two; what members say in its channel comes to all of them.
//
// Proves: AP-036, AP-038, AP-041, AP-042, AP-060, AP-061, AP-063, AP-066, AP-165, AP-177, AP-178, AP-185.
func TestCommunity(t *testing.T) {
	for i, mode := range []SDSMode{SDSNone, SDSStandard, SDSNim} {
		t.Run(string(mode), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { communityBegins(t, mode, uint64(200+i)) }) })
	}
}

func communityBegins(t *testing.T, mode SDSMode, seed uint64) {
	n := newNetwork(seed)
	olga, mia := n.citizen(t, "Olga O", 0, mode), n.citizen(t, "Mia M", 1, mode)
	noah, stan := n.citizen(t, "Noah N", 2, mode), n.citizen(t, "Stan S", 3, mode)
	k, general := olga.founds(community.AutoAccept)
	quiet(t, olga)
	mia.enters(k)
	noah.enters(k)
	stan.followsIt(k)
	quiet(t, olga, mia, noah, stan)
	olga.says(general, "welcome")
	pass(time.Second)
	first := mia.says(general, "hello from Mia")
	heard(t, general, 2, olga, mia, noah, stan)
	done[[]*chat.Message](noah)(noah.Say(general, Content{Text: "hi @" + mia.key.Public().Hex(), ReplyTo: first.ID.String()}))
	all := []*person{olga, mia, noah, stan}
	heard(t, general, 3, all...)
	quiet(t, all...)
	alike(t, k, all...)
	for _, p := range all {
		if got := p.timeline(general); len(got) != 3 {
			t.Errorf("%s has %d messages", p.name, len(got))
		}
		c, err := p.Chat(general)
		if err != nil || !c.Active || c.Name != "general" || c.Kind != message.Community {
			t.Errorf("%s: chat %+v, %v", p.name, c, err)
		}
		d := p.communityIn(k)
		if d.Joined == (p == stan) || len(d.Description.Members) != 3 {
			t.Errorf("%s: joined %v, %d members", p.name, d.Joined, len(d.Description.Members))
		}
		if r := p.refusals(); len(r) != 0 {
			t.Errorf("%s dropped %v", p.name, r)
		}
	}
	if got := mia.counts(general); got != [2]int{2, 1} {
		t.Errorf("Mia has %v unread messages and mentions", got)
	}
	if got := mia.noted(activity.CommunityAccepted, activity.Mention, activity.Reply); len(got) != 2 {
		t.Errorf("Mia was told %q", got)
	}
	refused(stan, "writing by a stranger", func() error { _, err := stan.Say(general, Content{Text: "me too"}); return err })
}

// readMessage reads the application message that is all of a payload.
func readMessage(t testing.TB, raw []byte) *message.Message {
	t.Helper()
	m, err := message.Open(raw, key.Public{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
