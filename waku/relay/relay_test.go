package relay

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

const patience = eventually.Patience

var shard32 = topic.Pubsub(16, 32)

func newHost(t testing.TB) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ForceReachabilityPublic(), libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func connect(t testing.TB, a, b host.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// testRelay is a relay with what it was told.
type testRelay struct {
	*Relay
	h     host.Host
	got   chan Delivery
	peers chan int
}

func newRelay(t testing.TB, topics ...string) *testRelay {
	t.Helper()
	return newRelayWith(t, 0, topics...)
}

func newRelayWith(t testing.TB, maxFrame int, topics ...string) *testRelay {
	t.Helper()
	r := &testRelay{h: newHost(t), got: make(chan Delivery, 4096), peers: make(chan int, 4096)}
	relay, err := New(r.h, Config{
		Deliver:      func(d Delivery) { r.got <- d },
		PeersChanged: func(_ string, n int) { r.peers <- n },
		MaxFrame:     maxFrame,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Relay = relay
	t.Cleanup(func() { _ = relay.Close() })
	for _, name := range topics {
		if err := relay.Subscribe(name); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// awaitPeers waits until a relay has n peers on a topic.
func (r *testRelay) awaitPeers(t testing.TB, name string, n int) {
	t.Helper()
	eventually.True(t, fmt.Sprintf("%d peers on %s", n, name), func() bool { return len(r.Peers(name)) == n })
}

func receive(t testing.TB, from <-chan Delivery) Delivery {
	t.Helper()
	select {
	case d := <-from:
		return d
	case <-time.After(patience):
		t.Fatal("no message came")
		return Delivery{}
	}
}

func text(s string) *wakupb.WakuMessage {
	return message.New([]byte(s), "/waku/1/0x00000001/rfc26", time.Now(), false)
}

func TestPublishBothWays(t *testing.T) {
	t.Parallel()
	a, b := newRelay(t, shard32), newRelay(t, shard32)
	connect(t, a.h, b.h)
	for i, way := range []struct{ from, to *testRelay }{{a, b}, {b, a}} {
		way.from.awaitPeers(t, shard32, 1)
		m := text(fmt.Sprintf("hello %d", i))
		peers, err := way.from.Publish(t.Context(), shard32, m)
		if err != nil || peers != 1 {
			t.Fatalf("published to %d peers, error %v", peers, err)
		}
		d := receive(t, way.to.got)
		if !proto.Equal(d.Message, m) || d.PubsubTopic != shard32 || d.From != way.from.h.ID() ||
			d.Hash != message.HashOf(shard32, m) {
			t.Fatalf("delivered %v", d)
		}
		if own := receive(t, way.from.got); own.From != way.from.h.ID() || own.Hash != d.Hash {
			t.Fatalf("own message delivered as %v", own)
		}
	}
}

func TestPublishWithoutPeers(t *testing.T) {
	t.Parallel()
	a, b := newRelay(t, shard32), newRelay(t, shard32)
	m := text("later")
	if _, err := a.Publish(t.Context(), shard32, m); !errors.Is(err, ErrNoPeers) {
		t.Fatalf("error %v", err)
	}
	// What could not be published then can be now.
	connect(t, a.h, b.h)
	a.awaitPeers(t, shard32, 1)
	if _, err := a.Publish(t.Context(), shard32, m); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, b.got); !proto.Equal(d.Message, m) {
		t.Fatalf("delivered %v", d)
	}
}

func TestPublishWithoutSubscription(t *testing.T) {
	t.Parallel()
	a, b := newRelay(t), newRelay(t, shard32)
	connect(t, a.h, b.h)
	a.awaitPeers(t, shard32, 1)
	m := text("from outside")
	if _, err := a.Publish(t.Context(), shard32, m); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, b.got); !proto.Equal(d.Message, m) {
		t.Fatalf("delivered %v", d)
	}
	if got := a.Topics(); len(got) != 0 {
		t.Fatalf("publishing subscribed to %v", got)
	}
}

// TestRelayThrough passes a message over a node in the middle.
func TestRelayThrough(t *testing.T) {
	t.Parallel()
	a, b, c := newRelay(t, shard32), newRelay(t, shard32), newRelay(t, shard32)
	connect(t, a.h, b.h)
	connect(t, b.h, c.h)
	a.awaitPeers(t, shard32, 1)
	eventually.True(t, "both in the mesh of the middle", func() bool { return len(b.Mesh(shard32)) == 2 })
	m := text("over b")
	if _, err := a.Publish(t.Context(), shard32, m); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, c.got); !proto.Equal(d.Message, m) || d.From != b.h.ID() {
		t.Fatalf("delivered %v", d)
	}
}

func TestMeshAndPeersFollow(t *testing.T) {
	t.Parallel()
	a, b := newRelay(t, shard32), newRelay(t, shard32)
	connect(t, a.h, b.h)
	if n := <-a.peers; n != 1 {
		t.Fatalf("told of %d peers", n)
	}
	eventually.True(t, "a mesh", func() bool {
		m := a.Mesh(shard32)
		return len(m) == 1 && m[0] == b.h.ID()
	})
	if err := b.h.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-a.peers; n != 0 {
		t.Fatalf("told of %d peers", n)
	}
	eventually.True(t, "an empty mesh", func() bool { return len(a.Mesh(shard32)) == 0 })
}

func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	a, b := newRelay(t, shard32), newRelay(t, shard32)
	connect(t, a.h, b.h)
	a.awaitPeers(t, shard32, 1)
	for range 2 { // the second changes nothing
		if err := b.Unsubscribe(shard32); err != nil {
			t.Fatal(err)
		}
	}
	a.awaitPeers(t, shard32, 0)
	if got := b.Topics(); len(got) != 0 {
		t.Fatalf("still subscribed to %v", got)
	}
	for range 2 {
		if err := b.Subscribe(shard32); err != nil {
			t.Fatal(err)
		}
	}
	a.awaitPeers(t, shard32, 1)
	m := text("again")
	if _, err := a.Publish(t.Context(), shard32, m); err != nil {
		t.Fatal(err)
	}
	receive(t, b.got)
}

func TestClose(t *testing.T) {
	t.Parallel()
	r := newRelay(t, shard32)
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Subscribe(shard32); !errors.Is(err, ErrClosed) {
		t.Errorf("subscribing: %v", err)
	}
	if _, err := r.Publish(t.Context(), shard32, text("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("publishing: %v", err)
	}
}

// payloadFor returns a message that makes a frame of exactly size bytes.
func payloadFor(t *testing.T, size int) *wakupb.WakuMessage {
	t.Helper()
	m := text("x")
	for n := size - 200; n <= size; n++ {
		m.Payload = make([]byte, n)
		if frameSize(shard32, proto.Size(m)) == size {
			return m
		}
	}
	t.Fatal("no payload fits")
	return nil
}

// The limit is the network's, 150 kB where it does not say.
func TestLargestMessage(t *testing.T) {
	t.Parallel()
	for maxFrame, limit := range map[int]int{0: DefaultMaxFrame, 500_000: 500_000, MaxFrame: MaxFrame} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			a, b := newRelayWith(t, maxFrame, shard32), newRelayWith(t, maxFrame, shard32)
			connect(t, a.h, b.h)
			a.awaitPeers(t, shard32, 1)
			if _, err := a.Publish(t.Context(), shard32, payloadFor(t, limit+1)); !errors.Is(err, ErrTooLarge) {
				t.Fatalf("one byte too many: %v", err)
			}
			largest := payloadFor(t, limit)
			if _, err := a.Publish(t.Context(), shard32, largest); err != nil {
				t.Fatal(err)
			}
			if d := receive(t, b.got); !proto.Equal(d.Message, largest) {
				t.Fatal("another message came")
			}
		})
	}
}

