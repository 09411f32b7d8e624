package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// faultyArchive fails when a batch holds a message with the payload "bad".
type faultyArchive struct {
	mu      sync.Mutex
	kept    []string
	block   chan struct{} // when not nil, Insert waits for it
	entered chan struct{}
}

var errFaulty = errors.New("disk on fire")

func (a *faultyArchive) Insert(_ context.Context, entries ...store.Entry) error {
	if a.block != nil {
		a.entered <- struct{}{}
		<-a.block
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range entries {
		if string(e.Message.Payload) == "bad" {
			return errFaulty
		}
	}
	for _, e := range entries {
		a.kept = append(a.kept, string(e.Message.Payload))
	}
	return nil
}

func (a *faultyArchive) Query(context.Context, *store.Query) (*store.Page, error) {
	return &store.Page{}, nil
}
func (a *faultyArchive) Close() error { return nil }

// TestArchivist: one bad message does not cost the others, closing writes
// what waits, and what may not be stored never gets there.
func TestArchivist(t *testing.T) {
	t.Parallel()
	a := &faultyArchive{block: make(chan struct{}), entered: make(chan struct{}, 16)}
	w := newArchivist(a, discardLogger(), nil)
	add := func(payload string, change ...func(*wakuMessage)) *wakuMessage {
		m := message.New([]byte(payload), content, time.Now(), false)
		for _, f := range change {
			f(m)
		}
		w.add(t.Context(), shard32, m, message.HashOf(shard32, m))
		return m
	}
	add("first")
	<-a.entered // and the rest waits for one batch
	add("second")
	add("bad")
	yes := true
	add("ephemeral", func(m *wakuMessage) { m.Ephemeral = &yes })
	add("third")
	close(a.block)
	if err := w.close(time.Minute); err == nil {
		t.Error("closing hides what was lost")
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(a.kept, want) {
		t.Errorf("kept %q, want %q", a.kept, want)
	}
	m := message.New([]byte("late"), content, time.Now(), false)
	if err := w.keep(t.Context(), shard32, m, message.HashOf(shard32, m)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	w.add(t.Context(), shard32, m, message.HashOf(shard32, m)) // must not block
}

// TestLightpushTellsOfAFailedArchive: a lone service that cannot keep a
// message does not say that it did, and takes it when it can.
func TestLightpushTellsOfAFailedArchive(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, Archive: &faultyArchive{}})
	m := message.New([]byte("bad"), content, time.Now(), false)
	if _, err := s.publishFor(t.Context(), shard32, m); !errors.Is(err, errFaulty) {
		t.Fatalf("error %v", err)
	}
	if knows(s, m) {
		t.Error("the refused message counts as seen")
	}
	if _, err := s.publishFor(t.Context(), shard32, text("good")); err != nil {
		t.Fatal(err)
	}
}

// brokenArchive takes nothing while broken.
type brokenArchive struct {
	faultyArchive
	state  sync.Mutex
	broken bool
	asked  int
}

func (a *brokenArchive) set(broken bool) {
	a.state.Lock()
	defer a.state.Unlock()
	a.broken = broken
}

func (a *brokenArchive) Insert(ctx context.Context, entries ...store.Entry) error {
	a.state.Lock()
	defer a.state.Unlock()
	a.asked++
	if a.broken {
		return errFaulty
	}
	return a.faultyArchive.Insert(ctx, entries...)
}

// numbered is message i of a test; its hash is not that of its content.
func numbered(i int) (*wakuMessage, message.Hash) {
	m := message.New(fmt.Append(nil, i), content, time.Now(), false)
	return m, message.Hash{byte(i), byte(i >> 8), byte(i >> 16)}
}

// TestArchiveOutage: what is accepted while the archive is away waits for it
// and is written when it is back, in order and once; the status tells of it.
func TestArchiveOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &brokenArchive{broken: true}
		var failed, took int
		var log strings.Builder
		w := newArchivist(a, slog.New(slog.NewTextHandler(&log, nil)), func(n int, _ time.Duration, err error) {
			if err != nil {
				failed++
			} else {
				took += n
			}
		})
		var want []string
		for i := range 3 * archiveBatch {
			m, hash := numbered(i)
			w.add(t.Context(), shard32, m, hash)
			want = append(want, string(m.Payload))
		}
		pass(10 * time.Minute)
		st := w.status()
		if !st.Failing || st.Queued != len(want) || st.Written != 0 || st.Lost != 0 || st.LastError != errFaulty.Error() || st.LastErrorAt.IsZero() {
			t.Errorf("while it is away: %+v", st)
		}
		if tries := int(10 * time.Minute / archiveMaxPause); a.asked < tries || a.asked > 4*tries {
			t.Errorf("asked %d times in ten minutes", a.asked)
		}
		a.set(false)
		pass(archiveMaxPause)
		if st := w.status(); st.Failing || st.Queued != 0 || st.Written != uint64(len(want)) || st.Lost != 0 {
			t.Errorf("when it is back: %+v", st)
		}
		if err := w.close(time.Minute); err != nil {
			t.Error(err)
		}
		if !slices.Equal(a.kept, want) {
			t.Errorf("%d messages kept, want %d", len(a.kept), len(want))
		}
		if n := strings.Count(log.String(), "archive fails"); n != int(10*time.Minute/archiveTell) {
			t.Errorf("said %d times that it fails: %s", n, &log)
		}
		if n := strings.Count(log.String(), "works again"); n != 1 || !strings.Contains(log.String(), "failed_for=10m") {
			t.Errorf("said %d times that it works again: %s", n, &log)
		}
		if failed == 0 || took != len(want) {
			t.Errorf("observed %d failures, %d messages", failed, took)
		}
	})
}

