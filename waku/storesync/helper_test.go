package storesync

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/storetest"
)

const (
	topicA = "/waku/2/rs/16/32"
	topicB = "/waku/2/rs/16/64"
	// patience is how long a test waits for what must happen.
	patience = eventually.Patience
)

// memory is an archive without an index.
type memory struct {
	mu      sync.Mutex
	entries map[store.ID]store.Entry
	ids     []store.ID
	fail    error // of insertions
}

var _ Archive = (*memory)(nil)

func archiveOf(t testing.TB, entries ...store.Entry) *memory {
	t.Helper()
	m := &memory{entries: make(map[store.ID]store.Entry)}
	if err := m.Insert(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *memory) Insert(_ context.Context, entries ...store.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for i := range entries {
		if err := entries[i].Check(time.Now()); err != nil {
			return err
		}
	}
	for i := range entries {
		id := idOf(&entries[i])
		if _, there := m.entries[id]; !there {
			m.entries[id] = entries[i]
			at, _ := slices.BinarySearchFunc(m.ids, id, compareIDs)
			m.ids = slices.Insert(m.ids, at, id)
		}
	}
	return nil
}

func (m *memory) IDs(_ context.Context, s store.Span) iter.Seq2[store.ID, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.ID
	for _, id := range m.ids {
		if id.Timestamp >= s.Start && id.Timestamp < s.End && (len(s.PubsubTopics) == 0 || slices.Contains(s.PubsubTopics, m.entries[id].PubsubTopic)) {
			out = append(out, id)
		}
	}
	return func(yield func(store.ID, error) bool) {
		for _, id := range out {
			if !yield(id, nil) {
				return
			}
		}
	}
}

func (m *memory) Query(_ context.Context, q *store.Query) (*store.Page, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	return storetest.Answer(m.all(), q), nil
}

func (m *memory) Close() error { return nil }

// all returns the entries in order.
func (m *memory) all() []store.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]store.Entry, len(m.ids))
	for i, id := range m.ids {
		out[i] = m.entries[id]
	}
	return out
}

func (m *memory) hashes() []message.Hash {
	var out []message.Hash
	for _, e := range m.all() {
		out = append(out, e.Hash)
	}
	return out
}

// sameArchives fails the test unless all archives hold n entries, the same.
func sameArchives(t testing.TB, n int, archives ...*memory) {
	t.Helper()
	want := archives[0].hashes()
	for i, a := range archives {
		got := a.hashes()
		if len(got) != n || !slices.Equal(got, want) {
			t.Errorf("archive %d holds %d entries, want %d, the same as the others", i, len(got), n)
		}
	}
}

// entry makes one with a payload of its own.
func entry(topic string, at time.Time, n int) store.Entry {
	return store.NewEntry(topic, storetest.Message(storetest.Topic(n), at.UnixNano(), fmt.Sprintf("message %d", n)))
}

// entries makes n, a second apart, the last one ten minutes ago.
func entries(topic string, first, n int) []store.Entry {
	out := make([]store.Entry, n)
	end := time.Now().Add(-10 * time.Minute)
	for i := range out {
		out[i] = entry(topic, end.Add(time.Duration(i-n)*time.Second), first+i)
	}
	return out
}

// lastDay is a span with all entries of the tests.
func lastDay() store.Span {
	now := time.Now()
	return store.Span{Start: now.Add(-24 * time.Hour).UnixNano(), End: now.Add(-time.Minute).UnixNano()}
}

func topics(t ...string) func() []string { return func() []string { return t } }

// serve mounts a service that begins nothing.
func serve(t testing.TB, h host.Host, a Archive, change func(*Config)) *Service {
	t.Helper()
	cfg := Config{Archive: a, PubsubTopics: topics(topicA), Interval: -1}
	if change != nil {
		change(&cfg)
	}
	s := NewService(h, cfg)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// sync synchronizes the last day.
func syncDay(t testing.TB, s *Service, p peer.ID) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := s.Sync(ctx, p, lastDay())
	if err != nil {
		t.Fatalf("%v after %+v", err, r)
	}
	return r
}

// randomIDs returns n ids between two timestamps, in order.
func randomIDs(rng *rand.Rand, n int, start, end int64) []store.ID {
	seen := make(map[store.ID]bool, n)
	for len(seen) < n {
		id := store.ID{Timestamp: start + rng.Int64N(end-start)}
		for i := 0; i < len(id.Hash); i += 8 {
			binary.LittleEndian.PutUint64(id.Hash[i:], rng.Uint64())
		}
		seen[id] = true
	}
	out := make([]store.ID, 0, n)
	for id := range seen {
		out = append(out, id)
	}
	slices.SortFunc(out, compareIDs)
	return out
}

func setOf(t testing.TB, ids ...store.ID) *Set {
	t.Helper()
	s, err := NewSet(ids)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
