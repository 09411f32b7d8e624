package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// Driver opens archives of one kind.
type Driver struct {
	// New makes a place for one archive, empty at first, and returns the
	// function that opens it. That one is called again only after the archive
	// opened before is closed.
	New func(t testing.TB) func(t testing.TB) store.Maintainer
	// Overhead is the room of an archive with hardly an entry: a bound in
	// bytes is kept to when it is above that.
	Overhead int64
	// Volatile archives are empty after they were closed.
	Volatile bool
}

// RunMaintainer runs every test of a driver: those of Run, and those of its
// upkeep.
func RunMaintainer(t *testing.T, d Driver) {
	Run(t, func(t *testing.T) store.Archive { return d.New(t)(t) })
	for name, test := range map[string]func(*testing.T, Driver){
		"ids":                 testIDs,
		"stats":               testStats,
		"prune by age":        testPruneAge,
		"prune by count":      testPruneCount,
		"prune by bytes":      testPruneBytes,
		"prune by all bounds": testPruneAll,
		"prune meanwhile":     testPruneMeanwhile,
		"prune and fill":      testPruneFill,
		"reopen":              testReopen,
		"upkeep after close":  testUpkeepAfterClose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}

// OtherPubsub is the pubsub topic of some of SpreadEntries.
const OtherPubsub = "/waku/2/rs/16/64"

// SpreadEntries returns n entries with payloads of size bytes on two pubsub
// and four content topics, from Base on with step between them, in random
// order. Every tenth has the timestamp of the one before it.
func SpreadEntries(n, size int, step time.Duration) []store.Entry {
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	noise := make([]byte, 1<<16+size)
	for j := range noise {
		noise[j] = byte(rng.Uint32())
	}
	out := make([]store.Entry, n)
	for i := range out {
		payload := bytes.Clone(noise[rng.IntN(1<<16):][:size])
		at := i
		if i%10 == 9 {
			at--
		}
		pubsub := Pubsub
		if i%3 == 2 {
			pubsub = OtherPubsub
		}
		m := Message(Topic(i), Base+int64(at)*int64(step), "")
		m.Payload = append(payload, fmt.Sprint(i)...)
		out[i] = store.NewEntry(pubsub, m)
	}
	rng.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// open opens a new archive of d and closes it at the end of the test.
func (d Driver) open(t testing.TB) store.Maintainer { return opened(t, d.New(t)) }

func opened(t testing.TB, open func(testing.TB) store.Maintainer) store.Maintainer {
	t.Helper()
	a := open(t)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func collect(t testing.TB, seq iter.Seq2[store.ID, error]) []store.ID {
	t.Helper()
	var out []store.ID
	for id, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, id)
	}
	return out
}

// idsOf are the ids of the entries within a span.
func idsOf(kept []store.Entry, s store.Span) []store.ID {
	var out []store.ID
	for _, e := range slices.SortedFunc(slices.Values(kept), order) {
		at := e.Message.GetTimestamp()
		if at >= s.Start && at < s.End && (len(s.PubsubTopics) == 0 || slices.Contains(s.PubsubTopics, e.PubsubTopic)) {
			out = append(out, store.ID{Timestamp: at, Hash: e.Hash})
		}
	}
	return out
}

var everything = store.Span{End: math.MaxInt64}

// holds fails the test unless the archive answers and lists exactly what is
// kept, and nothing of what is gone.
func holds(t testing.TB, a store.Maintainer, kept, gone []store.Entry) {
	t.Helper()
	if got := collect(t, a.IDs(context.Background(), everything)); !slices.Equal(got, idsOf(kept, everything)) {
		t.Fatalf("%d ids, want %d", len(got), len(kept))
	}
	counts(t, a, kept)
	rng := rand.New(rand.NewPCG(6, uint64(len(kept))))
	for range 30 {
		if len(kept) == 0 {
			break
		}
		q := RandomQuery(rng, kept)
		Same(t, query(t, a, q), Answer(kept, q))
	}
	for part := range slices.Chunk(gone, store.MaxHashes) {
		var hashes []message.Hash
		for _, e := range part {
			hashes = append(hashes, e.Hash)
		}
		if page := query(t, a, &store.Query{Hashes: hashes}); len(page.Messages) != 0 {
			t.Fatalf("%d removed entries are present", len(page.Messages))
		}
		if page := query(t, a, &store.Query{Hashes: hashes, IncludeData: true}); len(page.Messages) != 0 {
			t.Fatalf("%d removed entries are answered", len(page.Messages))
		}
		cursor := part[0].Hash
		if _, err := a.Query(context.Background(), &store.Query{Cursor: &cursor}); !errors.Is(err, store.ErrUnknownCursor) {
			t.Fatalf("cursor of a removed entry: %v", err)
		}
	}
}

func stats(t testing.TB, a store.Maintainer) store.Stats {
	t.Helper()
	got, err := a.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// counts fails the test unless Stats tells of what is kept.
func counts(t testing.TB, a store.Maintainer, kept []store.Entry) {
	t.Helper()
	got := stats(t, a)
	type slot struct {
		day    int64
		pubsub string
	}
	const day = int64(24 * time.Hour)
	messages, payloads := make(map[slot]int64), make(map[slot]int64)
	var total int64
	for _, e := range kept {
		s := slot{e.Message.GetTimestamp() / day, e.PubsubTopic}
		messages[s]++
		payloads[s] += int64(len(e.Message.Payload))
		total += int64(len(e.Message.Payload))
	}
	if got.Messages != int64(len(kept)) || got.Bytes < total || len(got.Days) != len(messages) {
		t.Fatalf("%d messages, %d bytes, %d days; want %d, at least %d, %d", got.Messages, got.Bytes, len(got.Days), len(kept), total, len(messages))
	}
	if ids := idsOf(kept, everything); len(ids) == 0 {
		if !got.Oldest.IsZero() || !got.Newest.IsZero() {
			t.Fatalf("empty, from %v to %v", got.Oldest, got.Newest)
		}
	} else if first, last := ids[0].Timestamp, ids[len(ids)-1].Timestamp; got.Oldest.UnixNano() != first || got.Newest.UnixNano() != last {
		t.Fatalf("from %d to %d, want from %d to %d", got.Oldest.UnixNano(), got.Newest.UnixNano(), first, last)
	}
	for i, d := range got.Days {
		s := slot{d.Day.UnixNano() / day, d.PubsubTopic}
		if d.Day.UnixNano()%day != 0 || d.Day.Location() != time.UTC {
			t.Fatalf("%v is no day", d.Day)
		}
		// A message is its payload and some 100 bytes more.
		if d.Messages != messages[s] || d.Bytes < payloads[s] || d.Bytes > payloads[s]+400*messages[s] {
			t.Fatalf("%v: %+v, want %d messages with %d bytes of payload", d.Day, d, messages[s], payloads[s])
		}
		if i > 0 {
			if p := got.Days[i-1]; p.Day.After(d.Day) || p.Day.Equal(d.Day) && p.PubsubTopic >= d.PubsubTopic {
				t.Fatalf("%+v after %+v", d, p)
			}
		}
	}
}

// testIDs compares lists of random spans with the model.
func testIDs(t *testing.T, d Driver) {
	a := d.open(t)
	if ids := collect(t, a.IDs(context.Background(), everything)); len(ids) != 0 {
		t.Fatalf("%d ids in an empty archive", len(ids))
	}
	entries := SpreadEntries(600, 20, 10*time.Minute)
	entries = append(entries, Entries(60)...) // many at one time
	for part := range slices.Chunk(entries, 50) {
		insert(t, a, part...)
	}
	rng := rand.New(rand.NewPCG(8, 8))
	at := func() int64 { return entries[rng.IntN(len(entries))].Message.GetTimestamp() + rng.Int64N(3) - 1 }
	for i := range 60 {
		s := store.Span{Start: at(), End: at()}
		if i%5 == 0 {
			s = everything
		}
		switch i % 4 {
		case 1:
			s.PubsubTopics = []string{Pubsub}
		case 2:
			s.PubsubTopics = []string{OtherPubsub, Pubsub, OtherPubsub}
		case 3:
			s.PubsubTopics = []string{"/nobody", OtherPubsub}
		}
		if got, want := collect(t, a.IDs(context.Background(), s)), idsOf(entries, s); !slices.Equal(got, want) {
			t.Fatalf("%+v: %d ids, want %d", s, len(got), len(want))
		}
	}
	// A reader may stop, and is told when its context ends.
	seen := 0
	for _, err := range a.IDs(context.Background(), everything) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 7 {
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var last error
	for _, err := range a.IDs(ctx, everything) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Fatalf("ended context: %v", last)
	}
	// A reader inserts what it learns while it reads.
	more := SpreadEntries(5, 33, time.Minute)
	for range a.IDs(context.Background(), everything) {
		if len(more) > 0 {
			insert(t, a, more[0])
			entries, more = append(entries, more[0]), more[1:]
		}
	}
	holds(t, a, entries, nil)
}

func testStats(t *testing.T, d Driver) {
	a := d.open(t)
	counts(t, a, nil)
	if got := stats(t, a).Bytes; got > d.Overhead {
		t.Fatalf("%d bytes empty, want at most %d", got, d.Overhead)
	}
	entries := SpreadEntries(500, 700, 20*time.Minute)
	for part := range slices.Chunk(entries, 100) {
		insert(t, a, part...)
		insert(t, a, part[:10]...) // again
	}
	counts(t, a, entries)
}

// split divides the entries into those before a time and the others.
func split(entries []store.Entry, at int64) (old, young []store.Entry) {
	for _, e := range entries {
		if e.Message.GetTimestamp() < at {
			old = append(old, e)
		} else {
			young = append(young, e)
		}
	}
	return old, young
}

// prune prunes, and fails the test when doing it again removes more.
func prune(t testing.TB, a store.Maintainer, r store.Retention, now time.Time) store.Pruned {
	t.Helper()
	got, err := a.Prune(context.Background(), r, now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Bytes < 0 {
		t.Fatalf("pruned %+v", got)
	}
	again, err := a.Prune(context.Background(), r, now)
	if err != nil || again.Messages != 0 {
		t.Fatalf("pruned again: %+v, %v", again, err)
	}
	return got
}

// testPruneAge: no entry older than the age is left and every other one is,
// where the age ends between two entries and where it ends at one.
func testPruneAge(t *testing.T, d Driver) {
	open := d.New(t)
	a := opened(t, open)
	entries := SpreadEntries(400, 50, 30*time.Minute)
	for part := range slices.Chunk(entries, 100) {
		insert(t, a, part...)
	}
	if got := prune(t, a, store.Retention{}, time.Unix(0, Base).Add(1000*time.Hour)); got != (store.Pruned{}) {
		t.Fatalf("pruned %+v without a bound", got)
	}
	kept := entries
	var gone []store.Entry
	for _, at := range []int64{
		Base - 1, Base, Base + 1,
		Base + int64(20*time.Hour), // an entry's
		Base + int64(20*time.Hour) + 1,
		Base + int64(71*time.Hour) + 12345,
		Base + int64(199*time.Hour),
		Base + int64(1000*time.Hour),
	} {
		var old []store.Entry
		old, kept = split(kept, at)
		gone = append(gone, old...)
		got := prune(t, a, store.Retention{Age: time.Hour}, time.Unix(0, at).Add(time.Hour))
		if got.Messages != int64(len(old)) {
			t.Fatalf("pruned %+v, want %d messages", got, len(old))
		}
		holds(t, a, kept, gone)
	}
}

// testPruneCount: the oldest go first, down to the very number.
func testPruneCount(t *testing.T, d Driver) {
	a := d.open(t)
	entries := SpreadEntries(400, 50, 30*time.Minute)
	insert(t, a, entries...)
	slices.SortFunc(entries, order)
	for _, bound := range []int{401, 400, 399, 250, 201, 7, 1} {
		gone := entries[:max(0, len(entries)-bound)]
		kept := entries[len(gone):]
		before := stats(t, a).Messages
		got := prune(t, a, store.Retention{Messages: int64(bound)}, time.Unix(0, Base))
		if want := before - int64(len(kept)); got.Messages != want {
			t.Fatalf("bound %d: pruned %+v, want %d messages", bound, got, want)
		}
		holds(t, a, kept, gone)
	}
}

// testPruneBytes: what is left takes no more than the bound, is the newest,
// and is not much less than could be.
func testPruneBytes(t *testing.T, d Driver) {
	a := d.open(t)
	const size = 4000
	entries := SpreadEntries(1500, size, 4*time.Minute) // 6 MB in four days
	for part := range slices.Chunk(entries, 300) {
		insert(t, a, part...)
	}
	slices.SortFunc(entries, order)
	before := stats(t, a)
	if got := prune(t, a, store.Retention{Bytes: before.Bytes + d.Overhead}, time.Unix(0, Base)); got.Messages != 0 {
		t.Fatalf("pruned %+v within the bound", got)
	}
	for _, bound := range []int64{4 << 20, 2 << 20, 1 << 20, 0} {
		bound += d.Overhead
		got := prune(t, a, store.Retention{Bytes: bound}, time.Unix(0, Base))
		after := stats(t, a)
		if after.Bytes > bound {
			t.Fatalf("bound %d: %d bytes", bound, after.Bytes)
		}
		if got.Messages != before.Messages-after.Messages {
			t.Fatalf("bound %d: pruned %+v of %d messages, %d are left", bound, got, before.Messages, after.Messages)
		}
		if room := bound - d.Overhead; after.Messages*size < room/4 {
			t.Fatalf("bound %d: %d messages are left", bound, after.Messages)
		}
		cut := len(entries) - int(after.Messages)
		holds(t, a, entries[cut:], entries[:min(cut, 500)])
		before = after
	}
}

func testPruneAll(t *testing.T, d Driver) {
	open := d.New(t)
	a := opened(t, open)
	entries := SpreadEntries(1000, 2000, 6*time.Minute)
	insert(t, a, entries...)
	slices.SortFunc(entries, order)
	last := time.Unix(0, entries[len(entries)-1].Message.GetTimestamp())
	for _, r := range []store.Retention{
		{Age: 90 * time.Hour, Messages: 950, Bytes: 1 << 40}, // age binds
		{Age: 90 * time.Hour, Messages: 500, Bytes: 1 << 40}, // number
		{Age: 90 * time.Hour, Messages: 499, Bytes: d.Overhead + 1<<19},
	} {
		prune(t, a, r, last)
		got := stats(t, a)
		if last.Sub(got.Oldest) > r.Age || got.Messages > r.Messages || got.Bytes > r.Bytes {
			t.Fatalf("%+v: %d messages, %d bytes, from %v", r, got.Messages, got.Bytes, got.Oldest)
		}
		cut := len(entries) - int(got.Messages)
		holds(t, a, entries[cut:], entries[:min(cut, 300)])
		if d.Volatile {
			continue
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = opened(t, open)
		holds(t, a, entries[cut:], entries[:min(cut, 300)])
	}
}

// testPruneFill: what was pruned can be kept again.
func testPruneFill(t *testing.T, d Driver) {
	open := d.New(t)
	a := opened(t, open)
	entries := SpreadEntries(300, 50, 30*time.Minute)
	insert(t, a, entries...)
	old, young := split(entries, Base+int64(61*time.Hour))
	prune(t, a, store.Retention{Age: time.Hour}, time.Unix(0, Base).Add(62*time.Hour))
	holds(t, a, young, old)
	insert(t, a, append(old[:40:40], young[:40]...)...)
	kept := append(slices.Clone(old[:40]), young...)
	holds(t, a, kept, old[40:])
	if d.Volatile {
		return
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = opened(t, open)
	holds(t, a, kept, old[40:])
	prune(t, a, store.Retention{Age: time.Hour}, time.Unix(0, Base).Add(62*time.Hour))
	holds(t, a, young, old)
}

// testPruneMeanwhile inserts and asks while old entries are removed.
func testPruneMeanwhile(t *testing.T, d Driver) {
	a := d.open(t)
	entries := SpreadEntries(600, 100, 20*time.Minute)
	insert(t, a, entries[:200]...)
	end := Base + int64(600*20*time.Minute)
	newest := SpreadEntries(100, 60, time.Second)
	for i := range newest { // all after the others
		m := newest[i].Message
		at := m.GetTimestamp() + end - Base
		m.Timestamp = &at
		newest[i] = store.NewEntry(newest[i].PubsubTopic, m)
	}
	var wg sync.WaitGroup
	for _, part := range [][]store.Entry{entries[200:400], entries[400:], newest[:50], newest[50:]} {
		wg.Go(func() {
			for some := range slices.Chunk(part, 10) {
				if err := a.Insert(context.Background(), some...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 30 {
			q := &store.Query{IncludeData: i%2 == 0, Forward: i%3 == 0, Limit: 100}
			if i%4 == 0 {
				q.PubsubTopic, q.ContentTopics = Pubsub, []string{Topic(0), Topic(3)}
			}
			page, err := a.Query(context.Background(), q)
			if err != nil || q.IncludeData && !slices.IsSortedFunc(page.Messages, order) {
				t.Errorf("query while pruning: %v", err)
				return
			}
			var before store.ID
			for id, err := range a.IDs(context.Background(), store.Span{End: end, PubsubTopics: []string{Pubsub}}) {
				if err != nil || id.Timestamp < before.Timestamp {
					t.Errorf("ids while pruning: %v", err)
					return
				}
				before = id
			}
			if _, err := a.Stats(context.Background()); err != nil {
				t.Errorf("stats while pruning: %v", err)
				return
			}
		}
	})
	wg.Go(func() {
		for i := range 12 {
			if _, err := a.Prune(context.Background(), store.Retention{Age: time.Hour}, time.Unix(0, Base+int64(i)*int64(10*time.Hour))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Wait()
	old, young := split(entries, Base+int64(150*time.Hour))
	prune(t, a, store.Retention{Age: time.Hour}, time.Unix(0, Base).Add(151*time.Hour))
	holds(t, a, append(young, newest...), old)
}

// testReopen: entries outlive the archive, and are known when they come again.
func testReopen(t *testing.T, d Driver) {
	open := d.New(t)
	a := opened(t, open)
	entries := SpreadEntries(200, 100, time.Hour)
	insert(t, a, entries[:150]...)
	var kept []store.Entry
	if !d.Volatile {
		kept = entries[:150]
	}
	for _, more := range [][]store.Entry{nil, entries[150:151], entries[140:]} {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a = opened(t, open)
		if d.Volatile {
			kept = nil
		}
		insert(t, a, more...)
		for _, e := range more {
			if !slices.ContainsFunc(kept, func(k store.Entry) bool { return bytes.Equal(k.Hash[:], e.Hash[:]) }) {
				kept = append(kept[:len(kept):len(kept)], e)
			}
		}
		holds(t, a, kept, nil)
	}
}

func testUpkeepAfterClose(t *testing.T, d Driver) {
	a := d.open(t)
	insert(t, a, Entries(3)...)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Stats(context.Background()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("stats: %v", err)
	}
	if _, err := a.Prune(context.Background(), store.Retention{Messages: 1}, time.Now()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("prune: %v", err)
	}
	var last error
	for _, err := range a.IDs(context.Background(), everything) {
		last = err
	}
	if !errors.Is(last, store.ErrClosed) {
		t.Errorf("ids: %v", last)
	}
}
