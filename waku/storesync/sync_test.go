package storesync

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
)

// TestSync: both archives hold the union afterwards, by one session, and a
// second one finds nothing.
func TestSync(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ common, onlyA, onlyB int }{
		"nothing":       {0, 0, 0},
		"equal":         {300, 0, 0},
		"few":           {300, 3, 4},
		"here empty":    {0, 0, 700},
		"there empty":   {0, 700, 0},
		"nothing alike": {0, 400, 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, y := rpctest.Pair(t)
			common := entries(topicA, 0, c.common)
			a := archiveOf(t, append(entries(topicA, 10_000, c.onlyA), common...)...)
			b := archiveOf(t, append(entries(topicA, 20_000, c.onlyB), common...)...)
			var exchanges atomic.Int32
			here := serve(t, x, a, nil)
			serve(t, y, b, func(c *Config) {
				c.Observe = func(e rpc.Exchange) {
					if e.Peer != x.ID() || e.Protocol == ReconcileID && (e.In == 0 || e.Out == 0) {
						t.Errorf("observed %+v", e)
					}
					exchanges.Add(1)
				}
			})
			r := syncDay(t, here, y.ID())
			if r.Sent != c.onlyA || r.Received != c.onlyB || r.Missing != 0 || r.Partial || r.Sessions != 1 || r.BytesIn == 0 || r.BytesOut == 0 {
				t.Errorf("%+v", r)
			}
			sameArchives(t, c.common+c.onlyA+c.onlyB, a, b)
			if r = syncDay(t, here, y.ID()); r.Rounds != 1 || r.BytesIn != 1 || r.Sent+r.Received != 0 {
				t.Errorf("again: %+v", r)
			}
			want := int32(2)
			if c.onlyA > 0 {
				want++
			}
			eventually.True(t, "observations", func() bool { return exchanges.Load() == want })
		})
	}
}

// TestSyncSockets is TestSync over real connections, with messages of every
// size, and begun by both sides.
func TestSyncSockets(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Sockets(t)
	now := time.Now()
	a, b := archiveOf(t), archiveOf(t)
	total := 0
	for i, size := range []int{1, 1000, 150_000, 900_000} {
		for j := range 4 {
			e := entry(topicA, now.Add(-time.Hour+time.Duration(i*4+j)*time.Second), i*4+j)
			e.Message.Payload = make([]byte, size)
			e = store.NewEntry(topicA, e.Message)
			if err := []*memory{a, b}[j%2].Insert(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			total++
		}
	}
	here, there := serve(t, x, a, nil), serve(t, y, b, nil)
	done := make(chan error)
	go func() {
		_, err := there.Sync(t.Context(), x.ID(), lastDay())
		done <- err
	}()
	if _, err := here.Sync(t.Context(), y.ID(), lastDay()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually.True(t, "equal archives", func() bool { return len(a.all()) == total && len(b.all()) == total })
	sameArchives(t, total, a, b)
}

// TestScopes: what both nodes store is synchronized, and nothing else.
func TestScopes(t *testing.T) {
	t.Parallel()
	const named = "/waku/2/default-waku/proto"
	for name, c := range map[string]struct {
		here, there []string
		// a has 2 entries of each of its topics, b none
		sent int
		err  error
	}{
		"the same shards":     {[]string{topicA, topicB}, []string{topicB, topicA}, 4, nil},
		"one shard in common": {[]string{topicA, topicB}, []string{topicB}, 2, nil},
		"more there":          {[]string{topicA}, []string{topicA, topicB}, 2, nil},
		"none in common":      {[]string{topicA}, []string{topicB}, 0, ErrScope},
		"named topics":        {[]string{named}, []string{named}, 2, nil},
		"named and a shard":   {[]string{topicA, named}, []string{topicA}, 2, nil},
		"nothing here":        {nil, []string{topicA}, 0, ErrNoTopics},
		"nothing there":       {[]string{topicA}, nil, 0, ErrScope},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, y := rpctest.Pair(t)
			a, b := archiveOf(t), archiveOf(t)
			for i, topic := range []string{topicA, topicB, named} {
				if err := a.Insert(t.Context(), entries(topic, 10*i, 2)...); err != nil {
					t.Fatal(err)
				}
			}
			here := serve(t, x, a, func(cfg *Config) { cfg.PubsubTopics = topics(c.here...) })
			serve(t, y, b, func(cfg *Config) { cfg.PubsubTopics = topics(c.there...) })
			r, err := here.Sync(t.Context(), y.ID(), lastDay())
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatal(err)
			}
			if r.Sent != c.sent || len(b.all()) != c.sent {
				t.Errorf("%+v, %d there", r, len(b.all()))
			}
		})
	}
}

