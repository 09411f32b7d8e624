package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/storetest"
)

var (
	benchRows = flag.Int("rows", 1_000_000, "messages in the archive that BenchmarkQuery asks")
	benchDays = flag.Int("days", 30, "days they are spread over")
)

const benchTopics = 10

// BenchmarkQuery asks an archive of benchRows messages of 1 KB on 10 content
// topics, over benchDays partitions, while ten messages a second come in. The
// metrics are of single queries.
func BenchmarkQuery(b *testing.B) {
	ctx := context.Background()
	s := tuned(b)
	a := open(b, s.URL("postgres"), postgres.Config{})
	step := time.Duration(*benchDays) * 24 * time.Hour / time.Duration(*benchRows)
	const group = 5000
	var hashes []message.Hash
	start, busy := time.Now(), time.Duration(0)
	for n := 0; n < *benchRows; n += group {
		entries := batch(n, group, 1024, benchTopics, step)
		before := time.Now()
		if err := a.Insert(ctx, entries...); err != nil {
			b.Fatal(err)
		}
		busy += time.Since(before)
		for i := 0; i < group; i += max(10, *benchRows/100_000) {
			hashes = append(hashes, entries[i].Hash)
		}
	}
	b.Logf("filled in %s, %.0f rows/s in Insert", time.Since(start), float64(*benchRows)/busy.Seconds())
	before := time.Now()
	stats, err := a.Stats(ctx)
	if err != nil || stats.Messages != int64(*benchRows) {
		b.Fatal(stats.Messages, err)
	}
	b.Logf("%d bytes a message, Stats took %s", stats.Bytes/stats.Messages, time.Since(before))
	defer trickle(b, a)()

	rng := rand.New(rand.NewPCG(1, 1))
	end := benchBase + int64(*benchRows)*int64(step)
	anywhere := func() int64 { return benchBase + rng.Int64N(end-benchBase) }
	page := func(topics int, data bool) store.Query {
		q := store.Query{IncludeData: data, PubsubTopic: storetest.Pubsub, Limit: store.MaxPage, Forward: rng.IntN(2) == 0}
		for i := range topics {
			q.ContentTopics = append(q.ContentTopics, benchTopic((i+rng.IntN(benchTopics))%max(benchTopics, topics)))
		}
		if at := anywhere(); q.Forward {
			q.TimeStart = min(at, end-(end-benchBase)/50)
		} else {
			q.TimeEnd = max(at, benchBase+(end-benchBase)/50)
		}
		return q
	}
	lookup := func(n int, data bool) store.Query {
		q := store.Query{IncludeData: data}
		for range n {
			q.Hashes = append(q.Hashes, hashes[rng.IntN(len(hashes))])
		}
		return q
	}
	for _, c := range []struct {
		name string
		make func() store.Query
	}{
		{"page,topics=1,data", func() store.Query { return page(1, true) }},
		{"page,topics=1,hashes", func() store.Query { return page(1, false) }},
		{"page,topics=10,data", func() store.Query { return page(10, true) }},
		{"page,topics=256,data", func() store.Query { return page(256, true) }},
		{"page,cursor,data", func() store.Query {
			q := page(1, true)
			q.TimeStart, q.TimeEnd, q.Forward = 0, 0, true
			q.Cursor = &hashes[rng.IntN(len(hashes)*9/10)]
			return q
		}},
		{"page,everything,data", func() store.Query {
			q := page(0, true)
			q.PubsubTopic = ""
			return q
		}},
		{"lookup=100,data", func() store.Query { return lookup(100, true) }},
		{"lookup=100,hashes", func() store.Query { return lookup(100, false) }},
		{"lookup=1,data", func() store.Query { return lookup(1, true) }},
		{"lookup=100,absent", func() store.Query {
			q := store.Query{Hashes: make([]message.Hash, 100)}
			for i := range q.Hashes {
				q.Hashes[i] = message.Hash{byte(rng.Uint32()), byte(rng.Uint32()), byte(i)}
			}
			return q
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var times []time.Duration
			for b.Loop() {
				q := c.make()
				start := time.Now()
				page, err := a.Query(ctx, &q)
				if err != nil {
					b.Fatal(err)
				}
				if len(q.Hashes) == 0 && len(page.Messages) != store.MaxPage {
					b.Fatalf("%+v: %d messages", q, len(page.Messages))
				}
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
			b.ReportMetric(ms(times[len(times)/2]), "p50-ms")
			b.ReportMetric(ms(times[len(times)*95/100]), "p95-ms")
		})
	}
	before = time.Now()
	n := 0
	for _, err := range a.IDs(ctx, store.Span{Start: 1, End: end}) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.Logf("%d ids listed in %s", n, time.Since(before))
	before = time.Now()
	pruned, err := a.Prune(ctx, store.Retention{Age: time.Duration(*benchDays) * 12 * time.Hour}, time.Unix(0, end))
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("half of it pruned in %s: %+v", time.Since(before), pruned)
}

// BenchmarkSlowTraffic asks an archive whose messages came five at a time.
func BenchmarkSlowTraffic(b *testing.B) {
	ctx := context.Background()
	s, err := postgrestest.Start("shared_buffers=1GB", "max_wal_size=8GB", "synchronous_commit=off")
	postgrestest.Check(b, err)
	b.Cleanup(func() { _ = s.Stop() })
	a := open(b, s.URL("postgres"), postgres.Config{})
	const n = 100_000
	step := 30 * 24 * time.Hour / n
	start := time.Now()
	for i := 0; i < n; i += 5 {
		if err := a.Insert(ctx, batch(i, 5, 1024, benchTopics, step)...); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("filled in %s", time.Since(start))
	rng := rand.New(rand.NewPCG(1, 1))
	var times []time.Duration
	for b.Loop() {
		q := store.Query{IncludeData: true, PubsubTopic: storetest.Pubsub, ContentTopics: []string{benchTopic(rng.IntN(benchTopics))},
			Limit: store.MaxPage, Forward: true, TimeStart: benchBase + rng.Int64N(n/2)*int64(step)}
		before := time.Now()
		page, err := a.Query(ctx, &q)
		if err != nil || len(page.Messages) != store.MaxPage {
			b.Fatal(len(page.Messages), err)
		}
		times = append(times, time.Since(before))
	}
	all, single, err := a.Consistent(ctx)
	if err != nil {
		b.Fatal(err)
	}
	stats, err := a.Stats(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d chunks of all topics, %d of single ones, %d bytes a message", all, single, stats.Bytes/stats.Messages)
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*95/100])/1e6, "p95-ms")
}

// trickle inserts ten messages a second until the function it returns is
// called.
func trickle(b *testing.B, a *postgres.Archive) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		ticks := time.NewTicker(100 * time.Millisecond)
		defer ticks.Stop()
		for i := 0; ; i++ {
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return
			}
			m := storetest.Message(benchTopic(i%benchTopics), time.Now().UnixNano(), fmt.Sprint(i))
			if err := a.Insert(context.Background(), store.NewEntry(storetest.Pubsub, m)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}
