package node

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// TestModes: full and light differ in the protocols they use.
//
// Proves: SP-46, SP-47.
func TestModes(t *testing.T) {
	t.Parallel()
	serves := func(n *Node) (out []string) {
		for _, id := range []string{
			string(relay.ProtocolID), string(filter.SubscribeID), string(filter.PushID),
			string(lightpush.ProtocolV2), string(lightpush.ProtocolV3), string(store.ProtocolID), string(metadata.ProtocolID),
		} {
			if slices.Contains(n.Status().Protocols, id) {
				out = append(out, id)
			}
		}
		return out
	}
	relays := []string{string(relay.ProtocolID), string(filter.SubscribeID), string(lightpush.ProtocolV2), string(lightpush.ProtocolV3)}
	for mode, want := range map[Mode][]string{
		Full:    append(slices.Clone(relays), string(metadata.ProtocolID)),
		Service: append(slices.Clone(relays), string(store.ProtocolID), string(metadata.ProtocolID)),
		Light:   {string(filter.PushID), string(metadata.ProtocolID)},
	} {
		n := start(t, Config{Mode: mode})
		if got := serves(n); !slices.Equal(got, want) {
			t.Errorf("%s serves %v, want %v", mode, got, want)
		}
	}
}

// TestRelayBothWays: two full nodes talk through a third.
//
// Proves: SP-51, SP-52, SP-59, SP-60.
func TestRelayBothWays(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	a, b := full(t, s), full(t, s)
	for _, way := range []struct{ from, to *Node }{{a, b}, {b, a}} {
		m := text("by relay")
		peers, err := way.from.Publish(t.Context(), shard32, m)
		if err != nil || peers != 1 {
			t.Fatalf("published to %d peers, error %v", peers, err)
		}
		expect(t, way.to, m)
	}
	if st := a.Status(); st.Filter != nil || st.Relay[shard32].Mesh != 1 {
		t.Errorf("a full node uses %+v", st)
	}
}

// TestLightTalksToAll: a light node's message reaches a full one and another
// light one on the same service node, and theirs reach it.
//
// Proves: SP-55, SP-63.
func TestLightTalksToAll(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	f := full(t, s)
	l1, l2 := light(t, s), light(t, s)
	irrelevant := text("of others")
	irrelevant.ContentTopic = "/waku/1/0x00000002/rfc26"
	publish(t, f, irrelevant)
	eventually.True(t, "the message of others at the service", func() bool { return knows(s, irrelevant) })
	all := []*Node{f, l1, l2}
	for _, from := range all {
		m := text("to all")
		publish(t, from, m)
		for _, to := range all {
			if to != from {
				expect(t, to, m)
			}
		}
	}
	if st := l1.Status(); st.Filter.Topics != 1 || knows(l1, irrelevant) {
		t.Errorf("a light node is given more than it wants: %+v", st.Filter)
	}
	if st := l1.Status(); len(st.Relay) != 0 || slices.Contains(st.Protocols, string(relay.ProtocolID)) {
		t.Errorf("a light node relays: %+v", st)
	}
}

// TestLargeMessages: a network whose relays take more than 150 kB carries what
// deployed clients send whole, by every way; one that takes no more does not.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, MaxFrame: relay.MaxFrame})
	f := start(t, Config{Mode: Full, MaxFrame: relay.MaxFrame, Peers: infos(s)})
	want(t, f)
	awaitMesh(t, s, f)
	l := start(t, Config{Mode: Light, MaxFrame: relay.MaxFrame, Peers: infos(s)})
	want(t, l)
	awaitSubscriber(t, s, l)
	all := []*Node{f, l}
	var sent []*wakuMessage
	for _, from := range all {
		m := text("large")
		m.Payload = append(m.Payload, make([]byte, relay.MaxFrame-1000)...)
		publish(t, from, m)
		for _, to := range all {
			if to != from {
				expect(t, to, m)
			}
		}
		sent = append(sent, m)
	}
	awaitStored(t, l, sent...)
	plain := light(t, start(t, Config{Mode: Service}))
	if _, err := plain.Publish(t.Context(), shard32, sent[0]); !errors.Is(err, ErrInvalid) {
		t.Errorf("where 150 kB are the most: %v", err)
	}
}

// TestLightsOnALoneService: no relay peer far and wide.
func TestLightsOnALoneService(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	l1, l2 := light(t, s), light(t, s)
	var sent []*wakuMessage
	for _, way := range []struct{ from, to *Node }{{l1, l2}, {l2, l1}} {
		m := text("alone")
		publish(t, way.from, m)
		expect(t, way.to, m)
		sent = append(sent, m)
	}
	awaitStored(t, l1, sent...)
}

// TestFullWithoutArchiveRefusesAlone: without relay peers and archive there
// is nothing that could be promised.
func TestFullWithoutArchiveRefusesAlone(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Mode: Full})
	l := light(t, f)
	if _, err := l.Publish(t.Context(), shard32, text("x")); !errors.Is(err, lightpush.ErrNoPeers) {
		t.Fatalf("error %v", err)
	}
	if _, err := f.Publish(t.Context(), shard32, text("x")); !errors.Is(err, ErrNoPeers) {
		t.Fatalf("error %v", err)
	}
}