// TestOlderPeers: one that ends the stream on the form with topics or on the
// form with shards is spoken to in the other one, the next time at once.
func TestOlderPeers(t *testing.T) {
	t.Parallel()
	for _, speaks := range []Form{Shards, Topics} {
		x, y := rpctest.Pair(t)
		here := serve(t, x, archiveOf(t, entries(topicA, 0, 5)...), nil)
		var asked []Form
		y.SetStreamHandler(ReconcileID, func(s network.Stream) {
			frame, err := readFrame(bufio.NewReader(s), MaxPayload)
			if err != nil {
				return
			}
			p, err := Decode(frame)
			if err != nil {
				t.Errorf("%x: %v", frame, err)
				return
			}
			asked = append(asked, p.Form)
			if p.Form == speaks {
				_, _ = s.Write([]byte{1, 0})
			}
			_ = s.Close()
		})
		for range 2 {
			if r, err := here.Sync(t.Context(), y.ID(), lastDay()); err != nil {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		want := 2 + int(speaks)
		if len(asked) != want || asked[want-1] != speaks {
			t.Errorf("asked in the forms %v of one who speaks %v", asked, speaks)
		}
	}
}

func TestSyncErrors(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	here := serve(t, x, archiveOf(t), nil)
	if _, err := here.Sync(t.Context(), y.ID(), store.Span{Start: 5, End: 5}); !errors.Is(err, ErrOutside) {
		t.Error(err)
	}
	eventually.True(t, "protocols are known", func() bool {
		known, err := x.Peerstore().GetProtocols(y.ID())
		return err == nil && len(known) > 0
	})
	if _, err := here.Sync(t.Context(), y.ID(), lastDay()); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := here.Sync(ctx, y.ID(), lastDay()); err == nil {
		t.Error("synchronized without a context")
	}
	if err := here.Close(); err != nil {
		t.Error(err)
	}
	if _, err := here.Sync(t.Context(), y.ID(), lastDay()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestBusy: one synchronization with a peer at a time.
func TestBusy(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	here := serve(t, x, archiveOf(t), nil)
	inside, leave := make(chan struct{}), make(chan struct{})
	y.SetStreamHandler(ReconcileID, func(s network.Stream) {
		close(inside)
		<-leave
		_, _ = s.Write([]byte{1, 0})
		_ = s.Close()
	})
	done := make(chan error)
	go func() {
		_, err := here.Sync(t.Context(), y.ID(), lastDay())
		done <- err
	}()
	<-inside
	if _, err := here.Sync(t.Context(), y.ID(), lastDay()); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestReach: others can neither compare nor bring what is older than the
// archive keeps.
func TestReach(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	now := time.Now()
	var old, young []store.Entry
	for i := range 200 {
		old = append(old, entry(topicA, now.Add(-3*time.Hour-time.Duration(i)*time.Second), i))
		young = append(young, entry(topicA, now.Add(-time.Hour-time.Duration(i)*time.Second), 1000+i))
	}
	a, b := archiveOf(t, append(old, young...)...), archiveOf(t)
	here := serve(t, x, a, nil)
	serve(t, y, b, func(c *Config) { c.Reach = 2 * time.Hour })
	_, _ = here.Sync(t.Context(), y.ID(), lastDay())
	eventually.True(t, "the young ones", func() bool { return len(b.all()) >= len(young) })
	for _, e := range b.all() {
		if e.Message.GetTimestamp() < now.Add(-2*time.Hour).UnixNano() {
			t.Fatal("an old message was taken")
		}
	}
}

// TestPeriodic: one peer at random soon after the start, as soon as there is
// any, and then every interval, the next one when it fails; what is too young is
// left out.
func TestPeriodic(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		x, y := rpctest.Pair(t)
		a, b := archiveOf(t), archiveOf(t)
		const first, second = DefaultOffset + firstMargin, 2 * (DefaultOffset + firstMargin)
		young := entry(topicA, time.Now().Add(2*first), 1) // on its way at the first time
		fresh := entry(topicA, time.Now().Add(-30*time.Minute), 2)
		stale := entry(topicA, time.Now().Add(-2*time.Hour), 3)
		b.mu.Lock()
		for _, e := range []store.Entry{young, fresh, stale} {
			b.entries[idOf(&e)] = e
			b.ids = append(b.ids, idOf(&e))
		}
		slices.SortFunc(b.ids, compareIDs)
		b.mu.Unlock()
		var rounds atomic.Int32
		var met atomic.Bool
		time.AfterFunc(first+first/5, func() { met.Store(true) })
		serve(t, y, b, nil)
		s := serve(t, x, a, func(c *Config) {
			c.Interval = 0 // the default
			c.Peers = func() []peer.ID {
				if !met.Load() {
					return []peer.ID{x.ID()}
				}
				return []peer.ID{x.ID(), "nobody", y.ID()}
			}
			c.Done = func(_ peer.ID, r Report, err error) {
				if err == nil {
					rounds.Add(1)
				}
			}
		})
		<-time.After(second - second/10 - time.Second)
		if rounds.Load() != 0 {
			t.Error("synchronized before its time")
		}
		<-time.After(second/5 + 2*time.Second)
		if got := a.hashes(); rounds.Load() != 1 || len(got) != 1 || got[0] != fresh.Hash {
			t.Errorf("%d synchronizations, %d messages", rounds.Load(), len(got))
		}
		<-time.After(DefaultInterval - DefaultInterval/10 - second/5 - 3*time.Second)
		if rounds.Load() != 1 {
			t.Error("synchronized again before its time")
		}
		<-time.After(DefaultInterval)
		if len(a.all()) != 2 {
			t.Errorf("%d messages", len(a.all()))
		}
		_ = s.Close()
	})
}
