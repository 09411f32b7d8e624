package stack

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/waku/topic"
)

// ownShards gives communities pairs of shards, from 300 on.
func ownShards(all ...*town) Shards {
	s := specified()
	s.Communities = map[string]CommunityShards{}
	for i, w := range all {
		n := uint16(300 + 10*i)
		s.Communities[w.ID()] = CommunityShards{Control: []uint16{n}, Content: []uint16{n + 1}}
	}
	return s
}

// A client listens to the communities that it is in or follows, on the pubsub
// topics of each and to the topics of each; to nothing of others, and no more
// once it has left.
//
// Proves: SP-11, SP-41, SP-42.
func TestCommunitySubscriptions(t *testing.T) {
	t.Parallel()
	self := identity(t, 0).Public()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in, read, other := newTown(t, 210, self, now), newTown(t, 211, self, now), newTown(t, 212, self, now)
	s, _ := stillOn(t, 0, func(n *Network) { n.Shards = ownShards(in, read, other); n.SDS = SDSStandard })
	global := s.wanted()
	if len(global) != 2 {
		t.Errorf("without a community it listens on %v", slices.Sorted(maps.Keys(global)))
	}
	in.settle(s, true)
	read.settle(s, false)
	own := topic.Content(topic.PartitionedName(self))
	topics := func(w *town) map[string][]string {
		control := []string{own, topic.Content(topic.CommunityName(w.Key)), topic.Content(topic.UniversalName(w.Key))}
		content := []string{topic.Content(topic.UniversalName(w.Key))}
		for _, ch := range w.Description.Channels {
			content = append(content, topic.Content(topic.ChannelName(w.Key, ch.UUID)))
		}
		slices.Sort(control)
		slices.Sort(content)
		shards := s.network.Shards.Communities[w.ID()]
		return map[string][]string{pubsub(shards.Control[0])[0]: control, pubsub(shards.Content[0])[0]: content}
	}
	want := maps.Clone(global)
	maps.Copy(want, topics(in))
	maps.Copy(want, topics(read))
	if got := s.wanted(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("it listens to %v, not %v", got, want)
	}
	// History is queried in the same places.
	asked := map[string][]string{}
	for _, p := range s.listened() {
		asked[p.pubsub] = p.topics
	}
	for at, names := range topics(in) {
		if !slices.Equal(asked[at], names) {
			t.Errorf("on %s it asks for %v", at, asked[at])
		}
	}
	// Who controls a community hears requests to it.
	err := s.update(func(t *step) error { t.resubscribe = true; return putCommunityKey(t.Tx, in.by.Key) })
	if err != nil {
		t.Fatal(err)
	}
	requests := topic.Content(topic.ControlName(in.Key))
	for _, at := range append(s.network.RequestTopics(), pubsub(300)...) {
		if !slices.Contains(s.wanted()[at], requests) {
			t.Errorf("no requests on %s", at)
		}
	}
	in.leave(s)
	read.leave(s)
	if got := s.wanted(); !maps.EqualFunc(got, global, slices.Equal) {
		t.Errorf("having left, it listens to %v", got)
	}
	// A request that waits for its answer is reason enough.
	err = s.update(func(t *step) error {
		c := other.Community
		c.Joined, c.Request = false, community.OwnRequest{State: community.Pending, Clock: 1}
		t.resubscribe = true
		return s.putCommunity(t, community.Community{}, c, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.wanted()[pubsub(320)[0]]; !slices.Contains(got, own) {
		t.Errorf("the answer to a request is not heard: %v", got)
	}
}

// What is published in a community is on its own pubsub topics, control apart
// from content, requests on those of requests. Both communities work side by
// side. All of it is published by relay as far as the stack is concerned, and
// nothing of it by lightpush.
//
// Proves: SP-41, SP-42.
func TestCommunitiesOnTheirOwnTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(30)
		var all []*person
		a := newTown(t, 213, identity(t, 0).Public(), time.Now(), identity(t, 1).Public())
		b := newTown(t, 214, identity(t, 1).Public(), time.Now(), identity(t, 0).Public())
		for i, name := range []string{"Alice", "Bobby"} {
			p := &person{t: t, net: n, name: name, key: identity(t, byte(i)), installation: name}
			p.config = func(c *Config) { c.Network.SDS, c.Network.Shards = SDSStandard, ownShards(a, b) }
			p.db = keysKept(t, p.key)
			p.start()
			t.Cleanup(p.halt)
			a.settle(p.Stack, true)
			b.settle(p.Stack, true)
			all = append(all, p)
		}
		pass(time.Second)
		all[0].posts(a, 0, "in a")
		all[0].posts(b, 1, "in b")
		all[0].announceTown(a)
		all[1].announceTown(b)
		eventually(t, time.Minute, "both are heard", func() bool {
			return slices.Equal(all[1].reads(a, 0), []string{"in a"}) && slices.Equal(all[1].reads(b, 1), []string{"in b"})
		})
		pass(time.Minute)
		for _, w := range []*town{a, b} {
			shards := ownShards(a, b).Communities[w.ID()]
			seen := map[string]int{}
			for _, x := range w.traffic(n, nil) {
				want := pubsub(shards.Content[0])[0]
				if x.said != nil && x.said.Type == apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION {
					want = pubsub(shards.Control[0])[0]
				}
				if x.PubsubTopic != want || x.light {
					t.Errorf("on %s, not %s; lightpush %v", x.PubsubTopic, want, x.light)
				}
				seen[x.PubsubTopic]++
			}
			if len(seen) != 2 {
				t.Errorf("on %v", seen)
			}
		}
	})
}

