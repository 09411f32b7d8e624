package rest

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/topic"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	a, b := pair(t, Config{Admin: true})
	addr := func(n *node.Node) string { return n.Addrs()[0] }
	lone, _ := startNode(t, node.Full)
	const peers = "/admin/v1/peers"
	a.expect("POST", peers, list(addr(lone)), 200, "OK")
	eventually.True(t, "two connected peers with their protocols", func() bool {
		return len(get[[]Peer](a, peers+"/connected")) == 2 && len(get[[]Peer](a, peers+"/service")) == 2
	})
	// Dialled by the address it was given; the other came from a port that it
	// does not listen on.
	var found *Peer
	eventually.True(t, "the new peer and its shard", func() bool {
		for _, p := range get[[]Peer](a, peers+"/connected/on/32") {
			if p.Multiaddr == addr(lone) {
				found = &p
			}
		}
		return found != nil
	})
	if found.Connected != "Connected" || found.Origin != "UnknownOrigin" || !slices.Contains(found.Protocols, "/vac/waku/relay/2.0.0") || found.Agent == "" {
		t.Errorf("%+v", found)
	}
	if got := get[[]Peer](a, peers+"/connected/on/33"); len(got) != 0 {
		t.Errorf("on another shard: %+v", got)
	}
	for _, p := range get[[]Peer](a, peers+"/service") {
		if slices.Contains(p.Protocols, "/ipfs/ping/1.0.0") || !slices.Contains(p.Protocols, "/vac/waku/filter-subscribe/2.0.0-beta1") {
			t.Errorf("service protocols: %v", p.Protocols)
		}
	}
	one := get[Peer](a, "/admin/v1/peer/"+b.node.Host().ID().String())
	if !strings.HasSuffix(one.Multiaddr, "/p2p/"+b.node.Host().ID().String()) {
		t.Errorf("%+v", one)
	}
	if static := get[[]Peer](b, peers+"/connected"); len(static) != 1 || static[0].Origin != "Static" {
		t.Errorf("%+v", static)
	}
	stats := get[PeerStats](a, peers+"/stats")
	if stats["Sum"]["Total peers"] != 2 || stats["By Connectedness"]["Connected"] != 2 || stats["Relay peers"]["32"] < 1 ||
		stats["Relay peers"]["Total relay peers"] != stats["Relay peers"]["32"] || stats["By Protocols"]["/vac/waku/relay/2.0.0"] != 2 ||
		stats["By Protocols"]["/vac/waku/store/2.0.0-beta4"] != 0 {
		t.Errorf("%v", stats)
	}
	// A peer that is gone is known, not connected.
	if err := a.node.Disconnect(lone.Host().ID()); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "one known peer that is not connected", func() bool {
		all, connected := get[[]Peer](a, peers), get[[]Peer](a, peers+"/connected")
		return len(all) == 2 && len(connected) == 1 && slices.ContainsFunc(all, func(p Peer) bool { return p.Connected == "NotConnected" })
	})
	a.expect("POST", peers, `{"multiaddr":"`+addr(lone)+`","shards":[32],"protocols":[]}`, 200, "OK") // as go-waku has it
	a.expect("POST", peers, "[]", 200, "OK")
	self := addr(a.node)
	for body, want := range map[string]string{
		"":                          "Failed to decode request: Missing content body",
		"7":                         "Failed to decode request: ",
		`{"multiaddr":7}`:           "Failed to decode request: ",
		list("x"):                   "Couldn't parse remote peer info: ",
		list(addr(lone), self):      "Failed to connect to peer at index: 1 - " + self,
		list(make([]string, 65)...): "Failed to decode request: 65 peers, at most 64",
	} {
		if status, got := a.call("POST", peers, body); status != 400 || !strings.HasPrefix(got, want) {
			t.Errorf("%.80s: %d %q, want %q", body, status, got, want)
		}
	}
	if status, got := a.call("GET", "/admin/v1/peer/x", ""); status != 400 || !strings.HasPrefix(got, "Invalid argument:") {
		t.Errorf("%d %q", status, got)
	}
	const unknown = "16Uiu2HAmVFXtAfSj4EiR7mL2KvL4EE2wztuQgUSBoj2Jx2KeXFLN"
	a.expect("GET", "/admin/v1/peer/"+unknown, "", 404, "Peer with ID "+unknown+" not found")
	for _, bad := range []string{"x", "-1", "65536"} {
		if status, got := a.call("GET", peers+"/connected/on/"+bad, ""); status != 400 || !strings.HasPrefix(got, "Invalid shardId: ") {
			t.Errorf("%s: %d %q", bad, status, got)
		}
	}
	a.expect("GET", "/admin/v1/filter/subscriptions", "", 400, "Error: Filter Protocol is not mounted to the node")
	a.expect("POST", "/admin/v1/log-level/info", "", 503, "Dynamic Log level management is not enabled here.")
}

