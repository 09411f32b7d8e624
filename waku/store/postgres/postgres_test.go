package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/storetest"
)

// fresh returns a new archive and its place.
func fresh(t testing.TB, cfg postgres.Config) (*postgres.Archive, string, postgres.Config) {
	t.Helper()
	url := postgrestest.Shared(t).URL("postgres")
	cfg.Schema = postgrestest.Name()
	return open(t, url, cfg), url, cfg
}

// value asks the database for one number.
func value(t testing.TB, url, schema, sql string) (n int64) {
	t.Helper()
	ctx := context.Background()
	c, err := postgres.Connect(ctx, url, schema)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	if err := c.QueryRow(ctx, sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func insert(t testing.TB, a store.Archive, entries ...store.Entry) {
	t.Helper()
	if err := a.Insert(context.Background(), entries...); err != nil {
		t.Fatal(err)
	}
}

func hashesOf(entries []store.Entry) (out []message.Hash) {
	for _, e := range entries {
		out = append(out, e.Hash)
	}
	return out
}

// TestMigrations: a schema is brought up to date and keeps what is in it; one
// of a later version is refused; a failing step leaves what was there.
func TestMigrations(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, url, cfg := fresh(t, postgres.Config{})
	insert(t, a, storetest.Entries(10)...)
	version := func() int64 { return value(t, url, cfg.Schema, `SELECT version FROM state`) }
	current := int64(len(postgres.Migrations))
	if version() != current {
		t.Fatalf("version %d, want %d", version(), current)
	}
	broken := append(slices.Clone(postgres.Migrations), `CREATE TABLE later ()`, `SELECT 1/0`)
	if err := postgres.MigrateTo(ctx, url, cfg.Schema, broken); err == nil {
		t.Fatal("a failing step passed")
	}
	if version() != current || value(t, url, cfg.Schema, `SELECT count(*) FROM pg_class WHERE relname = 'later' AND relnamespace = current_schema()::regnamespace`) != 0 {
		t.Fatal("a failing step left something")
	}
	later := append(slices.Clone(postgres.Migrations), `ALTER TABLE state ADD remark bigint NOT NULL DEFAULT 7`)
	if err := postgres.MigrateTo(ctx, url, cfg.Schema, later); err != nil {
		t.Fatal(err)
	}
	if got := value(t, url, cfg.Schema, `SELECT remark FROM state`); version() != current+1 || got != 7 {
		t.Fatalf("version %d, remark %d", version(), got)
	}
	if _, err := postgres.Open(ctx, url, cfg); !errors.Is(err, store.ErrSchema) {
		t.Fatalf("a later schema: %v", err)
	}
	// The archive that was open goes on.
	page, err := a.Query(ctx, &store.Query{})
	if err != nil || len(page.Messages) != 10 {
		t.Fatal(page, err)
	}
}

// TestOpenTogether: many processes may find a schema missing at once.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	url, cfg := postgrestest.Shared(t).URL("postgres"), postgres.Config{Schema: postgrestest.Name() + ` "quoted"`}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			a, err := postgres.Open(context.Background(), url, cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(a.Insert(context.Background(), storetest.Entries(20)[i:i+2]...), a.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	page, err := open(t, url, cfg).Query(context.Background(), &store.Query{})
	if err != nil || len(page.Messages) != 7 {
		t.Fatal(page, err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []postgres.Config{
		{Slice: postgres.MinSlice - 1}, {Slice: -1}, {Readers: -1}, {Schema: strings.Repeat("x", 64)},
	} {
		if _, err := postgres.Open(context.Background(), "postgres://127.0.0.1:1/x", c); !errors.Is(err, postgres.ErrConfig) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestTimes keeps entries of any time there is, in partitions that do not
// overlap, and finds them again.
func TestTimes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, url, cfg := fresh(t, postgres.Config{Slice: time.Hour})
	now := time.Now()
	hour := int64(time.Hour)
	times := []int64{
		1, 2, hour - 1, hour, 1_000_000_000_000_000_000, storetest.Base, storetest.Base + 1,
		now.UnixNano(), now.Add(store.MaxFuture - time.Second).UnixNano(),
		now.UnixNano() / hour * hour, now.UnixNano()/hour*hour - 1,
	}
	for ago := time.Minute; ago < 50*365*24*time.Hour; ago *= 2 {
		times = append(times, now.Add(-ago).UnixNano())
	}
	var entries []store.Entry
	for i, at := range times {
		entries = append(entries, store.NewEntry(storetest.Pubsub, storetest.Message(storetest.Topic(i), at, fmt.Sprint(i))))
	}
	for part := range slices.Chunk(entries, 7) {
		insert(t, a, part...)
	}
	// Another width from now on; the partitions that are there stay.
	b := open(t, url, postgres.Config{Schema: cfg.Schema, Slice: 25 * time.Minute})
	for i, ago := range []time.Duration{3 * time.Hour, 190 * time.Minute, 200 * time.Hour, 9000 * time.Hour} {
		e := store.NewEntry(storetest.Pubsub, storetest.Message(storetest.Topic(i), now.Add(-ago).UnixNano(), "more"))
		entries = append(entries, e)
		insert(t, b, e)
	}
	for _, archive := range []store.Archive{a, b} {
		for _, e := range entries {
			at := e.Message.GetTimestamp()
			for _, q := range []*store.Query{
				{TimeStart: at, TimeEnd: at + 1}, {Hashes: []message.Hash{e.Hash}},
				{TimeStart: at, TimeEnd: at + 1, PubsubTopic: e.PubsubTopic, ContentTopics: []string{e.Message.ContentTopic}},
			} {
				page, err := archive.Query(ctx, q)
				if err != nil || len(page.Messages) != 1 || page.Messages[0].Hash != e.Hash {
					t.Fatalf("%d: %v, %v", at, page, err)
				}
			}
		}
	}
	if n := value(t, url, cfg.Schema, `SELECT count(*) FROM slices a JOIN slices b ON a.start < b.stop AND b.start < a.stop AND a.start <> b.start`); n != 0 {
		t.Fatalf("%d partitions overlap", n)
	}
	if n := value(t, url, cfg.Schema, `SELECT count(*) FROM slices`); n > 40 {
		t.Fatalf("%d partitions", n)
	}
	if n := value(t, url, cfg.Schema, `SELECT count(*) FROM slices WHERE stop - start > 3600000000000 AND stop > extract(epoch FROM now() - interval '60 hours') * 1000000000`); n != 0 {
		t.Fatalf("%d partitions of these days are coarse", n)
	}
	late := storetest.Message("/late/1/x/proto", time.Now().Add(store.MaxFuture+time.Minute).UnixNano(), "x")
	if err := a.Insert(ctx, store.NewEntry(storetest.Pubsub, late)); !errors.Is(err, store.ErrFuture) {
		t.Fatal(err)
	}
}

// TestSpanOf: a partition has its timestamp, is clear of its neighbours, and is
// of a size that keeps their number low.
func TestSpanOf(t *testing.T) {
	t.Parallel()
	const d = int64(24 * time.Hour)
	now := 20_000 * d
	for _, c := range []struct {
		at          int64
		there       [][2]int64
		start, stop int64
	}{
		{now + 5, nil, now, now + d},
		{now - 1, nil, now - d, now},
		{now - 64*d, nil, now - 64*d, now - 63*d},
		{now - 64*d - 1, nil, 64 * d * ((now/d - 65) / 64), now - 64*d},
		{now - 66*d, nil, 64 * d * ((now/d - 66) / 64), now - 64*d},
		{1, nil, 0, 4096 * d},
		{now - 300*d, nil, 64 * d * ((now/d - 300) / 64), 64 * d * ((now/d-300)/64 + 1)},
		{now + 5, [][2]int64{{0, now + 2}, {now + 9, now + 10*d}}, now + 2, now + 9},
		{now - 66*d, [][2]int64{{now - 67*d, now - 66*d}, {now - 65*d, now}}, now - 66*d, now - 65*d},
		{math.MaxInt64 - 1, nil, math.MaxInt64 / d * d, math.MaxInt64},
	} {
		if start, stop := postgres.SpanOf(c.at, now, 24*time.Hour, c.there); start != c.start || stop != c.stop {
			t.Errorf("%d beside %v: from %d to %d, want from %d to %d", c.at, c.there, start, stop, c.start, c.stop)
		}
	}
	if start, stop := postgres.SpanOf(5, math.MaxInt64, math.MaxInt64, nil); start != 0 || stop != math.MaxInt64 {
		t.Errorf("the widest: from %d to %d", start, stop)
	}
}

// TestShared has two archives in one database insert the same entries at the
// same time, while a third one prunes: each entry is kept and counted once, and
// none of a topic that was forgotten meanwhile is lost.
func TestShared(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, url, cfg := fresh(t, postgres.Config{Slice: time.Hour})
	b, c := open(t, url, cfg), open(t, url, cfg)
	entries := storetest.SpreadEntries(600, 60, 5*time.Minute)
	old := storetest.Base + int64(10*time.Hour)
	var wg sync.WaitGroup
	for _, archive := range []store.Archive{a, b, a, b} {
		wg.Go(func() {
			for part := range slices.Chunk(entries, 15) {
				if err := archive.Insert(ctx, part...); err != nil {
					t.Error(err)
					return
				}
				page, err := archive.Query(ctx, &store.Query{Hashes: hashesOf(part), IncludeData: true})
				young := 0
				for _, e := range part {
					if e.Message.GetTimestamp() >= old {
						young++
					}
				}
				if err != nil || len(page.Messages) < young {
					t.Errorf("%d of %d entries just inserted, %v", len(page.Messages), young, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 12 {
			if _, err := c.Prune(ctx, store.Retention{Age: time.Hour}, time.Unix(0, old).Add(time.Hour)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Wait()
	if _, err := c.Prune(ctx, store.Retention{Age: time.Hour}, time.Unix(0, old).Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e store.Entry) bool { return e.Message.GetTimestamp() < old })
	for _, archive := range []*postgres.Archive{a, b, c} {
		q := &store.Query{Forward: true, IncludeData: true, Limit: store.MaxPage}
		page, err := archive.Query(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Same(t, page, storetest.Answer(entries, q))
		stats, err := archive.Stats(ctx)
		if err != nil || stats.Messages != int64(len(entries)) {
			t.Fatalf("%d messages, want %d, %v", stats.Messages, len(entries), err)
		}
	}
	if n := value(t, url, cfg.Schema, `SELECT count(*) FROM messages`); n != int64(len(entries)) {
		t.Fatalf("%d rows, want %d", n, len(entries))
	}
}

// TestForgetTopics: topics go with their last message, in every process.
func TestForgetTopics(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, url, cfg := fresh(t, postgres.Config{})
	b := open(t, url, cfg)
	entries := storetest.SpreadEntries(100, 10, time.Minute)
	insert(t, a, entries...)
	insert(t, b, entries...) // both know the topics' numbers
	if _, err := b.Prune(ctx, store.Retention{Age: time.Hour}, time.Unix(0, storetest.Base).Add(1000*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"topics", "pubsubs", "volumes", "messages"} {
		if n := value(t, url, cfg.Schema, `SELECT count(*) FROM `+table); n != 0 {
			t.Errorf("%d %s are left", n, table)
		}
	}
	insert(t, a, entries...)
	for i, e := range entries {
		archive := []*postgres.Archive{a, b}[i%2]
		page, err := archive.Query(ctx, &store.Query{PubsubTopic: e.PubsubTopic, ContentTopics: []string{e.Message.ContentTopic},
			TimeStart: e.Message.GetTimestamp(), TimeEnd: e.Message.GetTimestamp() + 1, IncludeData: true})
		if err != nil || !slices.ContainsFunc(page.Messages, func(m store.Entry) bool { return m.Hash == e.Hash && m.PubsubTopic == e.PubsubTopic }) {
			t.Fatalf("%v, %v", page, err)
		}
	}
}
