package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/storetest"
)

// consistent fails unless the chunks have the messages.
func consistent(t testing.TB, a *postgres.Archive) (all, single int) {
	t.Helper()
	all, single, err := a.Consistent(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return all, single
}

// TestChunks inserts entries in any order through two archives, prunes some, and
// compares pages and lists with the model. Each chunk stays apart from the
// others.
func TestChunks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, url, cfg := fresh(t, postgres.Config{})
	b := open(t, url, cfg)
	a.SetTail(300)
	b.SetTail(90)
	now := time.Now()
	rng := rand.New(rand.NewPCG(5, 6))
	var entries []store.Entry
	for i := range 1600 { // on a busy topic, and on rare ones; many at the same time
		topic := "/busy/1/x/proto"
		if i%3 == 0 {
			topic = storetest.Topic(rng.IntN(4)) + fmt.Sprint(rng.IntN(40))
		}
		at := now.Add(-time.Duration(rng.IntN(1200)) * 10 * time.Minute).UnixNano()
		entries = append(entries, store.NewEntry(storetest.Pubsub, storetest.Message(topic, at, fmt.Sprint(i))))
	}
	slices.SortFunc(entries[:1000], func(a, b store.Entry) int { // the others come late
		return int(a.Message.GetTimestamp()/1000 - b.Message.GetTimestamp()/1000)
	})
	kept := []store.Entry{}
	check := func() {
		t.Helper()
		consistent(t, a)
		for range 40 {
			q := storetest.RandomQuery(rng, kept)
			page, err := []*postgres.Archive{a, b}[rng.IntN(2)].Query(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			storetest.Same(t, page, storetest.Answer(kept, q))
		}
		n, before := 0, store.ID{}
		for id, err := range b.IDs(ctx, store.Span{End: 1 << 62, PubsubTopics: []string{storetest.Pubsub}}) {
			if err != nil || id.Timestamp < before.Timestamp {
				t.Fatal(id, err)
			}
			n, before = n+1, id
		}
		if n != len(kept) {
			t.Fatalf("%d ids, want %d", n, len(kept))
		}
	}
	for i := 0; len(entries) > 0; i++ {
		n := min(len(entries), 1+rng.IntN(60))
		insert(t, []*postgres.Archive{a, b}[rng.IntN(2)], entries[:n]...)
		kept, entries = append(kept, entries[:n]...), entries[n:]
		if i%35 == 34 {
			check()
		}
	}
	check()
	for _, hours := range []int{190, 189, 150, 97, 40} {
		age := time.Duration(hours) * time.Hour
		cut := now.Add(-age).UnixNano()
		before := len(kept)
		kept = slices.DeleteFunc(kept, func(e store.Entry) bool { return e.Message.GetTimestamp() < cut })
		done, err := a.Prune(ctx, store.Retention{Age: age}, now)
		if err != nil || done.Messages != int64(before-len(kept)) {
			t.Fatal(done, before-len(kept), err)
		}
		check()
	}
}

// TestSlowTraffic: what comes a few messages at a time is in few chunks in the
// end, which pages are read from as fast.
func TestSlowTraffic(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, url, cfg := fresh(t, postgres.Config{})
	const n, topics = 1500, 6
	a.SetTail(50) // 300 times as many flushes as there would be
	start := time.Now().Add(-40 * time.Hour).UnixNano()
	var part []store.Entry
	for i := range n {
		m := storetest.Message(storetest.Topic(0)+fmt.Sprint(i%topics), start+int64(i)*int64(20*time.Second), fmt.Sprint(i))
		if part = append(part, store.NewEntry(storetest.Pubsub, m)); len(part) == 5 {
			insert(t, a, part...)
			part = nil
		}
	}
	if _, err := a.Prune(ctx, store.Retention{Messages: n}, time.Now()); err != nil { // writes what is left
		t.Fatal(err)
	}
	if left := value(t, url, cfg.Schema, `SELECT count(*) FROM recent`); left != 0 {
		t.Fatalf("%d groups are in no chunk", left)
	}
	all, single := consistent(t, a)
	parts := int(value(t, url, cfg.Schema, `SELECT count(*) FROM slices`))
	if all > n/90+8*parts || single > topics*(n/topics/90+8*parts) {
		t.Fatalf("%d chunks of all topics and %d of single ones in %d partitions", all, single, parts)
	}
	t.Logf("%d chunks of all topics and %d of single ones in %d partitions", all, single, parts)
}
