package peerexchange

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/discovery"
)

// sample draws at most n records that are not p's.
func sample(c *Cache, n int, p peer.ID) (out []*discovery.Record) {
	c.draw(n, p, func(e *cached) { out = append(out, e.r) })
	return out
}

// TestCacheExpires: a record is given until an hour after it was found last.
func TestCacheExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheConfig{Cluster: 16})
		a, b := build(t, 1, describe(1)), build(t, 2, describe(1))
		c.Add(a)
		c.Add(b)
		<-time.After(DefaultExpiry / 2)
		c.Add(a)
		<-time.After(DefaultExpiry/2 - 1)
		if c.Len() != 2 {
			t.Errorf("%d records a moment before", c.Len())
		}
		<-time.After(1)
		if got := sample(c, 10, ""); len(got) != 1 || got[0].PeerID != a.PeerID || c.Len() != 1 {
			t.Errorf("%d records", len(got))
		}
		<-time.After(DefaultExpiry)
		if c.Len() != 0 || len(c.byID) != 0 || c.byAge.Len() != 0 {
			t.Errorf("%d records, %d by id, %d by age", c.Len(), len(c.byID), c.byAge.Len())
		}
		c.Add(b)
		if c.Len() != 1 {
			t.Error("an expired record does not come back")
		}
	})
}

// TestCacheSize: the oldest record makes room.
func TestCacheSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(CacheConfig{Cluster: 16, Size: 3})
		for _, seed := range []int{1, 2, 3, 1, 4} { // 1 is found again, 2 is the oldest
			c.Add(build(t, seed, describe(1)))
			<-time.After(time.Second)
		}
		left := make(map[peer.ID]bool)
		for _, r := range sample(c, 10, "") {
			left[r.PeerID] = true
		}
		if c.Len() != 3 || !left[id(t, 1)] || !left[id(t, 3)] || !left[id(t, 4)] {
			t.Errorf("left: %v", left)
		}
	})
}

// TestCacheNewest: of a node's records the newest one stays.
func TestCacheNewest(t *testing.T) {
	t.Parallel()
	c := NewCache(CacheConfig{Cluster: 16})
	for _, seq := range []uint64{5, 7, 6} {
		c.Add(build(t, 1, describe(seq)))
	}
	if got := sample(c, 10, ""); len(got) != 1 || got[0].Seq != 7 {
		t.Errorf("%+v", got)
	}
}

func TestCacheRefuses(t *testing.T) {
	t.Parallel()
	c := NewCache(CacheConfig{Cluster: 16})
	other, silent, idle := describe(1), describe(1), describe(1)
	other.Cluster, silent.Multiaddrs, idle.Capabilities = 1, nil, discovery.Capabilities{}
	for seed, d := range []discovery.Description{other, silent, idle} {
		c.Add(build(t, seed, d))
	}
	made := *build(t, 9, describe(1))
	c.Add(&discovery.Record{PeerID: made.PeerID, Cluster: made.Cluster, Capabilities: made.Capabilities, Multiaddrs: made.Multiaddrs})
	if c.Len() != 0 {
		t.Errorf("%d records kept", c.Len())
	}
}

// TestSample: each node once, not the one who asks, and not always the same.
func TestSample(t *testing.T) {
	t.Parallel()
	c := fill(t, 20)
	for _, n := range []struct{ ask, want int }{{0, 0}, {1, 1}, {19, 19}, {20, 19}, {1000, 19}} {
		seen := make(map[peer.ID]bool)
		for _, r := range sample(c, n.ask, id(t, 7)) {
			seen[r.PeerID] = true
		}
		if len(seen) != n.want || seen[id(t, 7)] {
			t.Errorf("of %d: %d", n.ask, len(seen))
		}
	}
	drawn := make(map[peer.ID]int)
	const rounds = 2000
	for range rounds {
		for _, r := range sample(c, 5, "") {
			drawn[r.PeerID]++
		}
	}
	// 500 of each are expected, with a deviation of 20.
	for p, n := range drawn {
		if n < 300 || n > 700 {
			t.Errorf("%s was drawn %d times of %d", p, n, rounds)
		}
	}
	if len(drawn) != 20 {
		t.Errorf("%d of 20 were drawn", len(drawn))
	}
}

func BenchmarkCacheAdd(b *testing.B) {
	records := make([]*discovery.Record, 2*DefaultCacheSize)
	for i := range records {
		records[i] = build(b, i, describe(1))
	}
	c := NewCache(CacheConfig{Cluster: 16})
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		c.Add(records[i%len(records)])
		i++
	}
}

func BenchmarkSample(b *testing.B) {
	c := fill(b, DefaultCacheSize)
	b.ReportAllocs()
	for b.Loop() {
		sample(c, MaxPeers, "")
	}
}