func TestFilterSubscribers(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	const path = "/admin/v1/filter/subscriptions"
	var subs []FilterSubscription
	a := serve(t, Config{Node: n, Admin: true, FilterSubscriptions: func() []FilterSubscription { return subs }})
	a.expect("GET", path, "", 200, "[]")
	subs = []FilterSubscription{{"16Uiu2", []FilterTopic{{shard32, content}}}}
	a.expect("GET", path, "", 200, `[{"peerId":"16Uiu2","filterCriteria":[{"pubsubTopic":"/waku/2/rs/16/32","contentTopic":"/waku/1/0x00000001/rfc26"}]}]`)
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	level := new(slog.LevelVar)
	a := serve(t, Config{Node: n, Admin: true, LogLevel: level})
	for name, want := range map[string]slog.Level{"DEBUG": slog.LevelDebug, "warn": slog.LevelWarn, "Fatal": slog.LevelError + 4} {
		a.expect("POST", "/admin/v1/log-level/"+name, "", 200, "OK")
		if level.Level() != want {
			t.Errorf("%s is %v", name, level)
		}
	}
	a.expect("POST", "/admin/v1/log-level/loud", "", 400, "Invalid log-level: loud. Please specify one of TRACE, DEBUG, INFO, NOTICE, WARN, ERROR or FATAL")
}

func TestShardPeers(t *testing.T) {
	t.Parallel()
	n, _ := startNode(t, node.Full)
	for range 2 {
		other, _ := startNode(t, node.Full, n)
		awaitRelay(t, shard32, other)
	}
	eventually.True(t, "a mesh of both", func() bool { return len(n.MeshPeers(shard32)) == 2 })
	if err := n.JoinShard(topic.Pubsub(cluster, 33)); err != nil {
		t.Fatal(err)
	}
	a := serve(t, Config{Node: n, Admin: true})
	const peers = "/admin/v1/peers"
	for kind, want := range map[string]int{"/relay": 2, "/mesh": 2} {
		all := get[[]ShardPeers](a, peers+kind)
		if len(all) != 2 || all[0].Shard != 32 || len(all[0].Peers) != want || all[1].Shard != 33 || len(all[1].Peers) != 0 {
			t.Errorf("%s: %+v", kind, all)
		}
		if one := get[ShardPeers](a, peers+kind+"/on/32"); one.Shard != 32 || len(one.Peers) != want {
			t.Errorf("%s: %+v", kind, one)
		}
		a.expect("GET", peers+kind+"/on/34", "", 200, `{"shard":34,"peers":[]}`)
		if status, got := a.call("GET", peers+kind+"/on/x", ""); status != 400 || !strings.HasPrefix(got, "Invalid shardId: ") {
			t.Errorf("%s: %d %q", kind, status, got)
		}
	}
	light, _ := startNode(t, node.Light)
	b := serve(t, Config{Node: light, Admin: true})
	for _, path := range []string{"/relay", "/mesh/on/32"} {
		b.expect("GET", peers+path, "", 503, "Error: Relay Protocol is not mounted to the node")
	}
}
