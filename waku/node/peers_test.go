package node

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/mplex"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/metadata"
)

func TestOtherClusterIsDisconnected(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	other := start(t, Config{Mode: Full, Cluster: 1})
	gone := make(chan struct{}, 16)
	s.h.Network().Notify(&network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() == other.h.ID() {
			gone <- struct{}{}
		}
	}})
	if err := other.h.Connect(t.Context(), info(s.h)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("still connected")
	}
	if _, ok := s.metadata.Info(other.h.ID()); ok {
		t.Error("a peer of another cluster passed")
	}
}

// TestMplexOnlyClient is a client like the JavaScript ones: Noise, mplex,
// TCP or WebSocket.
func TestMplexOnlyClient(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"}})
	want(t, s)
	if len(s.h.Addrs()) != 2 {
		t.Fatalf("listens on %v", s.h.Addrs())
	}
	for _, a := range s.h.Addrs() {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(),
			libp2p.Security(noise.ID, noise.New), libp2p.Muxer(mplex.ID, mplex.Transport{}),
			libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(websocket.New))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		h.SetStreamHandler(metadata.ProtocolID, func(st network.Stream) {
			answerMetadata(st, 16)
		})
		if err := h.Connect(t.Context(), peer.AddrInfo{ID: s.h.ID(), Addrs: []multiaddrT{a}}); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if muxer := h.Network().ConnsToPeer(s.h.ID())[0].ConnState().StreamMultiplexer; muxer != mplex.ID {
			t.Fatalf("%s: muxer %s", a, muxer)
		}
		in, err := metadata.Request(t.Context(), h, s.h.ID(), metadata.Info{Cluster: 16, HasCluster: true})
		if err != nil || in.Cluster != 16 || !slices.Equal(in.Shards, []uint16{32}) {
			t.Fatalf("%s: metadata %+v, error %v", a, in, err)
		}
		m := text("mplex")
		if _, err := lightpush.Push(t.Context(), h, s.h.ID(), shard32, m); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		expect(t, s, m)
		awaitPeer(t, s, h.ID()) // it named no shards and stays
	}
}

// TestYamuxComesFirst: between two nodes that have both.
func TestYamuxComesFirst(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Mode: Full})
	b := full(t, a)
	if m := b.h.Network().ConnsToPeer(a.h.ID())[0].ConnState().StreamMultiplexer; m != "/yamux/1.0.0" {
		t.Errorf("muxer %s", m)
	}
}

// TestLightSurvivesItsService: of two service nodes one dies.
func TestLightSurvivesItsService(t *testing.T) {
	t.Parallel()
	s1 := start(t, Config{Mode: Service})
	s2 := start(t, Config{Mode: Service, Peers: infos(s1)})
	awaitMesh(t, s1, s2)
	f := full(t, s2)
	l := light(t, s1, s2)
	m := text("two services")
	if took, err := l.Publish(t.Context(), shard32, m); err != nil || took != 2 {
		t.Fatalf("%d services took it, error %v", took, err)
	}
	expect(t, f, m)
	if err := s1.Close(); err != nil {
		t.Fatal(err)
	}
	m = text("one service")
	publish(t, f, m)
	expect(t, l, m)
	m = text("and back")
	publish(t, l, m)
	expect(t, f, m)
	// A third service node that comes later takes the place of the first.
	s3 := start(t, Config{Mode: Service, Peers: infos(s2)})
	if err := l.h.Connect(t.Context(), info(s3.h)); err != nil {
		t.Fatal(err)
	}
	awaitSubscriber(t, s3, l)
}

// TestStaticPeerComesBack: with another life at the same address.
func TestStaticPeerComesBack(t *testing.T) {
	t.Parallel()
	key, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Mode: Service, Key: key})
	listen := s.h.Addrs()[0].String()
	f := full(t, s)
	drainGaps(f) // of the time before the first connection
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the loss", func() bool { return f.Status().Relay[shard32].Peers == 0 })
	lost := time.Now()
	s = start(t, Config{Mode: Service, Key: key, Listen: []string{listen}})
	expectGap(t, f, lost)
	awaitMesh(t, f, s)
	m := text("again")
	publish(t, s, m)
	expect(t, f, m)
}

// TestSlowReader: what does not fit is dropped and signalled; the rest comes
// in order, and the network went on.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service})
	slow := start(t, Config{Mode: Full, Peers: infos(s), Queue: 4})
	want(t, slow)
	awaitMesh(t, slow, s)
	quick := full(t, slow)
	drainGaps(slow)
	var sent []*wakuMessage
	for range 12 {
		m := text("flood")
		sent = append(sent, m)
		publish(t, s, m)
		expect(t, quick, m) // past the slow one
	}
	expectGap(t, slow, time.Now())
	// Four wait, and perhaps one is on its way to the reader.
	var got []string
	for range 4 {
		got = append(got, string((<-slow.Envelopes()).Message.Payload))
	}
	last := text("after")
	publish(t, s, last)
	for len(got) == 0 || got[len(got)-1] != string(last.Payload) {
		select {
		case e := <-slow.Envelopes():
			got = append(got, string(e.Message.Payload))
		case <-time.After(patience):
			t.Fatal("nothing comes after the flood")
		}
	}
	if len(got) > len(sent) {
		t.Errorf("a gap was signalled, but all %d messages came", len(got))
	}
	next := 0
	for _, m := range append(sent, last) {
		if next < len(got) && got[next] == string(m.Payload) {
			next++
		}
	}
	if next != len(got) {
		t.Errorf("out of order: %q", got)
	}
}

func drainGaps(n *Node) {
	select {
	case <-n.Gaps():
	default:
	}
}
