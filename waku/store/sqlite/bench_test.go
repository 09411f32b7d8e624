package sqlite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/storetest"
)

const benchBatch = 1000

// large is the archive that pages and lookups are measured on.
const (
	largeMessages = 1_000_000
	largeTopics   = 10
	largePayload  = 1024
)

// noise is what payloads are cut from: it does not compress, and costs nothing
// to make.
var noise = func() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, 1<<20)
	for i := range out {
		out[i] = byte(rng.Uint32())
	}
	return out
}()

// benchEntry returns the n-th entry of an archive with payloads of a given
// size on some content topics, one every step nanoseconds.
func benchEntry(n, size, topics int, base, step int64) store.Entry {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	p := make([]byte, size)
	copy(p, noise[rng.IntN(len(noise)-size):])
	copy(p, fmt.Sprint(n))
	return store.NewEntry(storetest.Pubsub, messageOf(fmt.Sprintf("/waku/1/0x%08x/rfc26", n%topics), base+int64(n)*step, p))
}

// batch returns the n-th batch of entries.
func batch(n, size, topics int) []store.Entry {
	out := make([]store.Entry, benchBatch)
	for i := range out {
		out[i] = benchEntry(n*benchBatch+i, size, topics, 1e18, 1e6)
	}
	return out
}

// BenchmarkInsert inserts batches of 1000 entries, two at a time as a busy
// node does, and compares with the same rows written to a table without keys
// or indexes: by the same driver, which checks entries and commits batches in
// the same way. They take turns, so that what else the machine does troubles
// both alike.
func BenchmarkInsert(b *testing.B) {
	for _, size := range []int{256, 1024, 4096} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			const turn = 16 // batches: about a chunk
			a := openTest(b, filepath.Join(b.TempDir(), "store"))
			same := bareTable(b)
			inserts := []func([][]store.Entry){
				func(e [][]store.Entry) {
					insertAll(b, e, func(e []store.Entry) error { return a.Insert(context.Background(), e...) })
				},
				func(e [][]store.Entry) { insertAll(b, e, same.insert) },
			}
			times := make([]time.Duration, len(inserts))
			n := 0
			for b.Loop() {
				b.StopTimer()
				batches := make([][]store.Entry, turn)
				for i := range batches {
					batches[i] = batch(n*turn+i, size, 50)
				}
				for i := range inserts {
					i = (i + n) % len(inserts)
					if i == 0 {
						b.StartTimer()
					}
					start := time.Now()
					inserts[i](batches)
					times[i] += time.Since(start)
					b.StopTimer()
				}
				n++
				b.StartTimer()
			}
			rows := float64(n * turn * benchBatch)
			b.ReportMetric(rows/times[0].Seconds(), "rows/s")
			b.ReportMetric(rows/times[1].Seconds(), "bare-rows/s")
			b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
		})
	}
}

// insertAll inserts batches from two goroutines.
func insertAll(b *testing.B, batches [][]store.Entry, insert func([]store.Entry) error) {
	next := make(chan []store.Entry)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for e := range next {
				if err := insert(e); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, e := range batches {
		next <- e
	}
	close(next)
	wg.Wait()
}

// bare is a table without keys or indexes, of the same columns.
type bare struct {
	mu sync.Mutex
	db *sqlite3.Conn
	st *sqlite3.Stmt
}

func bareTable(b *testing.B) *bare {
	db, err := sqlite3.Open(filepath.Join(b.TempDir(), "bare.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if err := db.Exec(pragmas + `CREATE TABLE bare (timestamp INTEGER, hash BLOB, topic INTEGER, message BLOB)`); err != nil {
		b.Fatal(err)
	}
	st, _, err := db.Prepare(`INSERT INTO bare VALUES (?1, ?2, ?3, ?4)`)
	if err != nil {
		b.Fatal(err)
	}
	return &bare{db: db, st: st}
}

// insert checks entries as the archive does.
func (d *bare) insert(entries []store.Entry) error {
	rows := make([]row, len(entries))
	if err := prepareRows(rows, entries, time.Now()); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write(rows)
}

func (d *bare) write(rows []row) (err error) {
	tx, err := d.db.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	for i := range rows {
		r := &rows[i]
		_ = d.st.BindInt64(1, r.timestamp)
		_ = d.st.BindBlob(2, r.hash[:])
		_ = d.st.BindInt64(3, int64(i%50))
		_ = d.st.BindBlob(4, r.message)
		if err := d.st.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkInsertConcurrent inserts one entry a call from many goroutines.
func BenchmarkInsertConcurrent(b *testing.B) {
	a := openTest(b, filepath.Join(b.TempDir(), "store"))
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.Int64N(1e15); pb.Next(); i++ {
			e := store.NewEntry(storetest.Pubsub, messageOf("/a/1/b/proto", int64(1e18)+i, noise[i%1024:][:512]))
			if err := a.Insert(context.Background(), e); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