// TestArchiveBacklogIsBounded: while the archive is away, what has no room is
// lost and counted, and nobody waits; the rest is lost only when the node's
// patience ends, which it says.
func TestArchiveBacklogIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &brokenArchive{broken: true}
		w := newArchivist(a, discardLogger(), nil)
		m, hash := numbered(0)
		w.add(t.Context(), shard32, m, hash)
		pass(time.Second) // it is known to be away now
		const over = 100
		start := time.Now()
		for i := range archiveQueue + over {
			m, hash := numbered(i + 1)
			w.add(t.Context(), shard32, m, hash)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %s", took)
		}
		if st := w.status(); st.Lost != over || st.Queued != archiveQueue+1 {
			t.Errorf("%+v", st)
		}
		// One that waits for the outcome hears of it.
		if err := w.keep(t.Context(), shard32, m, message.Hash{1}); err == nil {
			t.Error("kept")
		}
		start = time.Now()
		err := w.close(time.Minute)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(archiveQueue+1)) {
			t.Errorf("closed with %v", err)
		}
		if took := time.Since(start); took > time.Minute+archivePause {
			t.Errorf("closing took %s", took)
		}
		if st := w.status(); st.Lost != archiveQueue+1+over || st.Queued != 0 || len(a.kept) != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// TestSlowArchive slows down what comes and loses nothing.
func TestSlowArchive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &slowArchive{pause: time.Second}
		w := newArchivist(a, discardLogger(), nil)
		const n = archiveQueue + 3*archiveBatch
		for i := range n {
			m, hash := numbered(i)
			w.add(t.Context(), shard32, m, hash)
		}
		if err := w.close(time.Minute); err != nil {
			t.Error(err)
		}
		if len(a.kept) != n || w.status().Lost != 0 {
			t.Errorf("%d of %d kept: %+v", len(a.kept), n, w.status())
		}
		// Nobody waits for ever.
		a = &slowArchive{pause: time.Hour}
		w = newArchivist(a, discardLogger(), nil)
		for i := range archiveQueue + 1 { // one is being written
			m, hash := numbered(i)
			w.add(t.Context(), shard32, m, hash)
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m, hash := numbered(n)
		w.add(ctx, shard32, m, hash)
		if st := w.status(); st.Lost != 1 {
			t.Errorf("%+v", st)
		}
		if err := w.close(time.Second); err == nil {
			t.Error("closed without a word")
		}
	})
}