// A request to a control node reaches it sealed with the community's key, and
// the answer to a single member comes in the name of the community.
func TestRequestsReachTheControlNode(t *testing.T) {
	t.Parallel()
	var got []Decoded
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	w := newTown(t, 215, identity(t, 0).Public(), now)
	make := func(n byte) *Stack {
		network := Network{Name: "test", Cluster: 16, Shards: specified(), SDS: SDSStandard}
		s, err := New(Config{
			Identity: identity(t, n), InstallationID: "one", Network: network, DB: keysKept(t, identity(t, n)), Keys: sharedKeys,
			Now: func() time.Time { return now }, OnDecoded: func(d Decoded) { got = append(got, d) },
		})
		w.ok(err)
		return s
	}
	owner, asking := make(0), make(1)
	w.settle(owner, true)
	w.settle(asking, false)
	w.ok(owner.update(func(t *step) error { t.resubscribe = true; return putCommunityKey(t.Tx, w.by.Key) }))
	body, err := community.Request{Community: w.Key, Clock: 1}.Encode()
	w.ok(err)
	w.ok(asking.update(func(t *step) error {
		_, err := asking.send(t, outgoing{typ: apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN, body: body, community: w.Key})
		return err
	}))
	out := drain(t, asking)
	if len(out) != 1 || out[0].PubsubTopic != pubsub(128)[0] || out[0].Message.GetContentTopic() != topic.Content(topic.ControlName(w.Key)) {
		t.Fatalf("%v", out)
	}
	hand(t, owner, out...)
	if len(got) != 1 || got[0].Author != asking.Self() || got[0].Type != apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN {
		t.Fatalf("%+v; %v", got, owner.Counters())
	}
	drain(t, owner)
	w.ok(owner.update(func(t *step) error {
		_, err := owner.send(t, outgoing{
			typ: apppb.ApplicationMetadataMessage_COMMUNITY_USER_KICKED, body: []byte{8, 1}, community: w.Key, by: w.by.Key, to: []key.Public{asking.Self()},
		})
		return err
	}))
	got = nil
	hand(t, asking, drain(t, owner)...)
	if len(got) != 1 || got[0].Author != w.Key || got[0].Type != apppb.ApplicationMetadataMessage_COMMUNITY_USER_KICKED {
		t.Errorf("%+v; %v", got, asking.Counters())
	}
	if asking.Counters()["message: "+errPassedOn.Error()] != 0 {
		t.Errorf("%v", asking.Counters())
	}
	// Nobody but SDS knows what to do without a community.
	err = owner.update(func(t *step) error {
		_, err := owner.send(t, outgoing{typ: apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, body: []byte{8, 1}})
		return err
	})
	if err == nil {
		t.Error("a description without a community is sent")
	}
}

