package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/storetest"
)

// TestLookup: hashes are found on both sides of the time where lookups begin,
// on it, and together with some that are nowhere; each once.
func TestLookup(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, _, _ := fresh(t, postgres.Config{Slice: time.Hour})
	now := time.Now()
	var entries []store.Entry
	for i := range 40 { // from now to five slices ago
		at := now.Add(-time.Duration(i) * 450 * time.Second).UnixNano()
		entries = append(entries, store.NewEntry(storetest.Pubsub, storetest.Message(storetest.Topic(i%3), at, fmt.Sprint(i))))
	}
	insert(t, a, entries...)
	for _, some := range [][]store.Entry{entries, entries[:3], entries[30:], entries[6:10], nil} {
		for _, data := range []bool{false, true} {
			q := &store.Query{IncludeData: data, Limit: store.MaxPage, Forward: true, Hashes: hashesOf(some)}
			for i := range 5 {
				q.Hashes = append(q.Hashes, message.Hash{byte(i), 1})
			}
			q.Hashes = append(q.Hashes, hashesOf(some)...)
			page, err := a.Query(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			storetest.Same(t, page, storetest.Answer(some, q))
		}
	}
	for _, e := range []store.Entry{entries[0], entries[8], entries[39]} {
		q := &store.Query{Limit: store.MaxPage, Cursor: &e.Hash}
		page, err := a.Query(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Same(t, page, storetest.Answer(entries, q))
	}
}

// TestEncoded: a query that asks for encoded messages gets those that it would
// have got decoded, by each way to find them.
func TestEncoded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, _, _ := fresh(t, postgres.Config{})
	entries := storetest.SpreadEntries(60, 30, time.Hour)
	insert(t, a, entries...)
	var many []string
	for i := range 40 {
		many = append(many, storetest.Topic(i))
	}
	for name, q := range map[string]store.Query{
		"everything":  {},
		"hashes":      {Hashes: hashesOf(entries[10:30])},
		"topic":       {PubsubTopic: storetest.Pubsub, ContentTopics: []string{entries[0].Message.ContentTopic}},
		"many topics": {PubsubTopic: storetest.Pubsub, ContentTopics: many},
	} {
		q.IncludeData, q.Limit = true, store.MaxPage
		want, err := a.Query(ctx, &q)
		if err != nil || len(want.Messages) == 0 {
			t.Fatal(name, len(want.Messages), err)
		}
		q.Encoded = true
		got, err := a.Query(ctx, &q)
		if err != nil || len(got.Messages) != len(want.Messages) {
			t.Fatal(name, err)
		}
		for i, e := range got.Messages {
			m := new(wakupb.WakuMessage)
			if e.Message != nil || e.Encoded == nil || e.Hash != want.Messages[i].Hash || e.PubsubTopic != want.Messages[i].PubsubTopic ||
				proto.Unmarshal(e.Encoded, m) != nil || !proto.Equal(m, want.Messages[i].Message) {
				t.Fatalf("%s: %+v, want %+v", name, e, want.Messages[i])
			}
		}
	}
}

// TestRefused: insertions that are refused keep none of their entries, and all
// of those beside them are kept.
func TestRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, _, _ := fresh(t, postgres.Config{})
	entries := storetest.Entries(400) // enough for several goroutines to encode
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			part := slices.Clone(entries[i*50 : i*50+50])
			if i%2 == 0 {
				if err := a.Insert(ctx, part...); err != nil {
					t.Error(err)
				}
				return
			}
			part[49-i].Hash[0]++
			if err := a.Insert(ctx, part...); !errors.Is(err, store.ErrHashMismatch) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	bad := slices.Clone(entries)
	bad[300].Hash[0]++
	if err := a.Insert(ctx, bad...); !errors.Is(err, store.ErrHashMismatch) {
		t.Fatal(err)
	}
	var want []store.Entry
	for i := 0; i < 8; i += 2 {
		want = append(want, entries[i*50:i*50+50]...)
	}
	stats, err := a.Stats(ctx)
	if err != nil || stats.Messages != int64(len(want)) {
		t.Fatalf("%d messages, want %d, %v", stats.Messages, len(want), err)
	}
	q := &store.Query{Hashes: hashesOf(entries[:100]), Limit: store.MaxPage}
	page, err := a.Query(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, page, storetest.Answer(want, q))
}