func TestFrameSize(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 90, 127, 128, 16383, 16384, 149_000} {
		rpc := &pubsubpb.RPC{Publish: []*pubsubpb.Message{{Topic: &shard32, Data: make([]byte, n)}}}
		if got, want := frameSize(shard32, n), proto.Size(rpc); got != want {
			t.Errorf("frame of %d bytes of data: %d, want %d", n, got, want)
		}
	}
}

// TestOldTimestampIsRelayed: the rule of the network with rate limiting
// proofs is not applied.
func TestOldTimestampIsRelayed(t *testing.T) {
	t.Parallel()
	m := text("old")
	m.Timestamp = proto.Int64(time.Now().Add(-24 * time.Hour).UnixNano())
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(shard32, data, DefaultMaxFrame); err != nil {
		t.Error(err)
	}
	m.Timestamp = nil
	if data, err = proto.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(shard32, data, DefaultMaxFrame); err != nil {
		t.Error(err)
	}
}

// TestManyPeersOnLoopback has more peers on one address than scoring
// forgives elsewhere: 7 too many cost 7² times 50 points, and below -1000
// nothing is published to a peer.
func TestManyPeersOnLoopback(t *testing.T) {
	t.Parallel()
	a := newRelay(t, shard32)
	var others []*testRelay
	for range scoreParams().IPColocationFactorThreshold + 7 {
		r := newRelay(t, shard32)
		connect(t, r.h, a.h)
		others = append(others, r)
	}
	a.awaitPeers(t, shard32, len(others))
	if n, err := a.Publish(t.Context(), shard32, text("all")); err != nil || n != len(others) {
		t.Fatalf("published to %d peers, error %v", n, err)
	}
	for _, r := range others {
		receive(t, r.got)
	}
}

