package node

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// soakMessages is how many messages TestSoak sends when nothing is said in
// the environment variable PARLEY_SOAK.
const soakMessages = 3_000

// TestSoak sends messages through a service node, by relay and by lightpush
// in turn, on to a filter subscriber and into the archive, and compares what
// the process holds after the first tenth and at the end: memory and
// goroutines stay as they are. With PARLEY_SOAK=100000 it is the soak of two
// hours compressed by rate.
//
// It counts for the whole process, which is why it does not run beside other
// tests.
func TestSoak(t *testing.T) {
	total := soakMessages
	if s := os.Getenv("PARLEY_SOAK"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		total = n
	}
	warm := total / 10
	s := start(t, Config{
		Mode: Service, Limits: Limits{Lightpush: lightpush.RateLimit{PerSecond: 1e9, Burst: 1e9}},
	})
	f, l := full(t, s), light(t, s)
	if err := f.Subscribe(t.Context(), nil); err != nil { // relays on, and reads nothing
		t.Fatal(err)
	}
	sender := start(t, Config{Mode: Light, Peers: infos(s)})
	awaitPeer(t, sender, s.h.ID())
	begin := time.Now()
	send := func(from, to int) {
		t.Helper()
		const window = 64
		under := make(map[message.Hash]bool, window)
		late := time.NewTimer(patience)
		await := func() {
			late.Reset(patience)
			select {
			case e := <-l.Envelopes():
				delete(under, e.Hash)
			case <-late.C:
				t.Fatalf("%d messages of %d did not come", len(under), to)
			}
		}
		for i := from; i < to; i++ {
			m := message.New(fmt.Append(make([]byte, 1000, 1024), i), content, begin.Add(time.Duration(i)), false)
			by := f
			if i%2 == 1 {
				by = sender
			}
			if _, err := by.Publish(t.Context(), shard32, m); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			under[message.HashOf(shard32, m)] = true
			for len(under) >= window {
				await()
			}
		}
		for len(under) > 0 {
			await()
		}
		eventually.True(t, "all in the archive", func() bool { return s.Status().Archive.Written >= uint64(to) })
	}
	send(0, warm)
	heap, goroutines := held()
	send(warm, total)
	took := time.Since(begin)
	// What remembers messages for its time is meant to grow until then: ids
	// of two minutes in GossipSub, in each of two nodes, and the hashes seen
	// by each of four.
	const remembered = 2*192 + 4*96
	limit := heap + heap/2 + uint64((total-warm)*remembered)
	var heapEnd uint64
	var goroutinesEnd int
	eventually.True(t, "memory and goroutines as they were", func() bool {
		heapEnd, goroutinesEnd = held()
		return heapEnd <= limit && goroutinesEnd <= goroutines+goroutines/20
	}, func() {
		t.Logf("heap %d then %d, at most %d; goroutines %d then %d", heap, heapEnd, limit, goroutines, goroutinesEnd)
	})
	t.Logf("%d messages in %s: heap %d KiB then %d KiB, goroutines %d then %d",
		total, took.Round(time.Millisecond), heap>>10, heapEnd>>10, goroutines, goroutinesEnd)
	if st := s.Status(); st.Archive.Lost != 0 || st.Tap.Dropped != 0 {
		t.Errorf("archive %+v", st.Archive)
	}
	page, err := l.Query(t.Context(), &store.Query{PubsubTopic: shard32, ContentTopics: []string{content}, Limit: 1})
	if err != nil || len(page.Messages) != 1 {
		t.Errorf("the store answers %+v, %v", page, err)
	}
}

// held is what the process holds: bytes of live objects, and goroutines.
func held() (heap uint64, goroutines int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}
