package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// lingering is an archive that takes its time for each transaction.
type lingering struct {
	store.Archive
	pause time.Duration
}

func (a lingering) Insert(ctx context.Context, entries ...store.Entry) error {
	<-time.After(a.pause)
	return a.Archive.Insert(ctx, entries...)
}

// TestCloseLosesNothing: a service node stops while clients push as fast as
// they can and the archive is slow. What it said to have taken is in the
// archive, with the relay's neighbour and with the filter subscriber.
func TestCloseLosesNothing(t *testing.T) {
	t.Parallel()
	kept := archiveFor(t)
	s := start(t, Config{
		Mode: Service, Archive: lingering{kept, 400 * time.Millisecond},
		Limits: Limits{Lightpush: lightpush.RateLimit{PerSecond: 1e9, Burst: 1e9}},
	})
	neighbour, subscriber := full(t, s), light(t, s)
	const pushers, enough = 6, 300
	var accepted sync.Map
	var count atomic.Int64
	var wg sync.WaitGroup
	reached := make(chan struct{})
	for i := range pushers {
		l := start(t, Config{Mode: Light, Peers: infos(s)})
		awaitPeer(t, l, s.h.ID())
		wg.Go(func() {
			for k := 0; ; k++ {
				m := text(fmt.Sprint("pusher ", i, " message ", k))
				if _, err := lightpush.Push(t.Context(), l.h, s.h.ID(), shard32, m); err != nil {
					return
				}
				accepted.Store(message.HashOf(shard32, m), string(m.Payload))
				if count.Add(1) == enough {
					close(reached)
				}
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatalf("only %d messages accepted", count.Load())
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed with %v", err)
	}
	wg.Wait()
	t.Logf("%d messages accepted", count.Load())
	missing := make(map[message.Hash]string)
	accepted.Range(func(h, text any) bool {
		missing[h.(message.Hash)] = text.(string)
		return true
	})
	for h, text := range missing {
		page, err := kept.Query(t.Context(), &store.Query{Hashes: []message.Hash{h}})
		if err != nil || len(page.Messages) != 1 {
			t.Errorf("%s is not in the archive: %v", text, err)
		}
	}
	for name, n := range map[string]*Node{"neighbour": neighbour, "subscriber": subscriber} {
		left := len(missing)
		late := time.After(patience)
		for left > 0 {
			select {
			case e := <-n.Envelopes():
				if _, ok := missing[e.Hash]; ok {
					left--
				}
			case <-late:
				t.Fatalf("%d of %d did not reach the %s", left, len(missing), name)
			}
		}
	}
	if st := s.Status().Archive; st.Lost != 0 || st.Queued != 0 || st.Written < uint64(len(missing)) {
		t.Errorf("archive %+v", st)
	}
}

// TestCloseAnswersRequests: a request under way when the node closes, with a
// message that waits for the archive, is answered.
func TestCloseAnswersRequests(t *testing.T) {
	t.Parallel()
	a := &faultyArchive{block: make(chan struct{}), entered: make(chan struct{}, 16)}
	release := sync.OnceFunc(func() { close(a.block) })
	defer release()
	s := start(t, Config{Mode: Service, Archive: a})
	l := start(t, Config{Mode: Light, Peers: infos(s)})
	awaitPeer(t, l, s.h.ID())
	answered := make(chan error, 1)
	go func() {
		_, err := lightpush.Push(t.Context(), l.h, s.h.ID(), shard32, text("under way"))
		answered <- err
	}()
	<-a.entered
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	eventually.True(t, "the end of lightpush", func() bool {
		s.pushing.mu.Lock()
		defer s.pushing.mu.Unlock()
		return s.pushing.closed
	})
	if _, err := lightpush.Push(t.Context(), l.h, s.h.ID(), shard32, text("too late")); err == nil {
		t.Error("a message is taken after the end")
	}
	release()
	if err := <-answered; err != nil {
		t.Errorf("answered with %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if len(a.kept) != 1 {
		t.Errorf("kept %q", a.kept)
	}
}

// TestCloseDrainsPushes: what waits for a subscriber because pushes keep a
// pace reaches it before the end.
func TestCloseDrainsPushes(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, FilterPushRate: 40})
	f, l := full(t, s), light(t, s)
	var sent []*wakuMessage
	for range filterPushBurst + 30 {
		m := text("paced")
		publish(t, s, m)
		sent = append(sent, m)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	expectAll(t, l, sent...)
	expectAll(t, f, sent...)
}

// TestCloseRefusesNewcomers: once it closes, a node takes no connection.
func TestCloseRefusesNewcomers(t *testing.T) {
	t.Parallel()
	a := &faultyArchive{block: make(chan struct{}), entered: make(chan struct{}, 16)}
	release := sync.OnceFunc(func() { close(a.block) })
	defer release()
	s := start(t, Config{Mode: Service, Archive: a})
	s.archive.add(t.Context(), shard32, text("held"), message.Hash{1})
	<-a.entered
	at := info(s.h)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	eventually.True(t, "the gate closed", func() bool { return !s.gate.open.Load() })
	l := start(t, Config{Mode: Light})
	if err := l.Dial(t.Context(), at); err == nil {
		t.Error("connected to a node that closes")
	}
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if len(a.kept) != 1 {
		t.Errorf("kept %q", a.kept)
	}
}

// fakeStream is a stream of which nothing but its reading matters.
type fakeStream struct {
	network.Stream
	reset atomic.Bool
}

func (s *fakeStream) Read(b []byte) (int, error) { return copy(b, "x"), nil }
func (s *fakeStream) Reset() error               { s.reset.Store(true); return nil }

// TestRequestsDrain: idle streams end, requests under way are waited for, and
// new ones are not let in.
func TestRequestsDrain(t *testing.T) {
	t.Parallel()
	all := newRequests()
	idle, busy := &fakeStream{}, &fakeStream{}
	waits, works := &request{Stream: idle, all: all}, &request{Stream: busy, all: all}
	if !all.enter(waits) || !all.enter(works) {
		t.Fatal("not let in")
	}
	for range 2 {
		if _, err := works.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all.drain(ctx) // whose patience is over
	if !idle.reset.Load() || busy.reset.Load() {
		t.Errorf("idle reset: %v, busy reset: %v", idle.reset.Load(), busy.reset.Load())
	}
	if all.enter(&request{Stream: &fakeStream{}, all: all}) {
		t.Error("let in after the end")
	}
	done := make(chan struct{})
	go func() {
		all.drain(t.Context())
		close(done)
	}()
	all.leave(waits)
	select {
	case <-done:
		t.Error("did not wait")
	default:
	}
	all.leave(works)
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("waited for nothing")
	}
	empty := newRequests()
	empty.drain(t.Context())
	empty.drain(t.Context())
}