// TestSlowReader blocks the delivery: the network goes on, and the loss is
// reported.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	blocked, release := make(chan struct{}), make(chan struct{})
	lost := make(chan string, 4*deliveryQueue)
	first := true
	r, err := New(h, Config{
		Deliver: func(Delivery) {
			if first {
				first = false
				close(blocked)
				<-release
			}
		},
		Lost: func(name string) { lost <- name },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Subscribe(shard32); err != nil {
		t.Fatal(err)
	}
	other := newRelay(t, shard32)
	connect(t, h, other.h)
	eventually.True(t, "a peer", func() bool { return len(r.Peers(shard32)) == 1 })
	if _, err := r.Publish(t.Context(), shard32, text("first")); err != nil {
		t.Fatal(err)
	}
	<-blocked
	for i := range deliveryQueue + 1 {
		if _, err := r.Publish(t.Context(), shard32, text(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case name := <-lost:
		if name != shard32 {
			t.Errorf("lost on %q", name)
		}
	case <-time.After(patience):
		t.Fatal("the loss was not reported")
	}
	close(release)
}

func FuzzDecode(f *testing.F) {
	good, err := proto.Marshal(text("seed"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x01, 0x78, 0x12, 0x01, 0x79})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(shard32, data, DefaultMaxFrame)
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if len(m.Payload) == 0 || m.ContentTopic == "" || len(m.Meta) > message.MaxMeta {
			t.Fatalf("accepted %v", m)
		}
		again, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) <= len(data) {
			if _, err := Decode(shard32, again, DefaultMaxFrame); err != nil {
				t.Fatalf("what was accepted is refused when sent on: %v", err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data, err := proto.Marshal(text(string(make([]byte, 1024))))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Decode(shard32, data, DefaultMaxFrame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublishReceive is the way of a message from one node to the next
// over loopback.
func BenchmarkPublishReceive(b *testing.B) {
	x, y := newRelay(b, shard32), newRelay(b, shard32)
	connect(b, x.h, y.h)
	x.awaitPeers(b, shard32, 1)
	payload := make([]byte, 1024)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		m := message.New(payload, "/waku/1/0x00000001/rfc26", time.Unix(0, int64(i)), false)
		if _, err := x.Publish(context.Background(), shard32, m); err != nil {
			b.Fatal(err)
		}
		<-x.got
		<-y.got
	}
}
