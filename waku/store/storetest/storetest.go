// Package storetest holds the tests that every store.Archive must pass,
// whatever keeps its entries.
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// Pubsub is the pubsub topic of the entries made here.
const Pubsub = "/waku/2/rs/16/32"

// Base is the time of the first entry, in nanoseconds.
const Base = int64(1_700_000_000_000_000_000)

// Message returns a message with every field set that an archive must keep.
func Message(contentTopic string, timestamp int64, payload string) *wakupb.WakuMessage {
	return &wakupb.WakuMessage{
		Payload: []byte(payload), ContentTopic: contentTopic,
		Version: proto.Uint32(1), Timestamp: &timestamp, Meta: []byte{7},
		RateLimitProof: []byte{1, 2}, Ephemeral: proto.Bool(false),
	}
}

// Entries returns n entries on four content topics, three of them always
// with the same timestamp, in random order.
func Entries(n int) []store.Entry {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]store.Entry, n)
	for i := range out {
		m := Message(Topic(i), Base+int64(i/3), fmt.Sprintf("message %d", i))
		out[i] = store.NewEntry(Pubsub, m)
	}
	rng.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// Topic is the content topic of the i-th of Entries.
func Topic(i int) string { return fmt.Sprintf("/waku/1/0x0000000%d/rfc26", i%4) }

// Answer is what an archive with these entries must say to a query: a model
// without an index.
func Answer(kept []store.Entry, q *store.Query) *store.Page {
	kept = slices.Clone(kept)
	slices.SortFunc(kept, order)
	found := []store.Entry{}
	at := -1
	for i := range kept {
		if q.Cursor != nil && kept[i].Hash == *q.Cursor {
			at = i
		}
	}
	for i := range kept {
		e := &kept[i]
		t := e.Message.GetTimestamp()
		switch {
		case q.Cursor != nil && q.Forward && i <= at,
			q.Cursor != nil && !q.Forward && i >= at,
			q.PubsubTopic != "" && q.PubsubTopic != e.PubsubTopic,
			len(q.ContentTopics) > 0 && !slices.Contains(q.ContentTopics, e.Message.GetContentTopic()),
			len(q.Hashes) > 0 && !slices.Contains(q.Hashes, e.Hash),
			t < q.TimeStart, q.TimeEnd != 0 && t >= q.TimeEnd:
			continue
		}
		if q.IncludeData {
			found = append(found, *e)
		} else {
			found = append(found, store.Entry{Hash: e.Hash})
		}
	}
	page := &store.Page{Messages: found}
	if size := q.PageSize(); len(found) > size {
		if q.Forward {
			page.Messages = found[:size]
			page.Cursor = &found[size-1].Hash
		} else {
			page.Messages = found[len(found)-size:]
			page.Cursor = &found[len(found)-size].Hash
		}
	}
	return page
}

func order(a, b store.Entry) int {
	return cmp.Or(cmp.Compare(a.Message.GetTimestamp(), b.Message.GetTimestamp()), bytes.Compare(a.Hash[:], b.Hash[:]))
}

// Same fails the test unless both pages have the same content.
func Same(t testing.TB, got, want *store.Page) {
	t.Helper()
	if len(got.Messages) != len(want.Messages) {
		t.Fatalf("%d messages, want %d", len(got.Messages), len(want.Messages))
	}
	for i := range got.Messages {
		g, w := got.Messages[i], want.Messages[i]
		if g.Hash != w.Hash || g.PubsubTopic != w.PubsubTopic || (g.Message == nil) != (w.Message == nil) || !proto.Equal(g.Message, w.Message) {
			t.Fatalf("message %d of %d: %s on %q, want %s on %q, the same message %v", i, len(got.Messages),
				g.Hash, g.PubsubTopic, w.Hash, w.PubsubTopic, proto.Equal(g.Message, w.Message))
		}
	}
	if (got.Cursor == nil) != (want.Cursor == nil) || (got.Cursor != nil && *got.Cursor != *want.Cursor) {
		t.Fatalf("cursor %v, want %v", got.Cursor, want.Cursor)
	}
}

