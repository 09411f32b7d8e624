package node

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/store"
)

// TestObserver: every service tells of what it does, and the counts agree.
func TestObserver(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	exchanges := make(map[protocol.ID]int)
	pushed, archived := 0, 0
	count := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}
	s := start(t, Config{Mode: Service, Observe: Observer{
		Exchange: func(x rpc.Exchange) {
			count(func() {
				if x.Status == 200 && x.Err == nil {
					exchanges[x.Protocol]++
				}
			})
		},
		Pushed: func(p filter.Push) {
			count(func() {
				if p.Err == nil {
					pushed++
				}
			})
		},
		Archived: func(n int, _ time.Duration, err error) {
			count(func() {
				if err == nil {
					archived += n
				}
			})
		},
	}})
	l, f := light(t, s), full(t, s)
	sent := []*wakuMessage{text("one"), text("two")}
	for _, m := range sent {
		publish(t, l, m)
		expect(t, f, m)
	}
	back := text("back")
	publish(t, f, back)
	expect(t, l, back)
	awaitStored(t, l, append(sent, back)...)
	eventually.True(t, "all told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return exchanges[lightpush.ProtocolV3] == 2 && exchanges[store.ProtocolID] > 0 && exchanges[filter.SubscribeID] > 0 &&
			exchanges[metadata.ProtocolID] > 0 && pushed > 0 && archived == 3
	})
	st := s.Stats()
	if st.Relay == nil || st.Relay.Topics[shard32].Delivered != 1 || st.Relay.Topics[shard32].Published != 2 {
		t.Errorf("relay %+v", st.Relay)
	}
	if st.Filter == nil || st.Filter.Subscribers != 1 || st.Filter.Pushed == 0 {
		t.Errorf("filter %+v", st.Filter)
	}
	if st.Lightpush == nil || st.Metadata == nil || st.Metadata.Known != 2 || st.Archive == nil || st.Archive.Written != 3 {
		t.Errorf("others %+v", st)
	}
	if subs := s.Subscriptions(); len(subs) != 1 || subs[0].Peer != l.h.ID() || len(subs[0].Criteria[shard32]) != 1 {
		t.Errorf("subscriptions %+v", subs)
	}
	if in, ok := s.Metadata(f.h.ID()); !ok || len(in.Shards) != 1 {
		t.Errorf("metadata %+v, %v", in, ok)
	}
	bare := start(t, Config{Mode: Full, Without: Without{Filter: true, Lightpush: true}})
	if st := bare.Stats(); st.Filter != nil || st.Lightpush != nil || st.Archive != nil || bare.Subscriptions() != nil {
		t.Errorf("of what is not mounted: %+v", st)
	}
}

// TestRateLimits: the node's limits are those of its services.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	one := rpc.Rate{PerSecond: 1e-6, Burst: 1}
	s := start(t, Config{Mode: Service, Limits: Limits{Store: one, Lightpush: one, Filter: one}})
	l := start(t, Config{Mode: Light, Peers: infos(s)})
	awaitPeer(t, l, s.h.ID())
	for i, want := range []error{nil, lightpush.ErrTooManyRequests} {
		if _, err := lightpush.Push(t.Context(), l.h, s.h.ID(), shard32, text("x")); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("lightpush %d: %v", i, err)
		}
	}
	for i, ok := range []bool{true, false} {
		if _, err := query(t.Context(), l); (err == nil) != ok {
			t.Errorf("query %d: %v", i, err)
		}
	}
	// The filter client asks once, and again to ping.
	want(t, l)
	awaitSubscriber(t, s, l)
	if err := l.Subscribe(t.Context(), map[string][]string{shard32: {content, "/waku/1/0x00000009/rfc26"}}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the refusal", func() bool { return s.Stats().Filter.Limited > 0 })
}

// TestRelayRules: the rules of the relay are the node's, for what is published
// here, for light clients and by others.
func TestRelayRules(t *testing.T) {
	t.Parallel()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	protected := map[string]key.Public{shard32: k.Public()}
	s := start(t, Config{Mode: Service, Protected: protected, TimeWindow: message.MaxSkew})
	f := full(t, s)
	l := light(t, s)
	unsigned := text("unsigned")
	if _, err := s.Publish(t.Context(), shard32, unsigned); !errors.Is(err, ErrInvalid) || !errors.Is(err, relay.ErrSignature) {
		t.Errorf("published: %v", err)
	}
	if _, err := l.Publish(t.Context(), shard32, unsigned); !errors.Is(err, lightpush.ErrInvalidMessage) {
		t.Errorf("pushed: %v", err)
	}
	publish(t, f, unsigned)
	signed := text("signed")
	if err := relay.Sign(k, shard32, signed); err != nil {
		t.Fatal(err)
	}
	publish(t, f, signed)
	expect(t, l, signed)
	old := message.New([]byte("old"), content, time.Now().Add(-time.Hour), false)
	if err := relay.Sign(k, shard32, old); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(t.Context(), shard32, old); !errors.Is(err, ErrInvalid) || !errors.Is(err, relay.ErrTimestamp) {
		t.Errorf("old: %v", err)
	}
	for name, cfg := range map[string]Config{
		"window": {Mode: Light, TimeWindow: time.Second}, "negative": {Mode: Full, Shards: []uint16{1}, TimeWindow: -1},
		"keys": {Mode: Light, Protected: protected},
	} {
		if _, err := cfg.complete(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
