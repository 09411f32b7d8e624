package postgres_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/storetest"
)

// benchBase is the time of the first entry of benchmarks, recent enough for
// partitions of a day.
var benchBase = time.Now().Add(-31 * 24 * time.Hour).UnixNano()

// batch returns entries first to first+n of an archive: payloads of size bytes
// that do not compress, on some content topics in turn, step apart.
func batch(first, n, size, topics int, step time.Duration) []store.Entry {
	rng := rand.New(rand.NewPCG(uint64(first), 2))
	out := make([]store.Entry, n)
	for i := range out {
		payload := make([]byte, 0, size+8)
		for len(payload) < size {
			payload = binary.LittleEndian.AppendUint64(payload, rng.Uint64())
		}
		at := benchBase + int64(first+i)*int64(step)
		out[i] = store.NewEntry(storetest.Pubsub, &wakupb.WakuMessage{
			Payload: payload[:size], ContentTopic: benchTopic((first + i) % topics), Version: proto.Uint32(1), Timestamp: &at,
		})
	}
	return out
}

func benchTopic(i int) string { return fmt.Sprintf("/waku/1/0x%08x/rfc26", i) }

// tuned starts a server as the package's documentation recommends.
func tuned(b *testing.B) *postgrestest.Server {
	b.Helper()
	s, err := postgrestest.Start("shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min")
	postgrestest.Check(b, err)
	b.Cleanup(func() { _ = s.Stop() })
	return s
}

func connect(b *testing.B, url string) *pgx.Conn {
	b.Helper()
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// BenchmarkInsert inserts batches of entries with 1 KB payloads, each batch
// also into a table without keys and indexes: by the archive's own means, and
// by pgx's CopyFrom. The metrics are medians, but for the last, which is of sums.
func BenchmarkInsert(b *testing.B) {
	ctx := context.Background()
	s := tuned(b)
	for _, size := range []int{1000, 4000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			schema := postgrestest.Name()
			a := open(b, s.URL("postgres"), postgres.Config{Schema: schema})
			c := connect(b, s.URL("postgres"))
			if _, err := c.Exec(ctx, `CREATE TABLE bare_`+schema+` (timestamp bigint, hash bytea, topic integer, message bytea);
				CREATE TABLE text_`+schema+` (timestamp bigint, hash bytea, topic text, message bytea)`); err != nil {
				b.Fatal(err)
			}
			var times [3][]time.Duration
			n := 0
			for b.Loop() {
				b.StopTimer()
				entries := batch(n*size, size, 1024, 50, time.Millisecond)
				for i := range times { // each comes first in turn
					k := (i + n) % len(times)
					start := time.Now()
					var err error
					switch k {
					case 0:
						b.StartTimer()
						err = a.Insert(ctx, entries...)
						b.StopTimer()
					case 1:
						err = postgres.Bare(ctx, c, `bare_`+schema, entries)
					case 2:
						_, err = c.CopyFrom(ctx, pgx.Identifier{`text_` + schema}, []string{"timestamp", "hash", "topic", "message"},
							pgx.CopyFromSlice(len(entries), func(i int) ([]any, error) {
								e := &entries[i]
								raw, err := proto.Marshal(e.Message)
								return []any{e.Message.GetTimestamp(), e.Hash[:], e.Message.ContentTopic, raw}, err
							}))
					}
					if err != nil {
						b.Fatal(err)
					}
					times[k] = append(times[k], time.Since(start))
				}
				n++
				b.StartTimer()
			}
			var rate [3]float64
			var total [3]time.Duration
			for k := range times {
				for _, t := range times[k] {
					total[k] += t
				}
				slices.Sort(times[k])
				rate[k] = float64(size) / times[k][len(times[k])/2].Seconds()
			}
			b.ReportMetric(rate[0], "rows/s")
			b.ReportMetric(rate[1], "bare-rows/s")
			b.ReportMetric(rate[2], "bare-pgx-rows/s")
			b.ReportMetric(100*rate[0]/rate[1], "%-of-bare")
			b.ReportMetric(100*rate[0]/rate[2], "%-of-bare-pgx")
			b.ReportMetric(100*float64(min(total[1], total[2]))/float64(total[0]), "%-of-faster-bare-in-all")
		})
	}
}

// BenchmarkInsertOld inserts batches of 1000 entries that are older than the
// newest, each of which is looked up first, and batches that are there already.
func BenchmarkInsertOld(b *testing.B) {
	ctx := context.Background()
	s := tuned(b)
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			a := open(b, s.URL("postgres"), postgres.Config{Schema: postgrestest.Name()})
			last := store.NewEntry(storetest.Pubsub, storetest.Message(benchTopic(0), time.Now().UnixNano(), "x"))
			if err := a.Insert(ctx, last); err != nil {
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				b.StopTimer()
				entries := batch(n*1000, 1000, 1024, 50, time.Millisecond)
				if again {
					if err := a.Insert(ctx, entries...); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				if err := a.Insert(ctx, entries...); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n*1000)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkInsertConcurrent inserts one entry a call from many goroutines.
func BenchmarkInsertConcurrent(b *testing.B) {
	s := tuned(b)
	a := open(b, s.URL("postgres"), postgres.Config{})
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(1e9); pb.Next(); i++ {
			if err := a.Insert(context.Background(), batch(i, 1, 1024, 50, time.Millisecond)...); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