// TestOwnPublications reach the node's own filter subscribers and archive,
// and not its own reader, by whichever way they come back.
func TestOwnPublications(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	f, l := full(t, s), light(t, s)
	want(t, s)
	m1, m2, m3 := text("relay"), text("lightpush"), text("other")
	publish(t, s, m1)
	expect(t, l, m1)
	if n, err := f.PublishLightpush(t.Context(), shard32, m2); err != nil || n != 1 {
		t.Fatalf("%d services took it, error %v", n, err)
	}
	expect(t, l, m2)
	expect(t, s, m2) // the first that s gets: not its own m1
	publish(t, l, m3)
	expectAll(t, f, m1, m3) // not its own m2
	awaitStored(t, f, m1, m2, m3)
}

// TestSelfAddressed: in both modes by lightpush, on a pubsub topic that the
// node does not subscribe to, and back by store query.
//
// Proves: SP-64, SP-79.
func TestSelfAddressed(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, Shards: []uint16{32, 960}})
	local := topic.Pubsub(16, 960)
	for _, n := range []*Node{full(t, s), light(t, s)} {
		awaitPeer(t, n, s.h.ID())
		m := text(string(n.cfg.Mode))
		took, err := n.PublishLightpush(t.Context(), local, m)
		if err != nil || took != 1 {
			t.Fatalf("%s: %d services took it, error %v", n.cfg.Mode, took, err)
		}
		if slices.Contains(n.shards(), 960) {
			t.Errorf("%s: publishing subscribed", n.cfg.Mode)
		}
		page, err := n.Query(t.Context(), &store.Query{Hashes: []message.Hash{message.HashOf(local, m)}, IncludeData: true})
		if err != nil || len(page.Messages) != 1 || !proto.Equal(page.Messages[0].Message, m) {
			t.Fatalf("%s: found %v, error %v", n.cfg.Mode, page, err)
		}
	}
}

