package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

const benchBatch = 1000

// batch returns the n-th batch of entries with payloads of a given size, on
// 50 content topics.
func batch(n, size int) []Entry {
	rng := rand.New(rand.NewPCG(uint64(n), 2))
	out := make([]Entry, benchBatch)
	for i := range out {
		seed := n*benchBatch + i
		p := make([]byte, size)
		for j := range p {
			p[j] = byte(rng.Uint32())
		}
		m := messageOf(fmt.Sprintf("/waku/1/0x%08x/rfc26", rng.IntN(50)), int64(1e18)+int64(seed)*1e6, p)
		out[i] = NewEntry(testPubsub, m)
	}
	return out
}

// BenchmarkInsert inserts batches of 1000 entries and compares with the same
// rows written to a table without keys or indexes.
func BenchmarkInsert(b *testing.B) {
	for _, size := range []int{512, 1024, 4096} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			a := openTest(b, filepath.Join(b.TempDir(), "store.db"))
			floor := bareTable(b)
			var ours, bare time.Duration
			n := 0
			for b.Loop() {
				b.StopTimer()
				entries := batch(n, size)
				start := time.Now()
				floor(entries)
				bare += time.Since(start)
				b.StartTimer()
				start = time.Now()
				if err := a.Insert(context.Background(), entries...); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(start)
				n++
			}
			b.ReportMetric(float64(n*benchBatch)/ours.Seconds(), "rows/s")
			b.ReportMetric(float64(n*benchBatch)/bare.Seconds(), "bare-rows/s")
			b.ReportMetric(float64(ours)/float64(bare), "times-bare")
		})
	}
}

// bareTable returns a function that inserts entries into a plain table, each
// batch in one transaction.
func bareTable(b *testing.B) func([]Entry) {
	db, err := sqlite3.Open(filepath.Join(b.TempDir(), "bare.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if err := db.Exec(`PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
		CREATE TABLE bare (timestamp INTEGER, hash BLOB, topic TEXT, message BLOB)`); err != nil {
		b.Fatal(err)
	}
	st, _, err := db.Prepare(`INSERT INTO bare VALUES (?1, ?2, ?3, ?4)`)
	if err != nil {
		b.Fatal(err)
	}
	return func(entries []Entry) {
		tx, err := db.BeginImmediate()
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range entries {
			raw, _ := proto.Marshal(e.Message)
			_ = st.BindInt64(1, e.Message.GetTimestamp())
			_ = st.BindBlob(2, e.Hash[:])
			_ = st.BindText(3, e.Message.ContentTopic)
			_ = st.BindBlob(4, raw)
			if err := st.Exec(); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInsertConcurrent inserts one entry a call from many goroutines.
func BenchmarkInsertConcurrent(b *testing.B) {
	a := openTest(b, filepath.Join(b.TempDir(), "store.db"))
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.Int64N(1e15); pb.Next(); i++ {
			e := NewEntry(testPubsub, messageOf("/a/1/b/proto", int64(1e18)+i, payload(int(i), 512)))
			if err := a.Insert(context.Background(), e); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// filled returns an archive of 50,000 entries and some of their hashes.
func filled(b *testing.B) (*SQLite, []message.Hash) {
	a := openTest(b, filepath.Join(b.TempDir(), "store.db"))
	var hashes []message.Hash
	for n := range 50 {
		entries := batch(n, 512)
		if err := a.Insert(context.Background(), entries...); err != nil {
			b.Fatal(err)
		}
		for _, e := range entries[:20] {
			hashes = append(hashes, e.Hash)
		}
	}
	return a, hashes
}

// BenchmarkQuery asks for pages of 100 and for single hashes.
func BenchmarkQuery(b *testing.B) {
	a, hashes := filled(b)
	topics := make([]string, 10)
	for i := range topics {
		topics[i] = fmt.Sprintf("/waku/1/0x%08x/rfc26", i)
	}
	day := Query{PubsubTopic: testPubsub, ContentTopics: topics, TimeStart: 1, TimeEnd: 2e18, Limit: MaxPage, Cursor: &hashes[500]}
	withData := day
	withData.IncludeData = true
	one := day
	one.ContentTopics, one.IncludeData = topics[:1], true
	for name, q := range map[string]Query{
		"page=100,topics=10,data": withData, "page=100,topics=10,hashes": day, "page=100,topics=1,data": one,
		"time,data": {IncludeData: true, TimeStart: 1e18 + 2e10, Limit: MaxPage, Forward: true},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if page, err := a.Query(context.Background(), &q); err != nil || len(page.Messages) != MaxPage {
					b.Fatal(err, len(page.Messages))
				}
			}
		})
	}
	for _, data := range []bool{true, false} {
		b.Run(fmt.Sprintf("hash,data=%v", data), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				q := Query{Hashes: []message.Hash{hashes[i*7%len(hashes)]}, IncludeData: data}
				if page, err := a.Query(context.Background(), &q); err != nil || len(page.Messages) != 1 {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRoundTrip asks a node for a page of 100 messages over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	h, other := rpctest.Sockets(b)
	serve(b, other, ServiceConfig{}, batch(1, 512)...)
	c := NewClient(h)
	b.ReportAllocs()
	for b.Loop() {
		page, err := c.Query(context.Background(), other.ID(), &Query{IncludeData: true, Limit: MaxPage})
		if err != nil || len(page.Messages) != MaxPage {
			b.Fatal(err)
		}
	}
}
