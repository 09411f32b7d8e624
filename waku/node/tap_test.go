package node

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// heard waits for messages on a tap, in any order, and for no other.
func heard(t testing.TB, tap <-chan Envelope, pubsubTopic string, want ...*wakuMessage) {
	t.Helper()
	missing := make(map[message.Hash]string)
	for _, m := range want {
		missing[message.HashOf(pubsubTopic, m)] = string(m.Payload)
	}
	for len(missing) > 0 {
		select {
		case e, ok := <-tap:
			if !ok {
				t.Fatal("the tap was closed")
			}
			if _, ok := missing[e.Hash]; !ok || e.PubsubTopic != pubsubTopic {
				t.Fatalf("heard %q on %s", e.Message.Payload, e.PubsubTopic)
			}
			delete(missing, e.Hash)
		case <-time.After(patience):
			t.Fatalf("not heard: %v", missing)
		}
	}
}

// TestTap: what is relayed, published here, and published for light clients is
// heard, each once, whatever its content topic.
func TestTap(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, Shards: []uint16{32, 64}})
	shard64 := topic.Pubsub(16, 64)
	f, l := full(t, s), light(t, s)
	all, stopAll := s.Tap("", 16)
	on32, stop32 := s.Tap(shard32, 16)
	on64, stop64 := s.Tap(shard64, 16)
	defer stop64()
	if st := s.Status().Tap; st.Open != 3 {
		t.Errorf("%+v", st)
	}
	relayed, own, pushed := text("relayed"), text("own"), text("pushed")
	relayed.ContentTopic = "/another/1/topic/proto" // nobody subscribes to it
	publish(t, f, relayed)
	publish(t, s, own)
	publish(t, s, own)
	publish(t, l, pushed)
	heard(t, on32, shard32, relayed, own, pushed)
	heard(t, all, shard32, relayed, own, pushed)
	elsewhere := text("on another shard")
	awaitPeer(t, l, s.h.ID())
	if _, err := l.Publish(t.Context(), shard64, elsewhere); err != nil {
		t.Fatal(err)
	}
	heard(t, on64, shard64, elsewhere)
	heard(t, all, shard64, elsewhere)
	stop32()
	stop32()
	if _, ok := <-on32; ok {
		t.Error("heard twice, or heard another shard")
	}
	if st := s.Status().Tap; st.Open != 2 || st.Dropped != 0 {
		t.Errorf("%+v", st)
	}
	stopAll()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-on64; ok {
		t.Error("the end of the node does not end the tap")
	}
	late, stop := s.Tap("", 0)
	stop()
	if _, ok := <-late; ok {
		t.Error("a closed node is heard")
	}
}

// TestSlowTap loses what has no room, and holds up nobody.
func TestSlowTap(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	f := full(t, s)
	tap, stop := s.Tap(shard32, 2)
	defer stop()
	var sent []*wakuMessage
	for range 10 {
		m := text("flood")
		sent = append(sent, m)
		publish(t, s, m)
		expect(t, f, m)
	}
	heard(t, tap, shard32, sent[:2]...)
	if st := s.Status().Tap; st.Dropped != 8 {
		t.Errorf("%+v", st)
	}
}

