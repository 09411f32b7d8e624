package node

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
)

// TestWithout: what is left out is not served and not told of; what is left
// works.
func TestWithout(t *testing.T) {
	t.Parallel()
	relayIDs := []protocol.ID{relay.ProtocolID}
	filterIDs := []protocol.ID{filter.SubscribeID}
	pushIDs := []protocol.ID{lightpush.ProtocolV2, lightpush.ProtocolV3}
	storeIDs := []protocol.ID{store.ProtocolID}
	for name, c := range map[string]struct {
		without  Without
		has, not [][]protocol.ID
	}{
		"nothing":   {Without{}, [][]protocol.ID{relayIDs, filterIDs, pushIDs, storeIDs}, nil},
		"filter":    {Without{Filter: true}, [][]protocol.ID{relayIDs, pushIDs, storeIDs}, [][]protocol.ID{filterIDs}},
		"lightpush": {Without{Lightpush: true}, [][]protocol.ID{relayIDs, filterIDs, storeIDs}, [][]protocol.ID{pushIDs}},
		"store":     {Without{Store: true}, [][]protocol.ID{relayIDs, filterIDs, pushIDs}, [][]protocol.ID{storeIDs}},
		"both":      {Without{Filter: true, Lightpush: true}, [][]protocol.ID{relayIDs, storeIDs}, [][]protocol.ID{filterIDs, pushIDs}},
		"all but store": {Without{Relay: true, Filter: true, Lightpush: true}, [][]protocol.ID{storeIDs},
			[][]protocol.ID{relayIDs, filterIDs, pushIDs}},
	} {
		cfg := Config{Mode: Service, Cluster: 16, Shards: []uint16{32}, Without: c.without}
		if !c.without.Store {
			cfg.Archive = archiveFor(t)
		}
		n, err := New(cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := n.Status().Protocols
		for _, id := range slices.Concat(c.has...) {
			if !slices.Contains(got, string(id)) {
				t.Errorf("without %s: no %s", name, id)
			}
		}
		for _, id := range slices.Concat(c.not...) {
			if slices.Contains(got, string(id)) {
				t.Errorf("without %s: %s", name, id)
			}
		}
		if in := n.ownMetadata(); !slices.Equal(in.Shards, []uint16{32}) {
			t.Errorf("without %s: shards %v", name, in.Shards)
		}
		if err := n.Close(); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestSenselessServices(t *testing.T) {
	t.Parallel()
	archive := &faultyArchive{}
	for name, c := range map[string]struct {
		cfg Config
		why string
	}{
		"light":                   {Config{Mode: Light, Without: Without{Filter: true}}, "light"},
		"filter without relay":    {Config{Mode: Service, Archive: archive, Without: Without{Relay: true, Lightpush: true}}, "filter"},
		"lightpush without relay": {Config{Mode: Service, Archive: archive, Without: Without{Relay: true, Filter: true}}, "lightpush"},
		"nothing at all":          {Config{Mode: Service, Without: Without{true, true, true, true}}, "archive"},
		"full without anything":   {Config{Mode: Full, Without: Without{Relay: true, Filter: true, Lightpush: true}}, "archive"},
		"archive without store":   {Config{Mode: Service, Archive: archive, Without: Without{Store: true}}, "store"},
		"service without archive": {Config{Mode: Service}, "archive"},
	} {
		if c.cfg.Mode.relays() {
			c.cfg.Shards = []uint16{32}
		}
		if _, err := New(c.cfg); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStoreAlone: a node with an archive and no relay gets what it subscribes
// to by filter, keeps it and answers for it; it publishes by lightpush.
func TestStoreAlone(t *testing.T) {
	t.Parallel()
	relays := start(t, Config{Mode: Service})
	s := start(t, Config{
		Mode: Service, Shards: []uint16{32}, Peers: infos(relays),
		Without: Without{Relay: true, Filter: true, Lightpush: true},
	})
	want(t, s)
	awaitSubscriber(t, relays, s)
	f := full(t, relays)
	m := text("by filter")
	publish(t, f, m)
	expect(t, s, m)
	own := text("own")
	publish(t, s, own)
	expect(t, f, own)
	asks := start(t, Config{Mode: Light, Peers: infos(s)})
	awaitPeer(t, asks, s.h.ID())
	both := []message.Hash{message.HashOf(shard32, m), message.HashOf(shard32, own)}
	eventually.True(t, "the messages in the archive", func() bool {
		page, err := store.NewClient(asks.h).Query(t.Context(), s.h.ID(), &store.Query{Hashes: both})
		return err == nil && len(page.Messages) == 2
	})
	if err := s.JoinShard(shard32); !errors.Is(err, ErrSubscription) {
		t.Errorf("relays after all: %v", err)
	}
	if got := s.RelayTopics(); got != nil {
		t.Errorf("relays %v", got)
	}
}