// Where the network's file gives communities shards, they are known by it.
//
// Proves: SP-41, SP-42.
func TestNetworkOfCommunities(t *testing.T) {
	t.Parallel()
	w, other := newTown(t, 216, identity(t, 0).Public(), time.Now()), identity(t, 217).Public()
	n := networkOf(ownShards(w))
	n.Shards.Communities[w.ID()] = CommunityShards{Control: []uint16{300}, Content: []uint16{301, 302}}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	control, contents := n.CommunityTopics(w.Key)
	if !slices.Equal(control, pubsub(300)) || !slices.Equal(contents, pubsub(301, 302)) {
		t.Errorf("%v, %v", control, contents)
	}
	if control, contents := n.CommunityTopics(other); !slices.Equal(control, pubsub(128)) || !slices.Equal(contents, pubsub(256)) {
		t.Errorf("another one: %v, %v", control, contents)
	}
	for _, shard := range []uint16{300, 301, 302} {
		if !slices.Contains(n.AllShards(), shard) || slices.Contains(n.GlobalShards(), shard) {
			t.Errorf("shard %d: all %v, of everybody %v", shard, n.AllShards(), n.GlobalShards())
		}
	}
	for name, bad := range map[string]map[string]CommunityShards{
		"no id":      {"town": {[]uint16{1}, []uint16{2}}},
		"upper case": {"0x0" + w.ID()[3:10] + "ABCDEF" + w.ID()[16:]: {[]uint16{1}, []uint16{2}}},
		"no control": {w.ID(): {nil, []uint16{2}}},
		"no content": {w.ID(): {[]uint16{1}, nil}},
		"no shard":   {w.ID(): {[]uint16{1}, []uint16{1024}}},
	} {
		n.Shards.Communities = bad
		if n.Validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	n = networkOf(specified())
	for mode, ok := range map[SDSMode]bool{"": true, SDSNone: true, SDSStandard: true, SDSNim: true, "mvds": false} {
		if n.SDS = mode; (n.Validate() == nil) != ok {
			t.Errorf("sds %q: %v", mode, n.Validate())
		}
	}
	for _, preset := range presets() {
		want := SDSNone
		if preset.Name == NetworkLocal {
			want = SDSStandard
		}
		if preset.SDS != want {
			t.Errorf("%s: sds %q", preset.Name, preset.SDS)
		}
		c := preset.sdsConfig()
		if (c == nil) != (want == SDSNone) || c != nil && c.Validate() != nil {
			t.Errorf("%s: %+v", preset.Name, c)
		}
	}
	// Every rule of a community has a place there.
	s, _ := stillOn(t, 0, func(n *Network) { n.Shards = ownShards(w) })
	for _, r := range message.Rules() {
		got := s.publishTopics(frame{rule: r, community: w.Key})
		switch {
		case r.Shard == message.ShardCommunityRequest && slices.Equal(got, pubsub(128)):
		case r.Shard == message.ShardCommunityControl && slices.Equal(got, pubsub(300)):
		case r.Shard == message.ShardCommunityContent && slices.Equal(got, pubsub(301)):
		case r.Scope != message.CommunityControl && r.Scope != message.CommunityContent:
		default:
			t.Errorf("%s goes to %v", message.Name(r.Type), got)
		}
	}
}