// TestJoinAndLeave: shards joined at run time are relayed beside the
// configured ones and those subscribed to, each of which holds a shard.
func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	n := start(t, Config{Mode: Full})
	extra, other := topic.Pubsub(16, 64), topic.Pubsub(16, 128)
	relays := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		if got := n.RelayTopics(); !slices.Equal(got, want) {
			t.Errorf("relays %v, want %v", got, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	relays(shard32)
	must(n.JoinShard(extra))
	must(n.JoinShard(extra))
	must(n.JoinShard(shard32))
	relays(shard32, extra)
	if got := n.ownMetadata().Shards; !slices.Equal(got, []uint16{32, 64}) {
		t.Errorf("tells of %v", got)
	}
	// What is subscribed to does not end what was joined, and is not ended.
	must(n.Subscribe(t.Context(), map[string][]string{other: {content}, extra: {content}}))
	must(n.LeaveShard(extra))
	relays(shard32, extra, other)
	must(n.JoinShard(extra))
	must(n.Subscribe(t.Context(), nil))
	relays(shard32, extra)
	must(n.LeaveShard(extra))
	must(n.LeaveShard(shard32)) // joined before, and configured
	relays(shard32)
	for name, err := range map[string]error{
		"configured": n.LeaveShard(shard32), "left": n.LeaveShard(extra), "empty": n.JoinShard(""),
	} {
		if !errors.Is(err, ErrSubscription) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range MaxShards - 1 {
		must(n.JoinShard(topic.Pubsub(16, uint16(200+i))))
	}
	if err := n.JoinShard(extra); !errors.Is(err, ErrSubscription) {
		t.Errorf("one too many: %v", err)
	}
	must(n.JoinShard(topic.Pubsub(17, 1))) // not told of in metadata
	must(n.Close())
	if err := n.JoinShard(extra); !errors.Is(err, ErrSubscription) {
		t.Errorf("after close: %v", err)
	}
}

// TestContact: dial and disconnect at will.
func TestContact(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	n := start(t, Config{Mode: Full})
	if err := n.Dial(t.Context(), info(s.h)); err != nil {
		t.Fatal(err)
	}
	if err := n.Disconnect(s.h.ID()); err != nil {
		t.Fatal(err)
	}
	if n.h.Network().Connectedness(s.h.ID()) == network.Connected {
		t.Error("connected")
	}
	gone := start(t, Config{Mode: Full})
	nowhere := info(gone.h)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Dial(t.Context(), nowhere); !errors.Is(err, ErrUnreachable) {
		t.Errorf("dialled nobody: %v", err)
	}
	// A kept peer is let go.
	n.Keep(info(s.h))
	awaitPeer(t, n, s.h.ID())
	if err := n.Disconnect(s.h.ID()); err != nil {
		t.Fatal(err)
	}
	if n.peers.static(s.h.ID()) || n.h.ConnManager().IsProtected(s.h.ID(), protectStatic) {
		t.Error("still kept")
	}
	n.Keep(info(s.h))
	awaitPeer(t, n, s.h.ID())
}

// TestChoice: the peers chosen are asked first, and what became of it is told.
func TestChoice(t *testing.T) {
	t.Parallel()
	s1, s2 := start(t, Config{Mode: Service}), start(t, Config{Mode: Service})
	type outcome struct {
		p  peer.ID
		id protocol.ID
		ok bool
	}
	outcomes := make(chan outcome, 16)
	best := []peer.ID{s2.h.ID(), "somebody else", s2.h.ID()}
	l := start(t, Config{Mode: Light, Peers: infos(s1, s2), Choice: Choice{
		Best: func(id protocol.ID, _ string) []peer.ID { return best },
		Served: func(p peer.ID, id protocol.ID, err error, took time.Duration) {
			if took <= 0 {
				t.Errorf("took %s", took)
			}
			outcomes <- outcome{p, id, err == nil}
		},
	}})
	awaitPeer(t, l, s1.h.ID())
	awaitPeer(t, l, s2.h.ID())
	want := []peer.ID{s2.h.ID(), s1.h.ID()}
	for range 10 {
		if got := l.pushCandidates(shard32); !slices.Equal(got, want) {
			t.Fatalf("lightpush to %v, want %v", got, want)
		}
		if got := l.storePeers(shard32); !slices.Equal(got, want) {
			t.Fatalf("store of %v, want %v", got, want)
		}
		if got := l.filterPeers(); !slices.Equal(got, want) {
			t.Fatalf("filter of %v, want %v", got, want)
		}
	}
	if _, err := query(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got := <-outcomes; got != (outcome{s2.h.ID(), store.ProtocolID, true}) {
		t.Errorf("told of %v", got)
	}
	unknown := topic.Pubsub(16, 99)
	if _, err := l.Publish(t.Context(), unknown, text("x")); err == nil {
		t.Fatal("published on a shard that nobody relays")
	}
	for range 2 {
		if got := <-outcomes; got.id != lightpush.ProtocolV3 || got.ok {
			t.Errorf("told of %v", got)
		}
	}
}
