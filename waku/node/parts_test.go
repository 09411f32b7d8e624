package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/parley-im/parley/internal/eventually"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/relay"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	someone := peer.AddrInfo{ID: "x"}
	many := make([]uint16, MaxShards+1)
	for i := range many {
		many[i] = uint16(i)
	}
	archive := &faultyArchive{}
	for name, cfg := range map[string]Config{
		"no mode":               {},
		"unknown mode":          {Mode: "heavy", Shards: []uint16{1}},
		"full without shards":   {Mode: Full},
		"service, no archive":   {Mode: Service, Shards: []uint16{1}},
		"light with archive":    {Mode: Light, Archive: archive},
		"shard too high":        {Mode: Full, Shards: []uint16{metadata.MaxShard + 1}},
		"too many shards":       {Mode: Full, Shards: many},
		"no listen address":     {Mode: Light, Listen: []string{"127.0.0.1:80"}},
		"no announce address":   {Mode: Light, Announce: []string{"host"}},
		"peer without address":  {Mode: Light, Peers: []peer.AddrInfo{someone}},
		"store without address": {Mode: Light, StorePeers: []peer.AddrInfo{someone}},
		"negative redial":       {Mode: Light, Redial: -1},
		"negative queue":        {Mode: Light, Queue: -1},
		"negative push rate":    {Mode: Light, FilterPushRate: -1},
		"negative frames":       {Mode: Light, MaxFrame: -1},
		"small frames":          {Mode: Light, MaxFrame: relay.DefaultMaxFrame - 1},
		"large frames":          {Mode: Light, MaxFrame: relay.MaxFrame + 1},
	} {
		if n, err := New(cfg); !errors.Is(err, ErrConfig) || n != nil {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for name, cfg := range map[string]Config{
		"light":          {Mode: Light},
		"most shards":    {Mode: Full, Shards: many[:MaxShards]},
		"highest shard":  {Mode: Full, Shards: []uint16{metadata.MaxShard}},
		"smallest frame": {Mode: Light, MaxFrame: relay.DefaultMaxFrame},
		"largest frame":  {Mode: Light, MaxFrame: relay.MaxFrame},
		"full archiving": {Mode: Full, Shards: []uint16{1}, Archive: archive},
		"service":        {Mode: Service, Shards: []uint16{1}, Archive: archive},
	} {
		if _, err := cfg.complete(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := Config{Mode: Full, Shards: []uint16{64, 32, 64}}.complete()
	if err != nil || !slices.Equal(got.Shards, []uint16{32, 64}) || !slices.Equal(got.Listen, []string{DefaultListen}) {
		t.Errorf("completed to %+v, error %v", got, err)
	}
}

func TestListening(t *testing.T) {
	t.Parallel()
	if n := start(t, Config{Mode: Light, Listen: []string{}}); len(n.Addrs()) != 0 {
		t.Errorf("listens on %v", n.Addrs())
	}
	n := start(t, Config{Mode: Light, Announce: []string{"/dns4/node.example.org/tcp/443/wss"}})
	if want := "/dns4/node.example.org/tcp/443/wss/p2p/" + n.h.ID().String(); !slices.Equal(n.Addrs(), []string{want}) {
		t.Errorf("announces %v", n.Addrs())
	}
	q := start(t, Config{Mode: Full, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}})
	l := start(t, Config{Mode: Light, Listen: []string{}, Peers: infos(q)})
	awaitPeer(t, l, q.h.ID())
}

func TestQueue(t *testing.T) {
	t.Parallel()
	q := newQueue(3)
	for i := range 4 {
		e := Envelope{PubsubTopic: fmt.Sprint(i), Message: text("x")}
		if ok := q.push(e); ok != (i < 3) {
			t.Errorf("push %d: %v", i, ok)
		}
	}
	for i := range 3 {
		if e, ok := q.pop(); !ok || e.PubsubTopic != fmt.Sprint(i) {
			t.Errorf("pop %d: %v, %v", i, e, ok)
		}
	}
	if _, ok := q.pop(); ok || q.bytes != 0 {
		t.Errorf("an empty queue gives; %d bytes", q.bytes)
	}
	// The bytes are bounded too, but one envelope always fits.
	huge := &wakupb.WakuMessage{Payload: make([]byte, maxQueueBytes)}
	if !q.push(Envelope{Message: huge}) {
		t.Error("a single envelope does not fit")
	}
	if q.push(Envelope{Message: text("x")}) {
		t.Error("more bytes than the bound fit")
	}
}

func TestGapsMelt(t *testing.T) {
	t.Parallel()
	g := newGaps()
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	for _, order := range [][]time.Time{{early, late}, {late, early}} {
		for _, since := range order {
			g.add(since)
		}
		if got := <-g.out; !got.Equal(early) {
			t.Errorf("gap since %v", got)
		}
		select {
		case got := <-g.out:
			t.Errorf("another gap since %v", got)
		default:
		}
	}
	g.close()
	g.add(early) // must not panic
	g.close()
}

func TestSeen(t *testing.T) {
	t.Parallel()
	const limit = 100
	s := newSeen(limit)
	hash := func(i int) message.Hash { return message.Hash{byte(i), byte(i >> 8)} }
	for i := range 1000 {
		if !s.add(hash(i)) {
			t.Fatalf("%d is known", i)
		}
		for j := max(0, i-limit/2+1); j <= i; j += 7 {
			if s.add(hash(j)) {
				t.Fatalf("%d is forgotten at %d", j, i)
			}
		}
		if n := len(s.old) + len(s.recent); n > limit {
			t.Fatalf("%d hashes kept", n)
		}
	}
	s.remove(hash(999))
	if !s.add(hash(999)) {
		t.Error("a removed hash is known")
	}
}

func TestLapses(t *testing.T) {
	t.Parallel()
	l := lapses{since: make(map[string]time.Time)}
	if _, ok := l.end("t"); ok {
		t.Error("a lapse that never began")
	}
	l.begin("t", time.Unix(1, 0))
	l.begin("t", time.Unix(2, 0))
	if since, ok := l.end("t"); !ok || !since.Equal(time.Unix(1, 0)) {
		t.Errorf("lapse since %v, %v", since, ok)
	}
	if _, ok := l.end("t"); ok {
		t.Error("a lapse that ended")
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	f := failures{at: make(map[peer.ID]time.Time)}
	now := time.Unix(1000, 0)
	f.note("p", true, now)
	if !f.lately("p", now.Add(failureMemory)) || f.lately("p", now.Add(failureMemory+1)) || f.lately("q", now) {
		t.Error("wrong memory")
	}
	f.note("q", true, now.Add(2*failureMemory))
	if len(f.at) != 1 {
		t.Errorf("%d failures remembered", len(f.at))
	}
	f.note("q", false, now.Add(2*failureMemory))
	if f.lately("q", now.Add(2*failureMemory)) {
		t.Error("a success is a failure")
	}
}

// TestFailedServiceComesLast: the order in which services are tried.
func TestFailedServiceComesLast(t *testing.T) {
	t.Parallel()
	s1, s2 := start(t, Config{Mode: Service}), start(t, Config{Mode: Service, Shards: []uint16{33}})
	s3 := start(t, Config{Mode: Service})
	l := start(t, Config{Mode: Light, Peers: infos(s1, s2, s3)})
	for _, s := range []*Node{s1, s2, s3} {
		awaitPeer(t, l, s.h.ID())
	}
	l.failures.note(s3.h.ID(), true, time.Now())
	for range 10 {
		got := l.pushCandidates(shard32)
		if want := []peer.ID{s1.h.ID(), s2.h.ID(), s3.h.ID()}; !slices.Equal(got, want) {
			t.Fatalf("order %v, want %v", got, want)
		}
	}
	// s2 refuses the shard; the other two take the message.
	if took, err := l.Publish(t.Context(), shard32, text("x")); err != nil || took != 2 {
		t.Fatalf("%d services took it, error %v", took, err)
	}
}

func TestSuspension(t *testing.T) {
	t.Parallel()
	var since []time.Time
	k := &keeper{suspended: func(s time.Time) { since = append(since, s) }}
	t0 := time.Unix(1000, 0)
	if got := k.noteTime(t0, t0.Add(suspendedAfter)); !got.Equal(t0.Add(suspendedAfter)) || since != nil {
		t.Errorf("suspended since %v", since)
	}
	k.noteTime(t0, t0.Add(suspendedAfter+1))
	if len(since) != 1 || !since[0].Equal(t0) {
		t.Errorf("suspended since %v", since)
	}
}

// TestSilentPeerIsDisconnected: one that does not answer pings.
func TestSilentPeerIsDisconnected(t *testing.T) {
	t.Parallel()
	mn, err := mocknet.FullMeshConnected(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mn.Close() })
	a, silent, good := mn.Hosts()[0], mn.Hosts()[1], mn.Hosts()[2]
	silent.SetStreamHandler(ping.ID, func(s network.Stream) { _ = s.Reset() })
	_ = ping.NewPingService(good)
	k := newKeeper(a, time.Second, discardLogger())
	defer k.close()
	pingBoth := func() {
		k.ping(silent.ID())
		k.ping(good.ID())
	}
	for range pingFailures - 1 {
		pingBoth()
	}
	if a.Network().Connectedness(silent.ID()) != network.Connected {
		t.Fatal("disconnected too early")
	}
	pingBoth()
	eventually.True(t, "disconnected", func() bool { return a.Network().Connectedness(silent.ID()) != network.Connected })
	if a.Network().Connectedness(good.ID()) != network.Connected {
		t.Error("an answering peer was disconnected")
	}
}
