package parley

import (
	"slices"
	"testing"

	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/topic"
)

// fullClient opens a full client in memory that knows one peer.
func fullClient(t *testing.T, network Network, peer *node.Node) *Client {
	t.Helper()
	acc := memoryClient(t).Account()
	c, err := Open(t.Context(), Config{Account: acc, Network: network, Mode: Full, Peers: peer.Addrs(), Stores: peer.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Full clients relay the pubsub topics of the communities that they follow,
// control and content, and publish there by relay: their only peer relays and
// has history, and takes nothing by lightpush. Those of other communities they do not relay.
//
// Proves: SP-11, SP-53, SP-54, SP-61, SP-62.
func TestFullClientsRelayTheirCommunities(t *testing.T) {
	t.Parallel()
	network, err := LoadNetwork("local")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := sqlite.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	hub, err := node.New(node.Config{
		Mode: node.Service, Cluster: network.Cluster, Shards: network.AllShards(), Archive: archive, Without: node.Without{Filter: true, Lightpush: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	control, content := topic.Pubsub(network.Cluster, network.Shards.CommunityControl[0]), topic.Pubsub(network.Cluster, network.Shards.CommunityContent[0])
	alice, bobby := fullClient(t, network, hub), fullClient(t, network, hub)
	relays := func(c *Client) bool {
		all := c.node.RelayTopics()
		return slices.Contains(all, control) && slices.Contains(all, content)
	}
	for _, c := range []*Client{alice, bobby} {
		if all := c.node.RelayTopics(); slices.Contains(all, control) || slices.Contains(all, content) {
			t.Errorf("without a community it relays %v", all)
		}
	}
	name := "Town"
	town, err := alice.CreateCommunity(t.Context(), CommunitySettings{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bobby.FollowCommunity(t.Context(), town.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Client{alice, bobby} {
		eventually.True(t, "the community's topics are relayed", func() bool { return relays(c) })
	}
	eventually.True(t, "the peers know that of each other", func() bool {
		return len(hub.MeshPeers(control)) == 2 && len(hub.MeshPeers(content)) == 2
	})
	intro := "Be nice"
	if _, err := alice.EditCommunity(t.Context(), town.ID, CommunitySettings{Intro: &intro}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "control arrives", func() bool {
		c, err := bobby.Community(t.Context(), town.ID)
		return err == nil && c.Known && c.Intro == intro
	})
	if _, err := bobby.JoinCommunity(t.Context(), town.ID); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "bobby is a member", func() bool {
		c, err := bobby.stack.Community(town.Key)
		return err == nil && c.Joined
	})
	c, err := bobby.stack.Community(town.Key)
	if err != nil {
		t.Fatal(err)
	}
	room := community.ChannelID(town.Key, c.Description.Channels[0].UUID)
	for _, from := range []*Client{alice, bobby} {
		sent, err := from.stack.Say(room, stack.Content{Text: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range []*Client{alice, bobby} {
			eventually.True(t, "content arrives", func() bool { _, err := to.stack.Message(sent[0].ID); return err == nil })
		}
	}
	// It went by relay: nobody else was there to take it.
	for _, c := range []*Client{alice, bobby} {
		for _, p := range c.node.Status().Peers {
			if p.ID != hub.Host().ID().String() {
				t.Errorf("a connection to %s besides", p.ID)
			}
		}
	}
	if _, err := bobby.LeaveCommunity(t.Context(), town.ID); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the topics are relayed no more", func() bool {
		all := bobby.node.RelayTopics()
		return !slices.Contains(all, control) && !slices.Contains(all, content)
	})
}