// TestServicesFollowSubscriptions: filter and lightpush are served on every
// relayed pubsub topic and on no other, the store on all of them.
//
// Proves: SP-74, SP-75, SP-76, SP-77.
func TestServicesFollowSubscriptions(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Mode: Full, Archive: archiveFor(t)})
	l := start(t, Config{Mode: Light, Peers: infos(f)})
	awaitPeer(t, l, f.h.ID())
	extra := topic.Pubsub(16, 64)
	if _, err := l.Publish(t.Context(), extra, text("early")); !errors.Is(err, lightpush.ErrUnsupportedTopic) {
		t.Fatalf("lightpush on a topic not relayed: %v", err)
	}
	subscribe := func(n *Node, topics ...string) {
		t.Helper()
		want := make(map[string][]string)
		for _, name := range topics {
			want[name] = []string{content}
		}
		if err := n.Subscribe(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	subscribe(f, extra)
	if got := f.Status().Shards; !slices.Equal(got, []uint16{32, 64}) {
		t.Fatalf("relays %v", got)
	}
	subscribe(l, shard32, extra)
	awaitSubscriber(t, f, l)
	for _, name := range []string{shard32, extra} {
		m := text("pushed and stored")
		if _, err := l.Publish(t.Context(), name, m); err != nil {
			t.Fatalf("lightpush on %s: %v", name, err)
		}
		page, err := l.Query(t.Context(), &store.Query{Hashes: []message.Hash{message.HashOf(name, m)}})
		if err != nil || len(page.Messages) != 1 {
			t.Fatalf("store on %s: %v, error %v", name, page, err)
		}
		// The filter service pushes to another light node.
	}
	l2 := start(t, Config{Mode: Light, Peers: infos(f)})
	subscribe(l2, shard32, extra)
	awaitSubscriber(t, f, l2)
	for _, name := range []string{shard32, extra} {
		m := text("filtered")
		if _, err := l.Publish(t.Context(), name, m); err != nil {
			t.Fatal(err)
		}
		select {
		case e := <-l2.Envelopes():
			if e.PubsubTopic != name || e.Hash != message.HashOf(name, m) {
				t.Fatalf("filter on %s pushed %v", name, e)
			}
		case <-time.After(patience):
			t.Fatalf("filter on %s pushed nothing", name)
		}
	}
	subscribe(f) // nothing more wanted: the configured shard stays
	if got := f.Status().Shards; !slices.Equal(got, []uint16{32}) {
		t.Fatalf("relays %v", got)
	}
	if _, err := l.Publish(t.Context(), extra, text("late")); !errors.Is(err, lightpush.ErrUnsupportedTopic) {
		t.Fatalf("lightpush on a topic left: %v", err)
	}
}

func TestStoreLeavesOutEphemeral(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	f := full(t, s)
	kept1, passing, kept2 := text("kept"), text("passing"), text("kept")
	passing.Ephemeral = proto.Bool(true)
	want(t, s)
	for _, m := range []*wakuMessage{kept1, passing, kept2} {
		publish(t, f, m)
		expect(t, s, m)
	}
	awaitStored(t, f, kept1, kept2)
}

func TestQueryAsksTheNext(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	gone := start(t, Config{Mode: Service})
	goneInfo := info(gone.h)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	m := text("kept")
	l := light(t, s)
	publish(t, l, m)
	asks := start(t, Config{Mode: Light, StorePeers: append([]peer.AddrInfo{goneInfo}, infos(s)...)})
	awaitStored(t, asks, m) // neither is a static peer: dialled to ask
	if _, err := asks.Query(t.Context(), &store.Query{ContentTopics: []string{content}}); !errors.Is(err, store.ErrQuery) {
		t.Errorf("a wrong query: %v", err)
	}
	lonely := start(t, Config{Mode: Light})
	if _, err := query(t.Context(), lonely); !errors.Is(err, ErrNoStore) {
		t.Errorf("without store peers: %v", err)
	}
	if _, err := lonely.Publish(t.Context(), shard32, text("x")); !errors.Is(err, ErrNoPeers) {
		t.Errorf("without services: %v", err)
	}
}

func TestSubscribeReplaces(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	f := full(t, s)
	other := text("other topic")
	other.ContentTopic = "/waku/1/0x00000002/rfc26"
	m := text("wanted")
	publish(t, s, other)
	eventually.True(t, "the other message, dropped", func() bool { return knows(f, other) })
	publish(t, s, m)
	expect(t, f, m)
	if err := f.Subscribe(t.Context(), map[string][]string{shard32: {other.ContentTopic}}); err != nil {
		t.Fatal(err)
	}
	other2 := proto.Clone(other).(*wakuMessage)
	other2.Payload = []byte("now wanted")
	m = text("no longer wanted")
	publish(t, s, m)
	eventually.True(t, "the former message, dropped", func() bool { return knows(f, m) })
	publish(t, s, other2)
	expect(t, f, other2)
	if err := f.Subscribe(t.Context(), map[string][]string{shard32: nil}); err != nil {
		t.Fatal(err)
	}
	m = text("everything")
	publish(t, s, m)
	expect(t, f, m)
}

// knows says whether a node took a message, delivered or not.
func knows(n *Node, m *wakuMessage) bool {
	hash := message.HashOf(shard32, m)
	n.seen.mu.Lock()
	defer n.seen.mu.Unlock()
	_, ok := n.seen.recent[hash]
	return ok
}

func TestSubscribeErrors(t *testing.T) {
	t.Parallel()
	f, l := start(t, Config{Mode: Full}), start(t, Config{Mode: Light})
	for name, c := range map[string]struct {
		n    *Node
		want map[string][]string
	}{
		"empty pubsub topic":    {f, map[string][]string{"": {content}}},
		"empty content topic":   {f, map[string][]string{shard32: {content, ""}}},
		"light without content": {l, map[string][]string{shard32: nil}},
	} {
		if err := c.n.Subscribe(t.Context(), c.want); !errors.Is(err, ErrSubscription) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Subscribe(t.Context(), nil); !errors.Is(err, ErrSubscription) {
		t.Errorf("after close: %v", err)
	}
}

func TestPublishErrors(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	bad := text("x")
	bad.ContentTopic = ""
	for _, n := range []*Node{full(t, s), light(t, s)} {
		for _, m := range []*wakuMessage{nil, bad} {
			if _, err := n.Publish(t.Context(), shard32, m); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", n.cfg.Mode, err)
			}
			if _, err := n.PublishLightpush(t.Context(), shard32, m); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s by lightpush: %v", n.cfg.Mode, err)
			}
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Full, Light, Service} {
		n := start(t, Config{Mode: mode})
		for range 2 {
			if err := n.Close(); err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
		}
		if _, ok := <-n.Envelopes(); ok {
			t.Errorf("%s: an envelope after close", mode)
		}
		if _, ok := <-n.Gaps(); ok {
			t.Errorf("%s: a gap after close", mode)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	f := full(t, s)
	f.peers.pingAll()
	b, err := json.Marshal(f.Status())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"peer_id", "mode", "cluster", "shards", "addrs", "protocols", "peers", "relay", "store_peers"} {
		if got[key] == nil {
			t.Errorf("no %s in %s", key, b)
		}
	}
	st := f.Status()
	if len(st.Peers) != 1 || st.Peers[0].ID != s.h.ID().String() || !st.Peers[0].Static || st.Peers[0].LatencyMS <= 0 ||
		st.Peers[0].ConnectedSince.IsZero() || !slices.Equal(st.Peers[0].Shards, []uint16{32}) ||
		!slices.Contains(st.Peers[0].Protocols, string(store.ProtocolID)) {
		t.Errorf("peers %+v", st.Peers)
	}
	if !slices.Equal(st.StorePeers, []string{s.h.ID().String()}) {
		t.Errorf("store peers %v", st.StorePeers)
	}
	for _, a := range f.Addrs() {
		if in, err := peer.AddrInfoFromString(a); err != nil || in.ID != f.h.ID() {
			t.Errorf("address %s: %v", a, err)
		}
	}
}