// Run runs the tests; open returns an empty archive for each.
func Run(t *testing.T, open func(t *testing.T) store.Archive) {
	for name, test := range map[string]func(*testing.T, store.Archive){
		"model":       testModel,
		"spread":      testSpread,
		"pages":       testPages,
		"lookup":      testLookup,
		"limits":      testLimits,
		"insert":      testInsert,
		"refusals":    testRefusals,
		"strange":     testStrange,
		"concurrency": testConcurrency,
		"close":       testClose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t)
			t.Cleanup(func() { _ = a.Close() })
			test(t, a)
		})
	}
}

func insert(t testing.TB, a store.Archive, entries ...store.Entry) {
	t.Helper()
	if err := a.Insert(context.Background(), entries...); err != nil {
		t.Fatal(err)
	}
}

func query(t testing.TB, a store.Archive, q *store.Query) *store.Page {
	t.Helper()
	page, err := a.Query(context.Background(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return page
}

// testModel compares random queries with the model.
func testModel(t *testing.T, a store.Archive) {
	entries := Entries(200)
	for i := range 20 { // a second pubsub topic with the same content topics
		m := Message(Topic(i), Base+int64(i*3), fmt.Sprintf("other %d", i))
		entries = append(entries, store.NewEntry("/waku/2/rs/16/64", m))
	}
	insert(t, a, entries...)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		q := RandomQuery(rng, entries)
		Same(t, query(t, a, q), Answer(entries, q))
	}
}

// testSpread compares random queries over a month with the model, before
// and after late entries came in.
func testSpread(t *testing.T, a store.Archive) {
	entries := SpreadEntries(400, 30, 2*time.Hour)
	rng := rand.New(rand.NewPCG(9, 4))
	for i, kept := range [][]store.Entry{entries[:250], entries} {
		for part := range slices.Chunk(kept[250*i:], 60) {
			insert(t, a, part...)
		}
		for range 80 {
			q := RandomQuery(rng, kept)
			Same(t, query(t, a, q), Answer(kept, q))
		}
	}
}

// RandomQuery returns a valid query that selects some of the entries.
func RandomQuery(rng *rand.Rand, entries []store.Entry) *store.Query {
	any := func() store.Entry { return entries[rng.IntN(len(entries))] }
	q := &store.Query{IncludeData: rng.IntN(2) == 0, Forward: rng.IntN(2) == 0, Limit: uint64(rng.IntN(110))}
	if rng.IntN(3) == 0 {
		h := any().Hash
		q.Cursor = &h
	}
	if rng.IntN(4) == 0 {
		for range 1 + rng.IntN(30) {
			q.Hashes = append(q.Hashes, any().Hash)
		}
		q.Hashes = append(q.Hashes, message.Hash{1})
		if rng.IntN(2) == 0 {
			q.PubsubTopic = Pubsub
		}
		return q
	}
	if rng.IntN(4) != 0 {
		q.PubsubTopic = any().PubsubTopic
		for range 1 + rng.IntN(4) {
			q.ContentTopics = append(q.ContentTopics, any().Message.GetContentTopic())
		}
		if rng.IntN(3) == 0 {
			q.ContentTopics = append(q.ContentTopics, "/nobody/1/writes/proto")
		}
	}
	if rng.IntN(2) == 0 {
		q.TimeStart = any().Message.GetTimestamp()
	}
	if rng.IntN(2) == 0 {
		q.TimeEnd = any().Message.GetTimestamp() + 1
		q.TimeStart = min(q.TimeStart, q.TimeEnd)
	}
	return q
}

// testPages walks whole results in both directions, by the archive's cursors
// and, as JavaScript clients do, by the outermost hash until a page is empty.
func testPages(t *testing.T, a store.Archive) {
	entries := Entries(97)
	insert(t, a, entries...)
	for _, forward := range []bool{true, false} {
		for _, own := range []bool{true, false} {
			for _, limit := range []uint64{1, 7, 97, 100} {
				q := store.Query{Forward: forward, Limit: limit, IncludeData: true, PubsubTopic: Pubsub,
					ContentTopics: []string{Topic(0), Topic(1), Topic(2), Topic(3)}}
				var got []store.Entry
				for {
					page := query(t, a, &q)
					if forward {
						got = append(got, page.Messages...)
					} else {
						got = append(slices.Clone(page.Messages), got...)
					}
					if len(page.Messages) == 0 {
						break
					}
					q.Cursor = page.Cursor
					if own && page.Cursor == nil {
						break
					}
					if !own && forward {
						q.Cursor = &page.Messages[len(page.Messages)-1].Hash
					} else if !own {
						q.Cursor = &page.Messages[0].Hash
					}
				}
				if len(got) != len(entries) || !slices.IsSortedFunc(got, order) {
					t.Fatalf("forward %v, own cursors %v, limit %d: %d entries, sorted %v", forward, own, limit,
						len(got), slices.IsSortedFunc(got, order))
				}
			}
		}
	}
}

func testLookup(t *testing.T, a store.Archive) {
	entries := Entries(30)
	insert(t, a, entries...)
	absent := store.NewEntry(Pubsub, Message(Topic(0), Base, "absent"))
	asked := []message.Hash{absent.Hash, entries[4].Hash, entries[2].Hash, entries[4].Hash}
	page := query(t, a, &store.Query{Hashes: asked})
	if len(page.Messages) != 2 || page.Messages[0].Message != nil || page.Messages[0].PubsubTopic != "" {
		t.Fatalf("presence: %v", page.Messages)
	}
	page = query(t, a, &store.Query{Hashes: asked, IncludeData: true, PubsubTopic: Pubsub})
	if len(page.Messages) != 2 || page.Messages[0].Message == nil {
		t.Fatalf("lookup: %v", page.Messages)
	}
	if got := query(t, a, &store.Query{Hashes: asked, PubsubTopic: "/waku/2/rs/16/64"}); len(got.Messages) != 0 {
		t.Fatalf("lookup on another pubsub topic: %v", got.Messages)
	}
}

func testLimits(t *testing.T, a store.Archive) {
	insert(t, a, Entries(store.MaxPage+1)...)
	for limit, want := range map[uint64]int{
		0: store.DefaultPage, 1: 1, store.MaxPage: store.MaxPage, store.MaxPage + 1: store.MaxPage, 1 << 63: store.MaxPage,
	} {
		if got := len(query(t, a, &store.Query{Limit: limit}).Messages); got != want {
			t.Errorf("limit %d: %d messages, want %d", limit, got, want)
		}
	}
	hashes := make([]message.Hash, store.MaxHashes+1)
	query(t, a, &store.Query{Hashes: hashes[:store.MaxHashes]})
	topics := make([]string, store.MaxContentTopics+1)
	for i := range topics {
		topics[i] = fmt.Sprint(i)
	}
	query(t, a, &store.Query{PubsubTopic: Pubsub, ContentTopics: topics[:store.MaxContentTopics]})
	for _, q := range []*store.Query{{Hashes: hashes}, {PubsubTopic: Pubsub, ContentTopics: topics}} {
		if _, err := a.Query(context.Background(), q); !errors.Is(err, store.ErrQuery) {
			t.Errorf("over the limit: %v", err)
		}
	}
}

func testInsert(t *testing.T, a store.Archive) {
	e := Entries(5)
	insert(t, a)
	insert(t, a, e[0], e[1], e[0])
	insert(t, a, e[1], e[2])
	if got := len(query(t, a, &store.Query{}).Messages); got != 3 {
		t.Fatalf("%d messages, want 3", got)
	}
	wrong := e[4]
	wrong.Hash[0] ^= 1
	if err := a.Insert(context.Background(), e[3], wrong); !errors.Is(err, store.ErrHashMismatch) {
		t.Fatalf("wrong hash: %v", err)
	}
	if got := len(query(t, a, &store.Query{}).Messages); got != 3 {
		t.Fatalf("%d messages after a refused insert, want 3", got)
	}
}

func testRefusals(t *testing.T, a store.Archive) {
	now := time.Now()
	ephemeral := Message(Topic(0), Base, "x")
	ephemeral.Ephemeral = proto.Bool(true)
	untimed := Message(Topic(0), Base, "x")
	untimed.Timestamp = nil
	for _, c := range []struct {
		m    *wakupb.WakuMessage
		want error
	}{
		{ephemeral, store.ErrEphemeral},
		{untimed, store.ErrNoTimestamp},
		{Message(Topic(0), 0, "x"), store.ErrNoTimestamp},
		{Message(Topic(0), now.Add(2*store.MaxFuture).UnixNano(), "x"), store.ErrFuture},
		{Message(Topic(0), Base, ""), store.ErrInvalid},
		{nil, store.ErrInvalid},
	} {
		if err := a.Insert(context.Background(), store.NewEntry(Pubsub, c.m)); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
	if err := a.Insert(context.Background(), store.NewEntry("", Message(Topic(0), Base, "x"))); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no pubsub topic: %v", err)
	}
	if got := len(query(t, a, &store.Query{}).Messages); got != 0 {
		t.Fatalf("%d messages kept", got)
	}
	unknown := message.Hash{1}
	if _, err := a.Query(context.Background(), &store.Query{Cursor: &unknown}); !errors.Is(err, store.ErrUnknownCursor) {
		t.Errorf("unknown cursor: %v", err)
	}
	if _, err := a.Query(context.Background(), &store.Query{PubsubTopic: Pubsub}); !errors.Is(err, store.ErrQuery) {
		t.Errorf("half a filter: %v", err)
	}
}

// testStrange keeps topics with characters that databases stumble over.
func testStrange(t *testing.T, a store.Archive) {
	topics := []string{"a\x00b", "a", "a\x00", "'; DROP TABLE messages; --", "A", "ä", "a\u0308", "%", " a"}
	for i, topic := range topics {
		insert(t, a, store.NewEntry(topic, Message(topic, Base+int64(i), "x")))
	}
	for _, topic := range topics {
		page := query(t, a, &store.Query{PubsubTopic: topic, ContentTopics: []string{topic}, IncludeData: true})
		if len(page.Messages) != 1 || page.Messages[0].PubsubTopic != topic || page.Messages[0].Message.ContentTopic != topic {
			t.Errorf("%q: %v", topic, page.Messages)
		}
	}
}

// testConcurrency inserts from several goroutines while others read: each
// sees its own insert, and pages are never out of order.
func testConcurrency(t *testing.T, a store.Archive) {
	entries := Entries(160)
	var wg sync.WaitGroup
	for part := range slices.Chunk(entries, 20) {
		wg.Go(func() {
			for two := range slices.Chunk(part, 2) {
				if err := a.Insert(context.Background(), two...); err != nil {
					t.Error(err)
					return
				}
				page, err := a.Query(context.Background(), &store.Query{Hashes: []message.Hash{two[0].Hash, two[1].Hash}, IncludeData: true})
				if err != nil || len(page.Messages) != 2 {
					t.Errorf("an entry just inserted is missing: %v, %v", page, err)
					return
				}
				if page, err = a.Query(context.Background(), &store.Query{IncludeData: true, Limit: store.MaxPage}); err != nil || !slices.IsSortedFunc(page.Messages, order) {
					t.Errorf("page out of order, %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.Query(done, &store.Query{IncludeData: true}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	Same(t, query(t, a, &store.Query{Forward: true, Limit: 100}), Answer(entries, &store.Query{Forward: true, Limit: 100}))
}

func testClose(t *testing.T, a store.Archive) {
	insert(t, a, Entries(3)...)
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	if err := a.Insert(context.Background(), Entries(1)...); !errors.Is(err, store.ErrClosed) {
		t.Errorf("insert: %v", err)
	}
	if _, err := a.Query(context.Background(), &store.Query{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("query: %v", err)
	}
}