// slowArchive takes its time for each transaction, or until ctx ends.
type slowArchive struct {
	faultyArchive
	pause time.Duration
}

func (a *slowArchive) Insert(ctx context.Context, entries ...store.Entry) error {
	select {
	case <-time.After(a.pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	return a.faultyArchive.Insert(ctx, entries...)
}

// TestUnfitMessages: messages that an archive refuses for what they are, at
// the ends of a batch too, cost neither the others nor time.
func TestUnfitMessages(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"own fault": true, "unknown fault": false} {
		synctest.Test(t, func(t *testing.T) {
			refusal := errFaulty
			if own {
				refusal = fmt.Errorf("%w: really", store.ErrInvalid)
			}
			unfit := []int{0, 7, 50, 99}
			a := &pickyArchive{gate: make(chan struct{}), refuses: func(e store.Entry) error {
				if slices.Contains(unfit, int(e.Hash[0])) {
					return refusal
				}
				return nil
			}}
			w := newArchivist(a, discardLogger(), nil)
			m, hash := numbered(200)
			w.add(t.Context(), shard32, m, hash)
			synctest.Wait() // the rest is one batch
			for i := range 100 {
				m, hash := numbered(i)
				w.add(t.Context(), shard32, m, hash)
			}
			start := time.Now()
			close(a.gate)
			for more := true; more; more = w.status().Queued > 0 {
				m, hash := numbered(201) // life goes on
				w.add(t.Context(), shard32, m, hash)
				pass(10 * time.Millisecond)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("%s: took %s", name, took)
			}
			if st := w.status(); st.Lost != uint64(len(unfit)) || st.Queued != 0 {
				t.Errorf("%s: %+v", name, st)
			}
			seen := make(map[byte]bool)
			for _, h := range a.kept {
				seen[h] = true
			}
			if len(seen) != 100-len(unfit)+2 {
				t.Errorf("%s: %d different messages kept", name, len(seen))
			}
			if err := w.close(time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

// pickyArchive refuses transactions with messages that it does not like.
type pickyArchive struct {
	faultyArchive
	gate    chan struct{}
	refuses func(store.Entry) error
	kept    []byte
}

func (a *pickyArchive) Insert(_ context.Context, entries ...store.Entry) error {
	<-a.gate
	for _, e := range entries {
		if err := a.refuses(e); err != nil {
			return err
		}
	}
	for _, e := range entries {
		a.kept = append(a.kept, e.Hash[0])
	}
	return nil
}

// TestClosedArchive: one that its owner closed too early takes nothing, and
// nobody waits for it.
func TestClosedArchive(t *testing.T) {
	t.Parallel()
	a := archiveFor(t)
	w := newArchivist(a, discardLogger(), nil)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	m := text("late")
	if err := w.keep(t.Context(), shard32, m, message.HashOf(shard32, m)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("error %v", err)
	}
	w.add(t.Context(), shard32, m, message.HashOf(shard32, m))
	if err := w.close(time.Minute); err == nil {
		t.Error("closed without a word")
	}
}

// BenchmarkArchivist is the way of a message of 1 kB into the archive.
func BenchmarkArchivist(b *testing.B) {
	w := newArchivist(archiveFor(b), discardLogger(), nil)
	payload := make([]byte, 1024)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		m := message.New(payload, content, time.Unix(0, int64(i)), false)
		w.add(b.Context(), shard32, m, message.HashOf(shard32, m))
	}
	if err := w.close(time.Minute); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(w.status().Written)/b.Elapsed().Seconds(), "messages/s")
}

// pass lets time pass in a bubble.
func pass(d time.Duration) { <-time.After(d) }
