package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/topic"
)

// patience is how long anything may take that must happen.
const patience = eventually.Patience

var (
	shard32 = topic.Pubsub(16, 32)
	content = "/waku/1/0x00000001/rfc26"
)

// start runs a node of cluster 16 for a test, on shard 32 where it relays
// and the test names none.
func start(t testing.TB, cfg Config) *Node {
	t.Helper()
	if cfg.Cluster == 0 {
		cfg.Cluster = 16
	}
	if cfg.Shards == nil && cfg.Mode.relays() {
		cfg.Shards = []uint16{32}
	}
	if cfg.Mode == Service && cfg.Archive == nil {
		cfg.Archive = archiveFor(t)
	}
	if cfg.Redial == 0 {
		cfg.Redial = 20 * time.Millisecond
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func archiveFor(t testing.TB) store.Archive {
	t.Helper()
	a, err := sqlite.Open(t.TempDir() + "/archive.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// info is how others reach a node or host.
func info(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

func infos(nodes ...*Node) (out []peer.AddrInfo) {
	for _, n := range nodes {
		out = append(out, info(n.h))
	}
	return out
}

// want subscribes a node to the test's content topic.
func want(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Subscribe(t.Context(), map[string][]string{shard32: {content}}); err != nil {
		t.Fatal(err)
	}
}

// light starts a light node subscribed at the given services.
func light(t testing.TB, services ...*Node) *Node {
	t.Helper()
	n := start(t, Config{Mode: Light, Peers: infos(services...)})
	want(t, n)
	for _, s := range services {
		awaitSubscriber(t, s, n)
	}
	return n
}

// full starts a full node that is subscribed and has the given nodes in the
// mesh of shard 32, and is in theirs.
func full(t testing.TB, others ...*Node) *Node {
	t.Helper()
	n := start(t, Config{Mode: Full, Peers: infos(others...)})
	want(t, n)
	for _, o := range others {
		awaitMesh(t, n, o)
	}
	return n
}

func awaitMesh(t testing.TB, a, b *Node) {
	t.Helper()
	eventually.True(t, "a mesh of two nodes", func() bool {
		return contains(a.relay.Mesh(shard32), b.h.ID()) && contains(b.relay.Mesh(shard32), a.h.ID())
	})
}

func contains(list []peer.ID, p peer.ID) bool {
	for _, q := range list {
		if p == q {
			return true
		}
	}
	return false
}

// wakuMessage and multiaddrT keep the tests' lines short.
type (
	wakuMessage = wakupb.WakuMessage
	multiaddrT  = multiaddr.Multiaddr
)

// awaitSubscriber waits until a light node is subscribed at a service to all
// it wants.
func awaitSubscriber(t testing.TB, s, l *Node) {
	t.Helper()
	eventually.True(t, "a filter subscription", func() bool {
		for _, p := range l.Status().Filter.Peers {
			if p.ID == s.h.ID().String() {
				return p.State == string(filter.Active)
			}
		}
		return false
	}, func() { t.Logf("filter: %+v", l.Status().Filter) })
}

// answerMetadata is a client's metadata protocol by hand.
func answerMetadata(s network.Stream, cluster uint32) {
	defer func() { _ = s.Close() }()
	if wire.Read(s, metadata.MaxSize, new(wakupb.WakuMetadataRequest)) == nil {
		_ = wire.Write(s, &wakupb.WakuMetadataResponse{ClusterId: &cluster})
	}
}

var serial atomic.Int64

// text is a message like no other on the test's content topic.
func text(s string) *wakupb.WakuMessage {
	return message.New(fmt.Appendf(nil, "%s %d", s, serial.Add(1)), content, time.Now(), false)
}

// publish publishes until a peer takes the message: connections may not be
// up yet.
func publish(t testing.TB, n *Node, m *wakupb.WakuMessage) {
	t.Helper()
	var last error
	eventually.True(t, "publishing", func() bool {
		_, err := n.Publish(t.Context(), shard32, m)
		last = err
		return err == nil
	}, func() { t.Logf("last error: %v", last) })
}

// expect waits for a message, and takes no other in its place.
func expect(t testing.TB, n *Node, m *wakupb.WakuMessage) {
	t.Helper()
	select {
	case e, ok := <-n.Envelopes():
		if !ok {
			t.Fatal("envelopes closed")
		}
		if e.Hash != message.HashOf(shard32, m) || e.PubsubTopic != shard32 || string(e.Message.Payload) != string(m.Payload) {
			t.Fatalf("got %q, want %q", e.Message.Payload, m.Payload)
		}
	case <-time.After(patience):
		t.Fatalf("%q did not come", m.Payload)
	}
}

// expectAll waits for messages in any order, and takes no other: two that come
// by relay may overtake each other.
func expectAll(t testing.TB, n *Node, want ...*wakupb.WakuMessage) {
	t.Helper()
	heard(t, n.Envelopes(), shard32, want...)
}

func expectGap(t testing.TB, n *Node, notAfter time.Time) {
	t.Helper()
	select {
	case since := <-n.Gaps():
		if since.After(notAfter) {
			t.Fatalf("gap since %v, want at most %v", since, notAfter)
		}
	case <-time.After(patience):
		t.Fatal("no gap was signalled")
	}
}

// awaitPeer waits until a node has a peer that passed the metadata check.
func awaitPeer(t testing.TB, n *Node, p peer.ID) {
	t.Helper()
	eventually.True(t, "a checked peer", func() bool {
		_, ok := n.metadata.Info(p)
		return ok && n.h.Network().Connectedness(p) == network.Connected
	})
}

// query asks for all messages on the test's topics.
func query(ctx context.Context, n *Node) (*store.Page, error) {
	return n.Query(ctx, &store.Query{
		IncludeData: true, PubsubTopic: shard32, ContentTopics: []string{content},
		Forward: true, Limit: store.MaxPage,
	})
}

// awaitStored waits until a query finds exactly the given messages, in
// order.
func awaitStored(t testing.TB, n *Node, want ...*wakupb.WakuMessage) {
	t.Helper()
	eventually.True(t, "messages in the store", func() bool {
		page, err := query(t.Context(), n)
		if err != nil || len(page.Messages) != len(want) {
			return false
		}
		for i, e := range page.Messages {
			if e.Hash != message.HashOf(shard32, want[i]) {
				t.Fatalf("message %d in the store is %q", i, e.Message.GetPayload())
			}
		}
		return true
	})
}
