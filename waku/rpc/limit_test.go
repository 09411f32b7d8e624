package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestGate: Max for each peer, places that are given back, and nobody once it
// is closed.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := Gate{Max: 2}
		for _, c := range []struct {
			p    peer.ID
			want bool
		}{{"a", true}, {"a", true}, {"a", false}, {"b", true}} {
			if got := g.Enter(c.p); got != c.want {
				t.Errorf("%s: %v", c.p, got)
			}
		}
		g.Leave("a")
		if !g.Enter("a") || g.Enter("a") {
			t.Error("one place left is not one place free")
		}
		closed := make(chan struct{})
		go func() {
			g.Close()
			close(closed)
		}()
		synctest.Wait()
		if g.Enter("c") {
			t.Error("entered a closed gate")
		}
		for _, p := range []peer.ID{"a", "a", "b"} {
			select {
			case <-closed:
				t.Error("did not wait for all")
			default:
			}
			g.Leave(p)
			synctest.Wait()
		}
		<-closed
		g.Close() // again
	})
	var unbound Gate
	for range 10_000 {
		if !unbound.Enter("a") {
			t.Fatal("refused without a bound")
		}
	}
}

// TestLimiter: each peer has its own allowance, and it comes back with time.
func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	l := NewLimiter(Rate{PerSecond: 2, Burst: 2})
	for i, c := range []struct {
		p     peer.ID
		after time.Duration
		want  bool
	}{
		{"a", 0, true}, {"a", 0, true}, {"a", 0, false},
		{"b", 0, true}, {"b", 0, true}, {"b", 0, false},
		{"a", 499 * time.Millisecond, false}, {"a", time.Millisecond, true}, {"a", 0, false},
		{"c", 0, true}, {"c", -time.Hour, true}, {"c", 0, false}, // a clock put back
		{"a", time.Hour + 500*time.Millisecond, true},
		{"a", time.Hour, true}, {"a", 0, true}, {"a", 0, false},
	} {
		now = now.Add(c.after)
		if got := l.Allow(c.p, now); got != c.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	none := NewLimiter(Rate{})
	for range 100 {
		if !none.Allow("a", now) {
			t.Fatal("no rate is a limit")
		}
	}
	if one := NewLimiter(Rate{PerSecond: 1}); !one.Allow("a", now) || one.Allow("a", now) {
		t.Error("no burst is not one at once")
	}
}

// TestLimiterForgets peers whose bucket is full, and no others.
func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Rate{PerSecond: 1, Burst: 1})
	now := time.Unix(1000, 0)
	for i := range maxBuckets {
		l.Allow(peer.ID(fmt.Sprint(i)), now)
	}
	l.Allow("one more", now)
	if len(l.buckets) != maxBuckets+1 {
		t.Errorf("%d buckets: a peer that used its tokens was forgotten", len(l.buckets))
	}
	l.Allow("much later", now.Add(time.Hour))
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets: idle peers are remembered", len(l.buckets))
	}
	for i := range 3 * maxBuckets {
		now = now.Add(time.Second)
		l.Allow(peer.ID(fmt.Sprint(i)), now)
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
}

// TestLimiterWait paces its caller.
func TestLimiterWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Rate{PerSecond: 4, Burst: 2})
		start := time.Now()
		for range 6 {
			if !l.Wait(t.Context(), "a") {
				t.Fatal("did not wait")
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if l.Wait(ctx, "a") || time.Since(start) != 1100*time.Millisecond {
			t.Errorf("waited until %s", time.Since(start))
		}
	})
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	failed, missing := errors.New("failed"), errors.New("missing")
	s := Statuses{Protocol: "test", Any: failed, Codes: map[uint32]error{404: missing}}
	for _, code := range []uint32{200, 250, 299} {
		if err := s.Check(code, "fine"); err != nil {
			t.Errorf("%d: %v", code, err)
		}
	}
	for _, code := range []uint32{0, 199, 300, 404, 1<<32 - 1} {
		err := s.Check(code, strings.Repeat("x", MaxDesc+1))
		status, ok := errors.AsType[*StatusError](err)
		if !ok || status.Code != code || len(status.Desc) != MaxDesc || !errors.Is(err, failed) {
			t.Errorf("%d: %v", code, err)
		}
		if errors.Is(err, missing) != (code == 404) {
			t.Errorf("%d is missing: %v", code, code != 404)
		}
	}
	if got, want := s.Check(404, "no\n").Error(), `test: status 404: "no\n"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// BenchmarkAllow is the limiter's work on a request of one of many peers.
func BenchmarkAllow(b *testing.B) {
	l := NewLimiter(Rate{PerSecond: 1, Burst: 10})
	peers := make([]peer.ID, maxBuckets)
	for i := range peers {
		peers[i] = peer.ID(fmt.Sprint(i))
	}
	now := time.Unix(0, 0)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Millisecond)
		l.Allow(peers[i%len(peers)], now)
		i++
	}
}
