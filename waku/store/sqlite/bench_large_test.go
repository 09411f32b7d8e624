package sqlite

import (
	"context"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/storetest"
)

// largeArchive returns an archive of largeMessages in a month.
func largeArchive(b *testing.B) (a *Archive, base, step int64) {
	now := time.Now().UnixNano()
	step = int64(30*24*time.Hour) / largeMessages
	base = now - largeMessages*step - int64(12*time.Hour) // room for what comes in
	a = openTest(b, filepath.Join(b.TempDir(), "store"))
	start := time.Now()
	for n := 0; n < largeMessages; n += benchBatch {
		entries := make([]store.Entry, benchBatch)
		for i := range entries {
			entries[i] = benchEntry(n+i, largePayload, largeTopics, base, step)
		}
		if err := a.Insert(context.Background(), entries...); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d messages in %s", largeMessages, time.Since(start))
	return a, base, step
}

// BenchmarkLarge asks a node over loopback for pages of 100 messages and for
// 100 hashes at random places of a large archive, while 10 messages a second
// come in. It takes minutes.
func BenchmarkLarge(b *testing.B) {
	a, base, step := largeArchive(b)
	h, other := rpctest.Sockets(b)
	s := store.NewService(other, a, store.ServiceConfig{})
	b.Cleanup(func() { _ = s.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for n := largeMessages; ; n++ {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			e := benchEntry(n, largePayload, largeTopics, base, step)
			if err := a.Insert(context.Background(), e); err != nil {
				b.Error(err)
			}
		}
	}()
	b.Cleanup(func() { cancel(); <-stopped })
	rng := rand.New(rand.NewPCG(3, 3))
	at := func() store.Entry {
		return benchEntry(rng.IntN(largeMessages-1000), largePayload, largeTopics, base, step)
	}
	c := store.NewClient(h)
	for _, kind := range []struct {
		name string
		make func() *store.Query
	}{
		{"page", func() *store.Query {
			e := at()
			return &store.Query{IncludeData: true, Limit: store.MaxPage, Forward: rng.IntN(2) == 0, TimeStart: e.Message.GetTimestamp(), PubsubTopic: storetest.Pubsub, ContentTopics: []string{e.Message.ContentTopic}}
		}},
		{"cursor", func() *store.Query {
			e := at()
			return &store.Query{IncludeData: true, Limit: store.MaxPage, Forward: true, Cursor: &e.Hash, PubsubTopic: storetest.Pubsub, ContentTopics: []string{e.Message.ContentTopic}}
		}},
		{"alltopics", func() *store.Query {
			e := at()
			q := &store.Query{IncludeData: true, Limit: store.MaxPage, Forward: true, Cursor: &e.Hash, PubsubTopic: storetest.Pubsub}
			for i := range largeTopics {
				q.ContentTopics = append(q.ContentTopics, benchEntry(i, 8, largeTopics, base, step).Message.ContentTopic)
			}
			return q
		}},
		{"hashes", func() *store.Query { return &store.Query{Hashes: someHashes(at), IncludeData: true} }},
		{"presence", func() *store.Query { return &store.Query{Hashes: someHashes(at)} }},
	} {
		b.Run(kind.name, func(b *testing.B) { measure(b, c, other.ID(), kind.make) })
	}
}

func someHashes(at func() store.Entry) []message.Hash {
	chosen := make(map[message.Hash]bool)
	for len(chosen) < store.MaxHashes {
		chosen[at().Hash] = true
	}
	return slices.Collect(maps.Keys(chosen))
}

// measure reports the median and the 95th percentile of queries that all have
// 100 results.
func measure(b *testing.B, c *store.Client, p peer.ID, ask func() *store.Query) {
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		q := ask()
		b.StartTimer()
		start := time.Now()
		page, err := c.Query(context.Background(), p, q)
		took = append(took, time.Since(start))
		if err != nil || len(page.Messages) != store.MaxPage {
			b.Fatal(err, len(page.Messages))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1e3, "p95-ms")
}

// BenchmarkRoundTrip asks a node for a page of 100 messages over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	h, other := rpctest.Sockets(b)
	a := openTest(b, "")
	keep(b, a, batch(1, 512, 50)...)
	s := store.NewService(other, a, store.ServiceConfig{})
	b.Cleanup(func() { _ = s.Close() })
	measure(b, store.NewClient(h), other.ID(), func() *store.Query { return &store.Query{IncludeData: true, Limit: store.MaxPage} })
}
