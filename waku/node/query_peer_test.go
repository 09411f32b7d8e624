package node

import (
	"errors"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// Store peers can be asked one by one, and each answers for itself.
func TestQueryPeer(t *testing.T) {
	t.Parallel()
	s, other := start(t, Config{Mode: Service}), start(t, Config{Mode: Service})
	gone := start(t, Config{Mode: Service})
	goneInfo := info(gone.h)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	m := text("kept by one")
	publish(t, light(t, s), m)
	known := append([]peer.AddrInfo{goneInfo}, infos(s, other)...)
	asks := start(t, Config{Mode: Light, StorePeers: known})
	awaitStored(t, asks, m)
	var want []peer.ID
	for _, k := range known {
		want = append(want, k.ID)
	}
	if got := asks.StorePeers(shard32); !slices.Equal(got, want) {
		t.Errorf("%v are asked, not %v", got, want)
	}
	q := &store.Query{Hashes: []message.Hash{message.HashOf(shard32, m)}}
	for p, want := range map[*Node]int{s: 1, other: 0} {
		page, err := asks.QueryPeer(t.Context(), p.h.ID(), q)
		if err != nil || len(page.Messages) != want {
			t.Errorf("%v, %v, not %d messages", page, err, want)
		}
	}
	if _, err := asks.QueryPeer(t.Context(), goneInfo.ID, q); err == nil {
		t.Error("somebody who is gone answers")
	}
	if _, err := asks.QueryPeer(t.Context(), s.h.ID(), &store.Query{ContentTopics: []string{content}}); !errors.Is(err, store.ErrQuery) {
		t.Errorf("a wrong query: %v", err)
	}
}
